# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from image_support import docker


def test_it_has_the_program_a_shell_and_what_the_script_of_the_role_needs(images):
    needed = "for name in lego awk cmp date grep sh sleep stat tail touch tr; do command -v $name >/dev/null || echo $name; done"
    run = ("run", "--rm", "--network", "none", "--entrypoint", "sh", images.ref("lego"), "-c")
    assert docker(*run, needed).stdout == ""


def test_its_entrypoint_is_the_program(images):
    assert "lego version" in docker("run", "--rm", "--network", "none", images.ref("lego"), "--version").stdout
