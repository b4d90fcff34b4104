# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that nobody gave: made once, kept on one host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._names import SECRETS_FILE


class SecretError(Exception):
    """The secrets could not be read; the text is fit for a user."""


def made_secrets(folder: Folder, names: Iterable[str], make: Callable[[], str], users: Iterable[str] = ()) -> tuple[dict[str, str], list[str]]:
    """The values of the names, and which of them were made just now. What is kept is never replaced. users: hosts on which the stack is already."""
    place = folder.full(SECRETS_FILE)
    with folder.locked():
        content = folder.read(SECRETS_FILE)
        if content is None and users:
            # Another host has become the keeper, or the file was lost: new values would lock out whatever has the old ones.
            raise SecretError(
                f"this host keeps the secrets of the stack and has no {place}, but the stack is already on {', '.join(users)}. Put the file there, "
                f"from the host that kept it before or from a copy, or set stack_keeper to that host. If the inventory has given every secret so far, "
                f"begin with an empty one: echo '{{}}' > {place}"
            )
        try:
            kept = json.loads(content or b"{}")
        except ValueError as error:
            # Making all of them anew would lock out whatever has the old ones.
            raise SecretError(f"{place} is not JSON ({error}); put back a copy of it") from None
        new = [name for name in names if name not in kept]
        kept.update({name: make() for name in new})
        if new:
            folder.write(SECRETS_FILE, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode(), 0o600)
        return {name: kept[name] for name in names}, new
