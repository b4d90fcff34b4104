# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of the benchmarks, with what the journeys have for theirs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/journeys"), str(ROOT / ".ansible/collections")]
from journey_images import make_archive, make_images  # noqa: E402  # found by the line above
from journey_support import Host, Stack  # noqa: E402

# With an engine, where its installation is not what is measured.
ENGINE = ("--seed", "--engine")


@contextlib.contextmanager
def stack_of(name: str, options: tuple[str, ...] = ("--seed",)) -> Iterator[Stack]:
    """A host with the inventory that describes it."""
    stack = Stack(Host(name, "trixie", options), "seaweedfs", make_archive(make_images()))
    with running(stack.host):
        stack.fill_in()
        yield stack


@contextlib.contextmanager
def running(*hosts: Host) -> Iterator[None]:
    try:
        with ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(Host.start, hosts))
        yield
    finally:
        for host in hosts:
            host.remove()
