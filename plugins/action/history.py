# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what was released; see the documentation of the module history."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.longshore.stack.plugins.module_utils._history import lines


class ActionModule(ActionBase):
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        for app, listed in self._task.args["apps"].items():
            for line in ["", *lines(app, listed, int(self._task.args.get("most", 20)))]:
                Display().display(line)
        return {"changed": False}
