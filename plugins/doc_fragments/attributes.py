# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modes the modules support, described once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Says what would change, and changes nothing.
  diff_mode:
    support: full
    description: Shows what changes, or in check mode would change. Values of secrets are never part of it.
  platform:
    support: full
    platforms: debian
    description: Debian 12 and newer and Ubuntu, with Python 3.11 or newer and no Python package.
"""

    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Only reads, so it does the same in check mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is nothing to compare.
  platform:
    support: full
    platforms: debian
    description: Debian 12 and newer and Ubuntu, with Python 3.11 or newer and no Python package.
"""
