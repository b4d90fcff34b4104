# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of release: says what is waited for, and a line for each stage."""

from __future__ import annotations

import os

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.longshore.stack.plugins.plugin_utils.process import identity, is_dead
from ansible_collections.longshore.stack.plugins.plugin_utils.slices import run_slices

# What a stage is called when it is done; the others are not worth a line.
SAID = {
    "prepared": "prepared in {seconds:.1f} s",
    "collected": "static files collected in {seconds:.1f} s",
    "started": "started in {seconds:.1f} s",
    "handed_over": "what must not run twice stopped elsewhere in {seconds:.1f} s",
    "taken_over": "took over what must not run twice in {seconds:.1f} s",
    "switched": "switched{beside} in {switch_seconds:.2f} s",
    "watched": "watched for {seconds:.0f} s, nothing failed",
    "live": "live in {seconds:.1f} s",
    "retired": "drained in {drain_seconds:.1f} s ({ended} requests ended by the application then, {cut} cut off), older releases retired in {seconds:.1f} s",
    "scaled": "scaled to {numbers} in {seconds:.1f} s",
    "taken_back": "taken back in {seconds:.1f} s, {live} serves",
    "stood_by": "left as it is for the next run in {seconds:.1f} s, {live} is live here",
    "recorded": "{summary}",
    "unlocked": "{msg}",
}


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if "path" not in arguments and "stack_root" in task_vars and "app" in arguments:
            arguments["path"] = f"{self._templar.template(task_vars['stack_root'])}/apps/{arguments['app']}"

        def execute(resume):
            return self._execute_module("longshore.stack.release", {**arguments, "resume": resume}, task_vars=task_vars)

        display = Display().display
        ahead = (arguments.pop("ahead", None) or {}).get(arguments.get("state"), {})
        label = f"[{task_vars['inventory_hostname']}] {arguments.get('app')}"
        if "leased" in (arguments.get("state"), *arguments.get("then", [])):
            arguments["run"] = {**arguments.get("run", {}), "process": identity(os.getppid())}
        # Another application's, or another release's, is none of this one's business.
        known = ahead and ahead.get("of") == arguments.get("spec", {}).get("release")
        result = dict(ahead) if known else run_slices(execute, display, label)
        holder = (result.pop("holder", None) or {}) if result.get("failed") else {}
        if is_dead(holder.get("process", "")):
            display(f"{label}: the run {holder['run']} died on this controller in its stage {holder['stage']}; this one takes over its lease")
            arguments["run"]["dead"] = holder["run"]
            result = run_slices(execute, display, label)
        # Nothing is worth a line where nothing is left to do.
        said = "" if result.get("settled") else SAID.get(arguments.get("state"), "")
        if said and not result.get("failed") and "seconds" in result and not self._task.check_mode:
            replicas = int(arguments.get("replicas") or 0)
            words = {"numbers": ", ".join(f"{number} {process}" for process, number in (result.get("numbers") or {}).items())}
            words |= {"live": result.get("live") or "nothing", "beside": f" {replicas} of each web process, beside what serves," if replicas else ""}
            if line := said.format(**{"summary": "", **result, **words}):
                display(f"{label}{' ' * bool(result['of'])}{result['of']}: {line}")
        return result
