# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: A table of what runs, where to look, what changed and how long it took
version_added: 0.1.0
description:
  - Prints on the controller what P(longshore.stack.status#module) found on the hosts. It runs on the controller alone.
  - A console to which no route leads (RabbitMQ, MinIO) has a line with the SSH tunnel to it.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  hosts:
    description: By host, the C(containers) that P(longshore.stack.status#module) returned.
    type: dict
    required: true
  started:
    description: When the run began, in seconds since the epoch. Without it the table says how long each container has been up.
    type: float
  scaled:
    description:
      - By application host, the C(scaled) that P(longshore.stack.status#module) returned; the host that keeps the lease is the first. Where hosts differ,
        the line says so, and what mends it.
    type: dict
    default: {}
  notes:
    description: Lines to print below.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Report
  longshore.stack.report:
    stack: shop
    hosts: {app1: "{{ status.containers }}"}
"""

RETURN = r""" # """
