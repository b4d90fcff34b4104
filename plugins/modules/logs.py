#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: logs
short_description: What the processes of applications said last
version_added: 0.1.0
description:
  - Reads the last lines of all containers of the applications in one call, and puts them in the order in which they were written.
  - On the controller each line is printed with host, application, process and number of the replica before it. Where there is no such container,
    a line says so.
  - Passwords in URLs, the values of the release's secrets, and those of variables of the container whose names look like a secret's, are masked.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes.read_only
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  apps:
    description: Names of the applications.
    type: list
    elements: str
    required: true
  process:
    description: The one process to read; all when empty.
    type: str
    default: ""
  known:
    description:
      - Processes of the applications, of which some may run on other hosts alone. O(process) must be one of them, or of those that run on this host.
      - "Example: C([web, beat])"
    type: list
    elements: str
    default: []
  lines:
    description: Number of lines of each container.
    type: int
    default: 100
  since:
    description: Only lines since a moment, or for a time, as C(docker logs --since) takes it, for example V(15m).
    type: str
    default: ""
seealso:
  - module: longshore.stack.status
"""

EXAMPLES = r"""
- name: Read what the web processes said in the last quarter of an hour
  longshore.stack.logs:
    stack: shop
    apps: [web]
    process: web
    known: [web, worker, beat]
    since: 15m
"""

RETURN = r"""
lines:
  description: Moment (UTC), source and text of each line.
  returned: success
  type: list
  elements: list
  sample: [["2026-11-24T10:00:00.123456789Z", "shop/web-1", "started"]]
sources:
  description: The containers on this host that were read, by application, process and number of the replica.
  returned: success
  type: list
  elements: str
  sample: ["shop/web-1"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._logs import LogsError, last_lines

ARGUMENTS = {
    "stack": {"type": "str", "required": True},
    "apps": {"type": "list", "elements": "str", "required": True},
    "process": {"type": "str", "default": ""},
    "known": {"type": "list", "elements": "str", "default": []},
    "lines": {"type": "int", "default": 100},
    "since": {"type": "str", "default": ""},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(changed=False, **last_lines(Engine(), **module.params))
    except (EngineError, LogsError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
