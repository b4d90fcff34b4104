# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of compose_project: shows progress while containers become healthy."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.longshore.stack.plugins.plugin_utils.slices import run_slices


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = {**self._names(self._task.args, task_vars), **self._task.args}

        def execute(resume):
            return self._execute_module("longshore.stack.compose_project", {**arguments, "resume": resume}, task_vars=task_vars)

        label = f"[{task_vars['inventory_hostname']}] {arguments.get('service', arguments.get('project'))}"
        return run_slices(execute, Display().display, label)

    def _names(self, given, task_vars):
        """What a service of the stack is called and where it lives, unless the task says otherwise."""
        known = {name: self._templar.template(task_vars[name]) for name in ("stack_name", "stack_root", "stack_secrets_root") if name in task_vars}
        if len(known) < 3 or "service" not in given:
            return {}
        return {
            "stack": known["stack_name"],
            "project": f"{known['stack_name']}-{given['service']}",
            "path": f"{known['stack_root']}/{given['service']}",
            "secrets_path": f"{known['stack_secrets_root']}/{given['service']}",
        }
