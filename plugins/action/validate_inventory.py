# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the whole inventory on the controller and reports every error at once."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial

from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.longshore.stack.plugins.module_utils._inventory import Files, Report, text_report
from ansible_collections.longshore.stack.plugins.module_utils._inventory_rules import check, check_placeholders
from ansible_collections.longshore.stack.plugins.plugin_utils.certificates import checked
from ansible_collections.longshore.stack.plugins.plugin_utils.controller_files import found, read_file, search_path
from ansible_collections.longshore.stack.plugins.plugin_utils.inventory import InventoryReader, with_origins

# Ansible loads an action in its main process, and each task runs in a copy of that. With the lookups loaded there none of the copies has to do it again.
for _lookup in ("wiring", "edge", "endpoint"):
    lookup_loader.get(f"longshore.stack.{_lookup}")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        reader = InventoryReader(task_vars["hostvars"], task_vars["groups"], self._task, self._loader)
        report = Report()
        for name in reader.names:
            check_placeholders(reader.given(name), reader.roles, name, report)
        hosts = {name: reader.host(name, report) for name in reader.names}
        find = partial(found, search_path(self._loader.get_basedir()))
        read = partial(read_file, self._loader)
        files = Files(
            lambda path: bool(find(os.path.isfile, path)),
            lambda path: bool(find(os.path.isdir, path)),
            lambda certificate, key: checked(read, certificate, key, datetime.now(UTC)),
        )
        problems = with_origins(check(hosts, reader.groups, reader.roles, files, report), reader.given)
        if problems:
            return {"failed": True, "changed": False, "msg": text_report(problems), "wrong": [problem.name for problem in problems]}
        return {"changed": False, "msg": f"The inventory is right: {len(hosts)} hosts.", "wrong": []}
