# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# pylint: disable=wildcard-import,unused-wildcard-import  # the suite of all proxies is one file
from __future__ import annotations

import pytest
from edge_suite import *  # noqa: F403, the tests of all proxies
from native import own_network, processes
from proxies import traefik


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    own_network()
    with processes(), traefik(tmp_path_factory.mktemp("traefik")) as found:
        yield found
