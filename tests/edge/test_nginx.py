# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# pylint: disable=wildcard-import,unused-wildcard-import  # the suite of all proxies is one file
from __future__ import annotations

import pytest
from edge_suite import *  # noqa: F403, the tests of all proxies
from native import TRUSTED, own_network, processes
from proxies import nginx


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    own_network()
    with processes(), nginx(tmp_path_factory.mktemp("nginx"), stack_trusted_proxies=TRUSTED) as found:
        yield found
