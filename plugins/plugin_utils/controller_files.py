# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the controller that the inventory names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleError


def search_path(basedir: str) -> list[str]:
    """Where relative paths lead, the same places as those of the action `image`: beside the playbook and the working directory."""
    return [basedir, os.path.join(basedir, "files"), os.getcwd()]


def found(folders: Sequence[str], test: Callable[[str], bool], path: str) -> str:
    """The first place that is what is asked for, or nothing; an absolute path is found by itself."""
    return next((place for folder in folders if test(place := os.path.join(folder, os.path.expanduser(path)))), "")


def read_file(loader: Any, path: str) -> bytes:
    """What a file says, decrypted where the vault has encrypted it. OSError where there is none, or it cannot be read."""
    place = found(search_path(loader.get_basedir()), os.path.isfile, path)
    if not place:
        raise FileNotFoundError("this file is not on the controller")
    try:
        real = loader.get_real_file(place)
    except AnsibleError as error:
        raise OSError(f"this file cannot be decrypted: {error}") from error
    try:
        with open(real, "rb") as file:
            return file.read()
    finally:
        loader.cleanup_tmp_file(real)
