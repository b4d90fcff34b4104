# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that nobody gave: made once, kept on one host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder

FILE = "made.json"


def made_secrets(folder: Folder, names: Iterable[str], make: Callable[[], str]) -> tuple[dict[str, str], list[str]]:
    """The values of the names, and which of them were made just now. What is kept is never replaced."""
    kept = json.loads(folder.read(FILE) or b"{}")
    new = [name for name in names if name not in kept]
    kept.update({name: make() for name in new})
    if new:
        folder.write(FILE, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode(), 0o600)
    return {name: kept[name] for name in names}, new
