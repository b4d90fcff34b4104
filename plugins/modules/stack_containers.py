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
      - V(absent) - containers, networks, the images that the stack brought to the host, O(root), O(data_root), O(secrets_root) and what builds left
        are removed. An image that a container of somebody else uses, or that another stack beside O(root) has, stays; so does a directory that is
        not the stack's, see P(longshore.stack.stack_roots#module).
    type: str
    choices: [stopped, absent]
    required: true
  root:
    description: Directory of the compose projects, needed for O(state=absent). Its C(images.json) says which images the stack brought.
    type: path
  data_root:
    description: Directory of the services' data, needed for O(state=absent).
    type: path
  secrets_root:
    description: Directory of the secrets, needed for O(state=absent).
    type: path
"""

EXAMPLES = r"""
- name: Stop everything and keep it
  longshore.stack.stack_containers:
    stack: shop
    state: stopped

- name: Remove everything
  longshore.stack.stack_containers:
    stack: shop
    state: absent
    root: /opt/shop
    data_root: /var/lib/shop
    secrets_root: /etc/longshore/secrets/shop
"""

RETURN = r"""
done:
  description: What was done, in order.
  returned: success
  type: list
  elements: str
  sample: ["stopped shop-postgres-postgres-1, shop-valkey-valkey-1"]
kept:
  description: Directories that are not the stack's and were left alone.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/shop]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._image_host import Host
from ansible_collections.longshore.stack.plugins.module_utils._stack_containers import StackContainers, brought_images
from ansible_collections.longshore.stack.plugins.module_utils._stack_roots import Roots

ARGUMENTS = {
    "stack": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["stopped", "absent"], "required": True},
    "root": {"type": "path"},
    "data_root": {"type": "path"},
    "secrets_root": {"type": "path", "no_log": False},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True, required_if=[("state", "absent", ["root", "data_root", "secrets_root"])])
    params = module.params
    containers, kept = StackContainers(Engine(), params["stack"], module.check_mode), []
    try:
        if params["state"] == "stopped":
            containers.stop()
        else:
            containers.remove(brought_images(params["root"]))
            kept = containers.remove_roots(Roots(params["stack"], params["root"], params["data_root"], params["secrets_root"]))
            containers.remove_work(Host.work, params["root"])
    except (EngineError, OSError) as error:
        module.fail_json(msg=str(error), changed=bool(containers.done), done=containers.done)
    module.exit_json(changed=bool(containers.done), done=containers.done, kept=kept)


if __name__ == "__main__":
    main()
