#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: authority
short_description: An own certificate authority, and certificates for host names
version_added: 0.1.0
description:
  - Makes a certificate authority on the managed host where there is none, and for each name a certificate of it, which lasts 825 days and is renewed by
    the first call that finds less than a third of that left. Certificates of other names are removed.
  - Needs the program C(openssl) on the managed host, which comes with Debian's package C(ca-certificates).
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  name:
    description: Who it is, as certificates say it.
    type: str
    required: true
  path:
    description: Directory of the authority, with C(root.crt) and its key, which root alone reads.
    type: path
    required: true
  live:
    description: Directory that has a file C(<name>.pem) for each name, with the certificate and its key.
    type: path
    required: true
  uid:
    description: Numeric user who reads these files.
    type: int
    required: true
  names:
    description: The host names.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Have certificates of the stack's own authority
  longshore.stack.authority:
    name: shop
    path: /var/lib/shop/authority
    live: /var/lib/shop/authority/live
    uid: 101
    names: [app.shop.internal]
"""

RETURN = r"""
changes:
  description: Files that were made or removed.
  returned: success
  type: list
  elements: str
  sample: [root.crt, app.shop.internal.pem]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._authority import Authority, AuthorityError
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "live": {"type": "path", "required": True},
    "uid": {"type": "int", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    params = module.params
    authority = Authority(Machine(), params["name"], params["path"], params["live"], params["uid"], module.check_mode)
    try:
        changes = authority.present(params["names"])
    except (AuthorityError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changes), changes=changes, diff={"prepared": "".join(f"{line}\n" for line in changes)})


if __name__ == "__main__":
    main()
