#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_off
short_description: Run a command in a container of its own, as a service of a compose project would
version_added: 0.1.0
description:
  - The container has the image, environment, secrets and networks of the service, and goes when the command ends.
  - It is detached. When O(timeout) is over it is stopped and removed; one of the same name that a dead run left is removed first.
  - Passwords in URLs, the values of the release's secrets, and those of variables of the service whose names look like a secret's, are masked in all output.
  - Needs the C(docker) command with Compose 2.20 or newer on the managed host.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  name:
    description: Name of the container; two of one name never run at the same time.
    type: str
    required: true
  project:
    description: Name of the compose project.
    type: str
    required: true
  path:
    description: Directory of the compose project.
    type: path
    required: true
  service:
    description: Service of the compose file whose image, environment, secrets and networks the container has.
    type: str
    required: true
  command:
    description: The command with its arguments, without a shell.
    type: list
    elements: str
    required: true
  environment:
    description: Variables beside those of the service; nothing secret, they are shown by the engine.
    type: dict
    default: {}
  timeout:
    description: Seconds until the command is stopped.
    type: float
    default: 300
  output_path:
    description: File on the host, V(0600), to which the output is added.
    type: path
  lease:
    description:
      - As for P(longshore.stack.migration#module). The container is ended by the next run that starts a release, should this one die.
      - Without one the command runs whoever releases.
    type: dict
    default: {}
  resume:
    description: What an earlier slice of the same work returned. Only the action plugin sets it.
    type: dict
    default: {}
seealso:
  - module: longshore.stack.migration
"""

EXAMPLES = r"""
- name: Load the demonstration data in the live release
  longshore.stack.one_off:
    name: shop-web-run
    project: shop-web-1-4-2-0a1b2c3d
    path: /opt/shop/apps/web/live
    service: web
    command: [python, -m, app.seed]
"""

RETURN = r"""
output:
  description: The last lines of the output, standard output and error in the order of writing.
  returned: unless in check mode
  type: str
  sample: 20 items
rc:
  description: Exit status of the command; missing where it was stopped at its time limit.
  returned: when it ended by itself
  type: int
  sample: 0
duration:
  description: Seconds that it took.
  returned: unless in check mode
  type: float
  sample: 1.2
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._lease import LeaseError, guard
from ansible_collections.longshore.stack.plugins.module_utils._one_off import Command, OneOff, OneOffError

SLICE_SECONDS = 8.0
ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "project": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "service": {"type": "str", "required": True},
    "command": {"type": "list", "elements": "str", "required": True},
    "environment": {"type": "dict", "default": {}},
    "timeout": {"type": "float", "default": 300},
    "output_path": {"type": "path"},
    "lease": {"type": "dict", "default": {}},
    "resume": {"type": "dict", "default": {}},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=True, msg=f"would run {' '.join(params['command'])}")
    place = {key: params[key] for key in ("project", "path", "service")}
    container = OneOff(Engine(), params["name"], "command", **place, release=os.path.basename(os.path.realpath(params["path"])))
    container.run = params["lease"].get("run", "")
    try:
        guard(params["lease"], "hooks", time.time)
        command = Command(container, params["command"], params["timeout"], params["environment"], params["output_path"], time.time)
        module.exit_json(**command.run(SLICE_SECONDS, params["resume"]))
    except OneOffError as error:
        module.fail_json(msg=str(error), **error.facts)
    except (EngineError, LeaseError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
