#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Which release of an application is live on a host
version_added: 0.1.0
description:
  - A release is a compose project of its own beside others of the same application. This module stops, removes and marks them; the module
    P(longshore.stack.compose_project#module) writes and starts one.
  - Containers are stopped with the grace of their own definition.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  app:
    description: Name of the application.
    type: str
    required: true
  keep:
    description: The release that this is about.
    type: str
    required: true
  path:
    description: Directory of the application; its link C(live) names the release that is live.
    type: path
    default: ""
  processes:
    description: Processes that must not run twice, for O(state=stopped).
    type: list
    elements: str
    default: []
  state:
    description:
      - V(stopped) - O(processes) of all other releases are stopped, their containers stay.
      - V(live) - O(keep) is marked live, containers of all other releases are stopped and removed; refused while none of its own runs.
      - V(taken_back) - containers of O(keep) are removed, and what was stopped in the live release runs again.
    type: str
    choices: [stopped, live, taken_back]
    required: true
"""

EXAMPLES = r"""
- name: Make a release the live one
  longshore.stack.release:
    stack: shop
    app: api
    keep: 1.4.2-0a1b2c3d
    path: /opt/shop/apps/api
    state: live
"""

RETURN = r"""
live:
  description: The release that is live now, empty when there is none.
  returned: success
  type: str
  sample: 1.4.2-0a1b2c3d
done:
  description: What was done, in order.
  returned: success
  type: list
  elements: str
  sample: [stop shop-api-1-4-1-99887766-web-1]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._releases import Releases, decide, must_serve

ARGUMENTS = {
    "stack": {"type": "str", "required": True},
    "app": {"type": "str", "required": True},
    "keep": {"type": "str", "required": True},
    "path": {"type": "path", "default": ""},
    "processes": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": ["stopped", "live", "taken_back"], "required": True},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    params = module.params
    releases = Releases(Engine(), params["stack"], params["app"], params["path"], module.check_mode)
    try:
        there = releases.observe()
        plan = decide(params["state"], params["keep"], params["processes"], there, releases.live())
        if not module.check_mode:
            must_serve(params["state"], params["keep"], there)
        releases.run(plan)
    except (EngineError, OSError) as error:
        module.fail_json(msg=str(error), changed=bool(releases.done))
    module.exit_json(changed=bool(releases.done), done=releases.done, live=plan.live)


if __name__ == "__main__":
    main()
