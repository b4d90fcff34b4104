#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validate_inventory
short_description: Every error of the inventory at once, before a host is touched
version_added: 0.1.0
description:
  - Reads the variables of all hosts on the controller, with the defaults of this collection's roles below them.
  - Checks names, types and choices against the roles' argument specs, and what variables mean together, such as two services that
    publish the same port or an application that needs a service which no host provides.
  - No host is contacted. All errors come in one message, each with the variable, its value, what is allowed, an example and where
    it was written. Values of secrets are never shown.
  - Any variable that still contains V(CHANGE_ME) is an error.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes.read_only
notes:
  - Ansible checks the argument spec of a role by itself before the role's first task, one role and one host at a time. Run this
    action before any role, or include the role C(longshore.stack.stack) with C(rolespec_validate=false), to see all errors together.
"""

EXAMPLES = r"""
- name: Check the whole inventory
  hosts: all
  gather_facts: false
  tasks:
    - name: See every error before anything is touched
      longshore.stack.validate_inventory:
      run_once: true
"""

RETURN = r"""
msg:
  description: The errors, numbered, two lines each.
  returned: always
  type: str
  sample: |-
    The inventory has 1 error; no host was touched.
      1. stack_apps[shop].processes[web].memory: is not a memory size (value: '512 megs')
         allowed: a number and one of K, M, G; example: memory: 512M; at: inventories/prod/group_vars/all.yml:31
wrong:
  description: The variables and groups that are wrong.
  returned: always
  type: list
  elements: str
  sample: ["stack_domain", "stack_apps[shop].processes[web].memory"]
"""

from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="validate_inventory runs on the controller, as the action of the same name.")


if __name__ == "__main__":
    main()
