#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secret
short_description: The secrets of the stack, given or made once
version_added: 0.1.0
description:
  - Without O(names) the action reads from the inventory which secrets the stack needs, takes those that are given, and asks the host only for
    the others. Those are made at random the first time and kept in C(made.json) in O(path), readable by root alone.
  - Secrets are made only for a stack that is new. Where it is on a host already, see O(users), a missing C(made.json) is an error.
  - In check mode nothing is kept; a secret that would be made has a value for this run only.
  - The task must have C(no_log=true), because the values are its result.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  path:
    description: Directory of the secrets on the managed host.
    type: path
    required: true
  names:
    description: Secrets to make or to read. Without it they are those that the inventory needs and does not give.
    type: list
    elements: str
  users:
    description: Hosts on which the stack is already. Where there are some, C(made.json) must be there, for other secrets than theirs would lock them out.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Have the secrets of the stack
  longshore.stack.secret:
    path: /etc/longshore/secrets/shop
  register: stack_secret
  no_log: true
  run_once: true
"""

RETURN = r"""
secrets:
  description: Value by name.
  returned: success
  type: dict
made:
  description: Names of those that were made just now.
  returned: success
  type: list
  elements: str
"""

import secrets

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._secret import SecretError, made_secrets

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "names": {"type": "list", "elements": "str"},
    "users": {"type": "list", "elements": "str", "default": []},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    folder = Folder(module.params["path"], module.check_mode, mode=0o700)
    try:
        values, made = made_secrets(folder, module.params["names"] or [], lambda: secrets.token_urlsafe(24), module.params["users"])
    except (SecretError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(made), secrets=values, made=made)


if __name__ == "__main__":
    main()
