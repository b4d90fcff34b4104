# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One certificate authority in the trust store of a Debian-like host."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder, read_inside

ANCHORS = "/usr/local/share/ca-certificates"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
# The extension basicConstraints with cA true, as DER has it.
AUTHORITY = re.compile(rb"\x06\x03\x55\x1d\x13(\x01\x01\xff)?\x04.\x30.\x01\x01\xff", re.DOTALL)


class TrustError(Exception):
    """The trust store could not be changed; the text is fit for a user."""


@dataclass
class Trust:
    """anchors and bundle are where the host keeps them; update makes the bundle from the anchors and answers an error text or nothing."""

    update: Callable[[], str]
    sleep: Callable[[float], None]
    anchors: str = ANCHORS
    bundle: str = BUNDLE
    check: bool = False

    def present(self, name: str, source: str, wait_timeout: float, below: str = "") -> bool:
        content = self._wait_for(source, below or os.path.dirname(source), wait_timeout)
        if content is None:
            if self.check:  # what makes the certificate has not run yet
                return True
            raise TrustError(f"no certificate at {source} after {wait_timeout:.0f} s")
        problem = not_an_authority(content)
        if problem:
            raise TrustError(f"{source} {problem}; it was not trusted")
        written = Folder(self.anchors, self.check).write(f"{name}.crt", content, 0o644)
        # The bundle is looked at as well: a run may have died between the two.
        if written or content.strip() not in self._bundle():
            self._update()
            return True
        return False

    def absent(self, name: str) -> bool:
        folder, links = Folder(self.anchors, self.check), self._links(name)
        if folder.read(f"{name}.crt") is not None:
            folder.remove(f"{name}.crt")
        elif not links:
            # The links go last: where one is still there, a run died between the two.
            return False
        self._update()
        # The host's own tool takes the certificate out of the bundle and leaves its links, which lead nowhere then.
        for link in () if self.check else self._links(name):
            os.unlink(link)
        return True

    def _links(self, name: str) -> list[str]:
        """Links to the certificate beside the bundle: one by its name, others by its hash."""
        folder, own = os.path.dirname(self.bundle), f"{name}.pem"
        there = [os.path.join(folder, entry) for entry in os.listdir(folder)] if os.path.isdir(folder) else []
        return [path for path in there if os.path.islink(path) and own in (os.path.basename(path), os.readlink(path))]

    def _wait_for(self, source: str, below: str, wait_timeout: float) -> bytes | None:
        """The content, which whoever writes it may be in the middle of."""
        content = None
        for left in reversed(range(1 if self.check else 1 + int(wait_timeout / 0.25))):
            content = read_inside(below, source) if os.path.isdir(below) else None
            if left == 0 or (content and not not_an_authority(content)):
                break
            self.sleep(0.25)
        return content

    def _bundle(self) -> bytes:
        try:
            with open(self.bundle, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def _update(self) -> None:
        problem = "" if self.check else self.update()
        if problem:
            raise TrustError(problem)


def not_an_authority(content: bytes) -> str:
    """Why the content is not exactly one certificate of an authority, or nothing."""
    found = PEM.fullmatch(content)
    try:
        certificate = base64.b64decode(b"".join(found[1].split()), validate=True) if found else b""
    except ValueError:
        certificate = b""
    if not certificate:
        return "is not one PEM certificate"
    return "" if AUTHORITY.search(certificate) else "is not the certificate of an authority"
