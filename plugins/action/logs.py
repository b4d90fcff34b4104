# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of logs: prints the lines."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        result = self._execute_module("longshore.stack.logs", dict(self._task.args), task_vars=task_vars)
        for moment, source, text in result.pop("lines", []):
            Display().display(f"{moment[:23]}Z [{task_vars['inventory_hostname']}] {source}: {text}")
        return result
