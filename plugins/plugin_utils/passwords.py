# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hashes of passwords for web servers, made on the controller."""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
from collections.abc import Callable
from functools import cache

from ansible.errors import AnsibleError

# 2 to this number rounds: some 50 ms for each guess, and for each first request of a visitor.
COST = 10
LETTERS = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def salt(purpose: str) -> str:
    """The same for the same purpose, so that nothing changes by itself, and another for each; it tells nothing about the password."""
    # 16 bytes are 21 letters and two bits, so only four letters may be the last one.
    digest = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:16], "big")
    return "".join(LETTERS[digest >> shift & 63] for shift in range(122, -1, -6)) + LETTERS[(digest & 3) << 4]


@cache
def bcrypt(password: str, purpose: str) -> str:
    """The bcrypt hash, by the C library or, where that has none, by the Python package bcrypt."""
    setting = f"$2b${COST:02}${salt(purpose)}"
    for way in (_by_library, _by_package):
        hashed = way(password, setting)
        if hashed.startswith("$2b$") and len(hashed) == 60:
            return hashed
    raise AnsibleError("basic_auth: neither the C library nor Python of the controller makes bcrypt hashes; install the Python package bcrypt there")


def _by_library(password: str, setting: str) -> str:
    library = ctypes.util.find_library("crypt")
    function: Callable[..., bytes | None] | None
    try:
        function = ctypes.CDLL(library).crypt
    except (OSError, AttributeError):
        return ""
    function.restype, function.argtypes = ctypes.c_char_p, (ctypes.c_char_p, ctypes.c_char_p)
    return (function(password.encode(), setting.encode()) or b"").decode(errors="replace")


def _by_package(password: str, setting: str) -> str:
    try:
        import bcrypt as package
    except ImportError:
        return ""
    return package.hashpw(password.encode(), setting.encode()).decode()
