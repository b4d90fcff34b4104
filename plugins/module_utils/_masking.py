# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not be shown of a text that a container wrote."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.longshore.stack.plugins.module_utils._compose import secret_files

_COMPOSE_FILE = "com.docker.compose.project.config_files"
# Shorter parts of a secret are words of any text, and hiding them would spoil it.
SHORTEST_FRAGMENT = 8
# The same for a whole value.
_SHORTEST_VALUE = 6
_URL_PASSWORD = re.compile(r"(?P<begin>[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@'\"]*:)(?P<password>[^\s'\"]+)@")
# Not the path of a file that holds one, nor the name of a key: an application's is its own name, which is a word of any text.
_SECRET_NAME = re.compile(r"^(?!.*(?:_FILE|KEY_ID)$).*(?:PASS|SECRET|TOKEN|KEY|CREDENTIAL)", re.IGNORECASE)


def fragments(value: str) -> set[str]:
    """What of a secret must not be shown either: its lines, and what they assign. Compose quotes a line of an env file that it cannot read."""
    lines = value.splitlines()
    assigned = [line.partition("=")[2].strip("'\"") for line in lines]
    return {text for text in (*lines, *assigned) if len(text) >= SHORTEST_FRAGMENT}


def secrets_of(environment: Mapping[str, str], files: Iterable[str] = ()) -> list[str]:
    """What must not be shown of a container, the longest first. files: what its secret files hold, and its env files with secrets."""
    found = set()
    for name, value in environment.items():
        if _SECRET_NAME.search(name):
            found.add(value)
        found |= _passwords(value)
    for content in files:
        parts = fragments(content)
        # An env file quotes what it assigns; the environment has it as it is.
        names = {line.partition("=")[0] for line in content.splitlines() if "=" in line}
        parts |= {part for name in names & set(environment) for part in fragments(environment[name])}
        found |= parts.union(*map(_passwords, parts))
    return sorted((value for value in found if len(value) >= _SHORTEST_VALUE), key=len, reverse=True)


def _passwords(value: str) -> set[str]:
    """The password of a URL, as it stands there and as it is meant."""
    if "://" in value:
        with contextlib.suppress(ValueError):
            password = urlsplit(value).password or ""
            return {password, unquote(password)}
    return set()


def secrets_in(container: Mapping[str, Any]) -> list[str]:
    """What must not be shown of a container, as the engine describes it, the longest first."""
    settings = container["Config"]
    environment = dict(entry.partition("=")[::2] for entry in settings.get("Env") or [])
    return secrets_of(environment, files_of((settings.get("Labels") or {}).get(_COMPOSE_FILE, "")))


def files_of(compose_file: str) -> list[str]:
    """What the files hold that a project's compose file names as its secrets; nothing of those that are gone."""
    contents = []
    with contextlib.suppress(OSError), open(compose_file, encoding="utf-8") as file:
        for path in secret_files(file.read()):
            with contextlib.suppress(OSError), open(os.path.join(os.path.dirname(compose_file), path), encoding="utf-8", errors="replace") as secret:
                contents.append(secret.read())
    return contents


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    text = _URL_PASSWORD.sub(r"\g<begin>***@", text)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
