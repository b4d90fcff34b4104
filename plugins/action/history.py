# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what was released; see the documentation of the module history."""

from __future__ import annotations

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.longshore.stack.plugins.module_utils._history import by_app, lines


class ActionModule(ActionBase):
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = self._task.args
        for app, listed in by_app(arguments["listed"]).items():
            for line in ["", *lines(app, listed, int(arguments.get("most", 20)), boolean(arguments.get("full", False)))]:
                Display().display(line)
        return {"changed": False}
