# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the report of a run; see the documentation of the module report."""

from __future__ import annotations

import time

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.longshore.stack.plugins.module_utils._scale import notes
from ansible_collections.longshore.stack.plugins.module_utils._status import duration, table
from ansible_collections.longshore.stack.plugins.module_utils._wiring import addresses, consoles
from ansible_collections.longshore.stack.plugins.plugin_utils.view import view_of


class ActionModule(ActionBase):
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = self._task.args
        started = float(arguments["started"]) if arguments.get("started") else None
        elapsed = time.time() - started if started else None
        view = view_of(task_vars, self._templar.template)
        lines = [
            *table(arguments["hosts"], addresses(view), elapsed),
            *consoles(view, arguments["hosts"], context.CLIARGS.get("remote_user") or ""),
        ]
        took = f", took {duration(elapsed)}" if elapsed is not None else ""
        title = f"{arguments['stack']}{took}"
        scaled = notes(arguments.get("scaled", {}), next(iter(view.hosts("app")), ""))
        for line in ["", title, "-" * len(title), *lines, *arguments.get("notes", []), *scaled, ""]:
            Display().display(line)
        return {"changed": False}
