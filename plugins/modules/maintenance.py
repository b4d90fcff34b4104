#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance
short_description: Pages of applications under maintenance on a proxy host
version_added: 0.1.0
description:
  - The edge answers requests for an application with status 503 and its page for as long as the page is there. It looks at each request, so nothing is
    reloaded and requests in flight go on.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  path:
    description: Directory of the pages, which the edge has mounted.
    type: path
    required: true
  apps:
    description: Names of the applications.
    type: list
    elements: str
    required: true
  state:
    description: Whether they are under maintenance.
    type: str
    choices: [present, absent]
    required: true
  page:
    description: The page, as HTML; a plain one by default.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Take the application off the air
  longshore.stack.maintenance:
    path: /var/lib/shop/caddy/maintenance
    apps: [shop]
    state: present
"""

RETURN = r""" # """

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Maintenance</title>
<style>body { font: 1.1rem/1.5 system-ui, sans-serif; margin: 20vh auto; max-width: 32rem; padding: 0 1rem; color: #333 }</style>
<h1>We will be back soon</h1>
<p>This site is being worked on. Please come again in a few minutes.</p>
</html>
"""
ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "apps": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "required": True},
    "page": {"type": "str", "default": ""},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    path, present, content = module.params["path"], module.params["state"] == "present", (module.params["page"] or PAGE).encode()
    if not os.path.isdir(path) and not module.check_mode:
        module.fail_json(msg=f"there is no {path} on this host: the edge does not run here yet; site.yml makes it")
    folder, diff = Folder(path, module.check_mode), []
    for app in module.params["apps"]:
        name, before = f"{app}.html", Folder(path).read(f"{app}.html")
        if present and before != content:
            folder.write(name, content, 0o644)
        elif not present and before is not None:
            folder.remove(name)
        else:
            continue
        diff.append({"header": os.path.join(path, name), "before": (before or b"").decode(), "after": content.decode() if present else ""})
    module.exit_json(changed=bool(diff), diff=diff)


if __name__ == "__main__":
    main()
