# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of one_off: says what the command does, for how long, and what it said."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.longshore.stack.plugins.plugin_utils.slices import run_slices


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments, display = dict(self._task.args), Display().display

        def execute(resume):
            return self._execute_module("longshore.stack.one_off", {**arguments, "resume": resume}, task_vars=task_vars)

        label = f"[{task_vars['inventory_hostname']}] {arguments.get('name')}"
        result = run_slices(execute, display, label)
        for line in [] if result.get("failed") else str(result.get("output", "")).splitlines():
            display(f"{label}: {line}")
        return result
