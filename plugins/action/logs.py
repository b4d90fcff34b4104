# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of logs: prints the lines, or that there is nothing to read."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments, host = dict(self._task.args), task_vars["inventory_hostname"]
        result = self._execute_module("longshore.stack.logs", arguments, task_vars=task_vars)
        for moment, source, text in result.pop("lines", []):
            Display().display(f"{moment[:23]}Z [{host}] {source}: {text}")
        if not result.get("failed") and not result.get("sources"):
            what = "/".join(part for part in (", ".join(arguments["apps"]), arguments.get("process")) if part)
            Display().display(f"[{host}] no container of {what} is on this host")
        return result
