#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_containers
short_description: Stop or remove all of a stack on a host
version_added: 0.1.0
description:
  - Acts on what carries the label C(stack.longshore.name) of the stack, and on nothing else.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  state:
    description:
      - V(stopped) - every container is stopped with its own grace, nothing is removed.
      - V(absent) - containers, networks, the images recorded in O(images_path) that nothing else uses, and O(paths) are removed.
    type: str
    choices: [stopped, absent]
    required: true
  images_path:
    description: The file in which P(longshore.stack.image#module) keeps what it brought to the host.
    type: path
  paths:
    description: Directories that belong to the stack alone.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Stop everything and keep it
  longshore.stack.stack_containers:
    stack: shop
    state: stopped
"""

RETURN = r"""
done:
  description: What was done, in order.
  returned: success
  type: list
  elements: str
  sample: ["stopped shop-postgres-postgres-1, shop-valkey-valkey-1"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._stack_containers import StackContainers, recorded_images

ARGUMENTS = {
    "stack": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["stopped", "absent"], "required": True},
    "images_path": {"type": "path"},
    "paths": {"type": "list", "elements": "path", "default": []},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    params = module.params
    containers = StackContainers(Engine(), params["stack"], module.check_mode)
    try:
        if params["state"] == "stopped":
            containers.stop()
        else:
            containers.remove(recorded_images(params["images_path"] or ""))
            containers.remove_paths(params["paths"])
    except (EngineError, OSError) as error:
        module.fail_json(msg=str(error), changed=bool(containers.done), done=containers.done)
    module.exit_json(changed=bool(containers.done), done=containers.done)


if __name__ == "__main__":
    main()
