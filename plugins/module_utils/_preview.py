# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release as it would be, for as long as somebody looks at it; nothing of the stack on the host is touched."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._compose import assemble, to_yaml
from ansible_collections.longshore.stack.plugins.module_utils._files import Folder

# In memory, so that a host that dies meanwhile keeps nothing.
ROOT = "/run/longshore/look"


@contextlib.contextmanager
def previewed(wanted: Mapping[str, Any], service: str) -> Iterator[str]:
    """The directory of a project with this one service of the release, run from the image that is there. It is for root alone, and gone at the end.

    wanted: `spec` and `secrets` as the module release takes them.
    """
    with Folder(ROOT, mode=0o700).locked():
        _clear()
        try:
            yield _written(os.path.join(ROOT, wanted["spec"]["release"]), wanted, service)
        finally:
            _clear()


def _clear() -> None:
    """Also what a run has left that was killed: whoever has the lock is the only one here."""
    for name in os.listdir(ROOT):
        shutil.rmtree(os.path.join(ROOT, name))


def _written(path: str, wanted: Mapping[str, Any], service: str) -> str:
    definition = wanted["spec"]["definition"]
    one = {**definition["services"][service], "image": wanted["spec"]["image"]["id"]}
    networks = {name: network for name, network in definition["networks"].items() if name in one["networks"]}
    folder = Folder(path, mode=0o700)
    for secret in wanted["secrets"]:
        folder.write(secret["name"], secret["value"].encode(), 0o400, secret["uid"])
    secrets = {secret["name"]: folder.full(secret["name"]) for secret in wanted["secrets"]}
    whole = assemble(wanted["spec"]["project"], {"services": {service: one}, "networks": networks}, {}, {}, secrets, {})
    folder.write("compose.yaml", to_yaml(whole).encode(), 0o600)
    return path
