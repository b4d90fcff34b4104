# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of migration: says what the migration does, for how long, and what became of it."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.longshore.stack.plugins.plugin_utils.slices import run_slices


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)

        def execute(resume):
            return self._execute_module("longshore.stack.migration", {**arguments, "resume": resume}, task_vars=task_vars)

        label = f"[{task_vars['inventory_hostname']}] migration of {arguments.get('lock', arguments.get('project'))}"
        # `of` tells the result from that of another application.
        result = {**run_slices(execute, Display().display, label), "of": arguments.get("release", "")}
        if not result.get("failed") and not self._task.check_mode and "duration" in result:
            where = " -> ".join(dict.fromkeys(str(result.get(f"revision_{when}") or "") for when in ("before", "after"))).strip(" ->")
            Display().display(f"{label}: {result['msg']}{f' ({where})' if where else ''} in {result['duration']:.1f} s")
        return result
