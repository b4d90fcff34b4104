# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One certificate authority in the trust store of a Debian-like host."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder

ANCHORS = "/usr/local/share/ca-certificates"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


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

    def present(self, name: str, source: str, wait_timeout: float) -> bool:
        content = self._wait_for(source, wait_timeout)
        if content is None:
            if self.check:  # what makes the certificate has not run yet
                return True
            raise TrustError(f"no certificate at {source} after {wait_timeout:.0f} s")
        written = Folder(self.anchors, self.check).write(f"{name}.crt", content, 0o644)
        # The bundle is looked at as well: a run may have died between the two.
        if written or content.strip() not in self._bundle():
            self._update()
            return True
        return False

    def absent(self, name: str) -> bool:
        folder = Folder(self.anchors, self.check)
        if folder.read(f"{name}.crt") is not None:
            folder.remove(f"{name}.crt")
        elif not os.path.lexists(os.path.join(os.path.dirname(self.bundle), f"{name}.pem")):
            # The link to the certificate goes with the update: where it is still there, a run died between the two.
            return False
        self._update()
        return True

    def _wait_for(self, source: str, wait_timeout: float) -> bytes | None:
        for left in reversed(range(1 if self.check else 1 + int(wait_timeout / 0.25))):
            if os.path.exists(source):
                with open(source, "rb") as file:
                    return file.read()
            if left:
                self.sleep(0.25)
        return None

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
