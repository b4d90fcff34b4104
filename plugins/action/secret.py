# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of secret: knows which secrets the inventory gives, and asks the host only for the others."""

from __future__ import annotations

import json
import os
import shlex

from ansible.plugins.action import ActionBase

from ansible_collections.longshore.stack.plugins.module_utils._names import SECRETS_FILE
from ansible_collections.longshore.stack.plugins.module_utils._wiring import secrets
from ansible_collections.longshore.stack.plugins.plugin_utils.view import view_of


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        given = {}
        if arguments.get("names") is None:
            known = secrets(view_of(task_vars, self._templar.template))
            given = {name: value for name, value in known.items() if value}
            arguments["names"] = sorted(set(known) - set(given))
            if not arguments["names"]:
                return {"changed": False, "secrets": given, "made": []}
        kept = self._kept(str(arguments.get("path", "")), arguments["names"])
        if kept is not None:
            return {"changed": False, "secrets": {**kept, **given}, "made": []}
        result = self._execute_module("longshore.stack.secret", arguments, task_vars=task_vars)
        if not result.get("failed"):
            result["secrets"] = {**result["secrets"], **given}
        return result

    def _kept(self, path, names):
        """The values where all of them were made before: reading a file costs a tenth of what a module does. None where the module must look itself."""
        answer = self._low_level_execute_command(f"cat {shlex.quote(os.path.join(path, SECRETS_FILE))}")
        try:
            kept = json.loads(answer["stdout"]) if answer["rc"] == 0 else {}
            return {name: kept[name] for name in names}
        except (ValueError, KeyError, TypeError):  # the module says what is wrong, or makes what is missing
            return None
