# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of health_probe: says what is waited for."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.longshore.stack.plugins.plugin_utils.slices import run_slices


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)

        def execute(resume):
            return self._execute_module("longshore.stack.health_probe", {**arguments, "resume": resume}, task_vars=task_vars)

        label = f"[{task_vars['inventory_hostname']}] probe, at most {arguments.get('timeout', 30)} s"
        return run_slices(execute, Display().display, label)
