# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed requests and latency of a hundred switches under keep-alive load, POSTs included: the role's switch, against a proxy that is reloaded.

Usage: make bench ARGS=switches, or with another number benchmarks/switches.py --turns 10. Servers, switch and visitors are those of
tests/journeys/journey_switches.py, over plain HTTP on loopback. The other way is Caddy in front of the same servers, told the new upstreams by a reload, with
the same wait before the stop.
"""

from __future__ import annotations

import argparse
import time

# pylint: disable-next=unused-import  # it says where the next ones are
import bench_support  # noqa: F401  # where the next ones are
from journey_images import make_images
from journey_switches import NAME, Haproxy, Stage, docker, image, turned

from ansible_collections.longshore.stack.plugins.module_utils._switch import Upstream


class Caddy:
    def __init__(self, stage: Stage):
        self.folder = stage.folder / "caddy"
        self.folder.mkdir()
        self.write(["127.0.0.1:9"])
        config = ["--volume", f"{self.folder}:/etc/caddy:ro", image("caddy"), "caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
        self.port = stage.proxy(*config)
        time.sleep(1)

    def write(self, upstreams: list[str]) -> None:
        (self.folder / "Caddyfile").write_text(f":20001 {{\n\treverse_proxy {' '.join(upstreams)}\n}}\n")

    def turn(self, upstreams: list[Upstream]) -> float:
        began = time.monotonic()
        self.write([f"{one.address}:{one.port}" for one in upstreams])
        docker("exec", f"{NAME}-proxy", "caddy", "reload", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
        # It does not say what is in flight; the longest request takes 0.05 s.
        time.sleep(0.2)
        return time.monotonic() - began


def measure(way: type, turns: int) -> None:
    with Stage() as stage:
        # The other way is measured, however few requests it answers.
        took, result = turned(stage, way(stage), turns, least=0)
    took.sort()
    print(f"{way.__name__}: {turns} switches, half of them within {took[len(took) // 2]:.3f} s, the longest {took[-1]:.3f} s; {result.line()}")
    print(result.first_failures(), flush=True)


def hundred(turns: int = 100) -> None:
    make_images()
    for way in (Haproxy, Caddy):
        measure(way, turns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=100)
    hundred(parser.parse_args().turns)
