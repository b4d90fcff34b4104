# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority of the stack's own on a proxy host, and a certificate of it for each host name."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence

from ansible_collections.longshore.stack.plugins.module_utils._engine import Result
from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

ROOT_DAYS = 3650
# What Apple takes at most from an authority that somebody has added, https://support.apple.com/103769
DAYS = 825
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class AuthorityError(Exception):
    """There is no certificate; the text is fit for a user."""


class Authority:
    """path: of its own files, which root alone writes. live: folder of the certificates, each with its key in one file that the proxy's user reads."""

    def __init__(self, machine: Machine, name: str, path: str, live: str, uid: int, check: bool = False):
        self.machine, self.name, self.uid, self.check = machine, name, uid, check
        self.own, self.live = Folder(path, check), Folder(live, check)

    def present(self, names: Sequence[str]) -> list[str]:
        """What was made, and what was removed: certificates of names that are none any more."""
        changes = self._root()
        for name in names:
            if changes[:1] == ["root.crt"] or not self._good(name):
                changes.append(f"{name}.pem")
                if not self.check:
                    self._issue(name)
        for file in sorted(os.listdir(self.live.path)) if os.path.isdir(self.live.path) else []:
            if file.endswith(".pem") and file.removesuffix(".pem") not in names:
                changes.append(f"{file} (removed)")
                self.live.remove(file)
        return changes

    def _root(self) -> list[str]:
        if self.own.read("root.crt") and self.own.read("root.key"):
            return []
        if not self.check:
            with tempfile.TemporaryDirectory() as folder:
                key, certificate = f"{folder}/key", f"{folder}/crt"
                extensions = ("basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign")
                added = [word for text in extensions for word in ("-addext", text)]
                words = ["req", "-x509", *CURVE, "-days", str(ROOT_DAYS), "-subj", f"/O={self.name}/CN=Internal authority of {self.name}"]
                self._openssl(*words, *added, "-keyout", key, "-out", certificate)
                # The key first: with the certificate, the authority is there.
                for name, path, mode in (("root.key", key, 0o600), ("root.crt", certificate, 0o644)):
                    with open(path, "rb") as file:
                        self.own.write(name, file.read(), mode)
        return ["root.crt"]

    def _good(self, name: str) -> bool:
        """Whether its certificate is of this authority, for the name and for the user, and a third of its time is left."""
        file = self.live.full(f"{name}.pem")
        if not os.path.exists(file) or os.stat(file).st_uid != self.uid:
            return False
        seen = self.machine.run(["openssl", "x509", "-in", file, "-noout", "-ext", "subjectAltName", "-checkend", str(DAYS * 86400 // 3)])
        known = self.machine.run(["openssl", "verify", "-CAfile", self.own.full("root.crt"), file])
        return seen.ok and known.ok and re.findall(r"DNS:([^\s,]+)", seen.stdout) == [name]

    def _issue(self, name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            key, request, certificate, extensions = (f"{folder}/{part}" for part in ("key", "csr", "crt", "ext"))
            with open(extensions, "w", encoding="ascii") as file:
                file.write(f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:{name}\n")
            self._openssl("req", "-new", *CURVE, "-subj", "/", "-keyout", key, "-out", request)
            authority = ["-CA", self.own.full("root.crt"), "-CAkey", self.own.full("root.key"), "-CAcreateserial", "-CAserial", f"{folder}/serial"]
            self._openssl("x509", "-req", "-in", request, *authority, "-days", str(DAYS), "-extfile", extensions, "-out", certificate)
            content = b""
            for path in (certificate, key):
                with open(path, "rb") as part:
                    content += part.read()
        self.live.write(f"{name}.pem", content, 0o400, self.uid, self.uid)

    def _openssl(self, *words: str) -> Result:
        result = self.machine.run(["openssl", *words])
        if not result.ok:
            raise AuthorityError(f"openssl {words[0]}: {result.reason()}")
        return result
