# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge of a test host, as the suite asks it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_client import Edge

REDIRECT = "s#app.shop.test/new[0-9]*#app.shop.test/new{number}#"


def edge_on(host, role: str, authority: str, config: str, reload: str, edit: str = REDIRECT, around: str = "", **more) -> Iterator[Edge]:
    """authority: file of this machine. config: the proxy's file on the host. edit: what makes a change of it. reload: in its container.
    around: a command of the host that runs another one. more: of the Edge."""
    page = f"/var/lib/molecule/{role}/maintenance/shop.html"

    def change(number: int) -> None:
        host.check_output("sed -i %s %s", edit.format(number=number or ""), f"/opt/molecule/{role}/config/{config}")
        host.check_output(f"{around} docker exec %s sh -c %s", f"molecule-{role}-{role}-1", reload)

    def maintenance(text: str) -> None:
        if text:
            host.check_output("printf %%s %s > %s", text, page)
        else:
            host.check_output("rm %s", page)

    # The address that leads out, not one of the engine's own networks.
    address = re.search(r"src (\S+)", host.check_output("ip -4 -o route get 192.0.2.1"))[1]
    yield Edge(address, 80, 443, authority, change, maintenance, proxy=role, **more)
    change(0)
