# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every image that is built from a recipe."""

from __future__ import annotations

import pytest
from image_support import RECIPES, docker


@pytest.fixture(scope="module", params=sorted(RECIPES))
def ref(request, images):
    return images.ref(request.param)


def inside(ref, script):
    return docker("run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "sh", ref, "-c", script).stdout


def test_nothing_of_the_building_hosts_configuration_is_in_the_image(ref):
    assert inside(ref, "ls -d /build-host /tmp/wheel /root/go /root/.cache 2>/dev/null; true") == ""
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", ref).stdout
    assert not [word for word in ("build-host", "PIP_", "GOPROXY", "http_proxy") if word in history]
    variables = docker("image", "inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", ref).stdout
    assert not [word for word in ("PIP_", "GOPROXY", "proxy", "SSL_CERT") if word in variables]


def test_no_package_lists_or_manuals_are_carried_along(ref):
    assert inside(ref, "find /var/lib/apt/lists /var/cache/apt -type f -size +0") == ""
    assert inside(ref, "find /usr/share/man /usr/share/info -type f -name '*.gz' 2>/dev/null; true") == ""
    assert inside(ref, "find /usr/share/doc -type f ! -name copyright") == ""


def test_the_certificate_authorities_are_those_of_debian_alone(ref):
    script = "grep -c BEGIN /etc/ssl/certs/ca-certificates.crt; find /usr/share/ca-certificates/mozilla -name '*.crt' | wc -l"
    bundled, debian = inside(ref, script).split()
    assert bundled == debian
