# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of firewall: proves over a new connection that new rules still let it in, and only then keeps them."""

from __future__ import annotations

import time

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

# Added to the time of a trial: for a host that is slow to come back.
PATIENCE = 30
PAUSE = 3


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        seconds = int(self._task.args.get("seconds", 60))
        try:
            result = self._execute_module("longshore.stack.firewall", task_vars=task_vars)
            trial = result.pop("trial", "")
        except AnsibleConnectionFailure as error:
            # The rules may have cut the very connection that brought them; no trial has this name, so all that can come of it is that it is over.
            result, trial = {"diff": {}, "changes": []}, f"unknown ({error})"
        if not trial or result.get("failed"):
            return result
        Display().display(f"[{task_vars['inventory_hostname']}] new rules on trial for {seconds} s: asking over a new connection")
        proof = self._prove(trial, seconds, task_vars)
        return {**proof, "changed": not proof.get("failed"), "changes": result["changes"], "diff": result["diff"]}

    def _prove(self, trial, seconds, task_vars):
        end, reason = time.monotonic() + seconds + PATIENCE, ""
        while True:
            try:
                self._forget_connection()
                result = self._execute_module("longshore.stack.firewall", {**self._task.args, "trial": trial}, task_vars=task_vars)
            except AnsibleConnectionFailure as error:
                reason = reason or str(error).strip()
                if time.monotonic() > end:
                    raise
                time.sleep(PAUSE)
                continue
            if result.get("failed") and reason:
                result["msg"] = (
                    f"No new connection was possible with the new rules ({reason}): {result['msg']}. Look at firewall_ssh_port, the port of SSH on the host "
                    "itself, and whether firewall_ssh_allow has the address of this controller"
                )
            return result

    def _forget_connection(self):
        """A connection that is open already proves nothing: what is established may go on under any rules."""
        if type(self._connection).reset is not ConnectionBase.reset:
            self._connection.reset()
