#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_roots
short_description: The directories that belong to a stack alone
version_added: 0.1.0
description:
  - Makes the three directories of a stack on a host and puts the file C(.longshore-stack) with the stack's name in each, before anything else is
    written there. P(longshore.stack.stack_containers#module) removes only directories with it.
  - A directory that has files of somebody else is refused, before anything is written.
  - A directory that an earlier version made has no marker; it is known by what the stack keeps in it, and gets one.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  root:
    description: Directory of the compose projects.
    type: path
    required: true
  data_root:
    description: Directory of the services' data.
    type: path
    required: true
  secrets_root:
    description: Directory of the secrets, made readable by root alone.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Have the directories of the stack
  longshore.stack.stack_roots:
    stack: shop
    root: /opt/shop
    data_root: /var/lib/shop
    secrets_root: /etc/longshore/secrets/shop
"""

RETURN = r"""
used:
  description: Whether the stack was on this host before.
  returned: success
  type: bool
  sample: false
served:
  description: The web processes of the releases that are live, and of those before them, as the switch knows them.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "shop-web", "switch_port": 27368, "port": 8000, "health": "/health", "host": "app.mycompany.net", "places": 8}]
closed:
  description: Applications that an edge of this host shows as under maintenance.
  returned: success
  type: list
  elements: str
  sample: [shop]
services:
  description: Services and applications of the stack that have a directory on this host.
  returned: success
  type: list
  elements: str
  sample: [caddy, postgres, shop]
images:
  description:
    - C(records), the text of the file in which P(longshore.stack.image#module) notes what it has chosen, and C(here), what the engine has of that.
    - Empty where there is neither file nor engine.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._stack_roots import RootError, Roots, images_of, services
from ansible_collections.longshore.stack.plugins.module_utils._status import closed_apps

ARGUMENTS = {
    "stack": {"type": "str", "required": True},
    "root": {"type": "path", "required": True},
    "data_root": {"type": "path", "required": True},
    "secrets_root": {"type": "path", "required": True, "no_log": False},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    params = module.params
    roots = Roots(params["stack"], params["root"], params["data_root"], params["secrets_root"])
    try:
        new = roots.claim(module.check_mode)
    except (RootError, OSError) as error:
        module.fail_json(msg=str(error))
    found = {"closed": closed_apps(params["data_root"]), "used": roots.used(), "served": roots.served(), "images": images_of(Engine(), params["root"])}
    found["services"] = sorted(services(params["root"]))
    module.exit_json(changed=bool(new), **found, diff={"prepared": "".join(f"marked {path}\n" for path in new)})


if __name__ == "__main__":
    main()
