# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of image: reads recipes, contexts and archives, sends what is missing, shows progress."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.longshore.stack.plugins.module_utils._image import ImageError
from ansible_collections.longshore.stack.plugins.module_utils._image_host import settled_in
from ansible_collections.longshore.stack.plugins.module_utils._names import IMAGES_FILE
from ansible_collections.longshore.stack.plugins.plugin_utils import build_context
from ansible_collections.longshore.stack.plugins.plugin_utils.slices import run_slices

BASE_SCRIPT = Path(__file__).parents[2] / "roles" / "stack" / "files" / "image" / "base" / "build.sh"


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments, images = dict(self._task.args), {}
        if "state_path" not in arguments and "stack_root" in task_vars:
            arguments["state_path"] = f"{self._templar.template(task_vars['stack_root'])}/{IMAGES_FILE}"
            # Of this host: of one that the task is delegated to, nothing is known.
            images = {} if self._task.delegate_to else (task_vars.get("__stack_roots") or {}).get("images") or {}
        name = str(arguments.get("name", ""))
        arguments["sent"] = self._sent(arguments, name)
        if not boolean(arguments.get("refresh", False)) and (known := self._known(images, arguments)):
            return known

        def execute(resume):
            result = self._execute_module("longshore.stack.image", {**arguments, "resume": resume}, task_vars=task_vars)
            need = result.pop("need", None)
            if need and not result.get("failed"):
                arguments["sent"].update(self._send(need, arguments))
                result = self._execute_module("longshore.stack.image", {**arguments, "resume": resume}, task_vars=task_vars)
            return result

        label = f"[{task_vars['inventory_hostname']}] {name.partition('@')[0].rpartition('/')[2].partition(':')[0]} image"
        began = time.monotonic()
        result = run_slices(execute, Display().display, label)
        if result.get("changed") and not result.get("failed") and not self._task.check_mode:
            Display().display(f"{label}: there by {result['source']} in {time.monotonic() - began:.1f} s")
        return result

    @staticmethod
    def _known(images, arguments):
        """The result where the first call of the run has seen that nothing is to do: saves a call for every service. images: of stack_roots."""
        try:
            record = settled_in(images, arguments, arguments["sent"])
        except (ImageError, KeyError, TypeError, ValueError):  # the module says what is wrong
            return None
        return {"changed": False, **{key: getattr(record, key) for key in ("ref", "id", "digest", "source")}} if record else None

    def _sent(self, arguments, name):
        """What the module must know of the controller's files. Small things go along at once, large ones when they are needed."""
        sent = {}
        dockerfile = arguments.get("dockerfile", "Dockerfile")
        try:
            if arguments.get("recipe"):
                folder = self._find("recipe", arguments["recipe"], dockerfile)
                sent["build"] = {"name": recipe_name(folder), "hash": build_context.folder_hash(folder, dockerfile)}
                sent["files"] = build_context.inline_files(folder, dockerfile)
                sent["base_script"] = "" if arguments.get("base") else BASE_SCRIPT.read_text(encoding="utf-8")
            elif arguments.get("context"):
                folder = self._find("context", arguments["context"], dockerfile)
                short = name.partition("@")[0].rpartition("/")[2].partition(":")[0]
                sent["build"] = {"name": short, "hash": build_context.folder_hash(folder, dockerfile)}
            if arguments.get("archive"):
                sent["archived"] = build_context.archived_image(self._find("archive", arguments["archive"]), name)
        except (OSError, ValueError) as error:
            raise AnsibleActionFail(str(error)) from error
        return sent

    def _send(self, need, arguments):
        """Put the large thing where the module can read it."""
        if need == "archive":
            return {"archive": self._transfer(self._find("archive", arguments["archive"]))}
        dockerfile = arguments.get("dockerfile", "Dockerfile")
        handle, packed = tempfile.mkstemp(suffix=".tar", dir=self._loader_tmp())
        os.close(handle)
        build_context.pack(self._find("context", arguments["context"], dockerfile), packed, dockerfile)
        return {"context_tar": self._transfer(packed)}

    def _transfer(self, path):
        if self._connection.transport == "local":
            return path
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, os.path.basename(path))
        self._transfer_file(path, remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))
        return remote

    def _find(self, option, path, must_have=None):
        """A path of the controller: absolute, or beside the role or playbook, or in the working directory."""
        path = os.path.expanduser(path)
        found = path
        if not os.path.isabs(path):
            try:
                found = self._find_needle("files", path)
            except AnsibleError:
                found = os.path.abspath(path)
        wanted = os.path.join(found, must_have) if must_have else found
        if not os.path.exists(wanted):
            raise AnsibleActionFail(f"{option}: {path!r}: there is no {wanted} on the controller; give an absolute path, or one below the role or playbook")
        return os.path.normpath(found)

    def _loader_tmp(self):
        # Removed by Ansible at the end of the run, whatever happens.
        from ansible import constants

        return constants.DEFAULT_LOCAL_TMP


def recipe_name(folder):
    """The role's name for files/image of a role, else the folder's own."""
    path = Path(folder)
    if path.name == "image" and path.parent.name == "files":
        return path.parents[1].name
    return path.name
