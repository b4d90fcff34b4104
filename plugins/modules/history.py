#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: history
short_description: A table of what was released, by whom, and what became of it
version_added: 0.1.0
description:
  - Prints on the controller what P(longshore.stack.release#module) listed. It runs on the controller alone.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  listed:
    description: What the state C(listed) of P(longshore.stack.release#module) returned, of each application and host.
    type: list
    elements: dict
    required: true
  most:
    description: How many entries of each application to show, the newest first.
    type: int
    default: 20
  full:
    description: Show below each entry how long its stages took, and why it failed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what was released
  longshore.stack.history:
    listed:
      - {app: shop, live: 1.4.2-0a1b2c3d, previous: "", kept: [1.4.2-0a1b2c3d], holder: "", history: []}
"""

RETURN = r""" # """
