#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: status
short_description: What of a stack runs on a host
version_added: 0.1.0
description:
  - Reads every container of the stack from the engine, in one remote call, and changes nothing.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  data_root:
    description: Directory of the services' data, where an edge has the pages of applications under maintenance.
    type: path
    default: ""
  root:
    description: Directory of the stack, where applications have the numbers that they were scaled to.
    type: path
    default: ""
"""

EXAMPLES = r"""
- name: Look
  longshore.stack.status:
    stack: shop
  register: status
"""

RETURN = r"""
containers:
  description:
    - Every container of the stack on this host. C(age) and C(up) are seconds since it was created and since it was started.
    - C(address) is where this host reaches it, empty while it does not run.
  returned: success
  type: list
  elements: dict
  sample:
    - {"service": "api", "process": "web", "release": "1.4.2-0a1b2c3d", "name": "shop-api-1-4-2-0a1b2c3d-web-1", "image": "registry.example.org/api:1.4.2",
       "state": "running", "health": "healthy", "age": 86400.0, "up": 86399.5, "restarts": 0, "address": "172.20.0.5"}
closed:
  description: Applications that an edge of this host shows as under maintenance.
  returned: success
  type: list
  elements: str
  sample: [api]
scaled:
  description: Processes of which an operator wanted another number of containers on this host than the inventory has.
  returned: success
  type: list
  elements: str
  sample: ["api/web: 4"]
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._scale import of_all
from ansible_collections.longshore.stack.plugins.module_utils._status import closed_apps, containers_of, summary

ARGUMENTS = {"stack": {"type": "str", "required": True}, "data_root": {"type": "path", "default": ""}, "root": {"type": "path", "default": ""}}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    try:
        found = summary(containers_of(Engine(), module.params["stack"]), time.time())
    except EngineError as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        found = []  # a bare host in check mode: nothing of the stack can run there
    module.exit_json(changed=False, containers=found, closed=closed_apps(module.params["data_root"]), scaled=of_all(module.params["root"]))


if __name__ == "__main__":
    main()
