#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: trusted_ca
short_description: A certificate authority in the trust store of a host
version_added: 0.1.0
description:
  - Puts a certificate that is on the managed host among those that the host trusts, or takes it away, and renews the bundle with
    C(update-ca-certificates) only if something differs.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  name:
    description: Name of the file in the trust store, without ending.
    type: str
    required: true
  source:
    description:
      - Path of the certificate on the managed host. Needed for O(state=present). What is not exactly one PEM certificate of an authority is refused.
    type: path
  below:
    description:
      - A directory that leads to O(source) and that only root can replace. Below it no link is followed, so that a service that owns what is
        there cannot have another file read. Without it, the directory of O(source).
    type: path
    default: ""
  wait_timeout:
    description: Seconds to wait for O(source), which a service may write only after its start.
    type: float
    default: 0
  state:
    description: Whether the host trusts it.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Trust the proxy's own authority
  longshore.stack.trusted_ca:
    name: longshore-shop
    source: /var/lib/shop/caddy/data/caddy/pki/authorities/local/root.crt
    below: /var/lib/shop/caddy
    wait_timeout: 30
"""

RETURN = r""" # """

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._trusted_ca import Trust, TrustError

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "source": {"type": "path"},
    "below": {"type": "path", "default": ""},
    "wait_timeout": {"type": "float", "default": 0},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True, required_if=[("state", "present", ["source"])])
    params = module.params

    def update():
        code, out, err = module.run_command(["update-ca-certificates"])
        return "" if code == 0 else f"update-ca-certificates failed: {err.strip() or out.strip()}"

    trust = Trust(update, time.sleep, check=module.check_mode)
    try:
        if params["state"] == "absent":
            changed = trust.absent(params["name"])
        else:
            changed = trust.present(*(params[key] for key in ("name", "source", "wait_timeout", "below")))
    except (TrustError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
