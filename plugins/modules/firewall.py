#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: What a host lets in, in an nftables table of its own
version_added: 0.1.0
description:
  - Loads the table C(inet longshore), which closes a host but for its openings, over IPv4 and IPv6. No other table is touched.
  - An opening means the port that the other side asks for. It holds for programs of the host and for ports that the engine publishes, whichever way
    the engine leads them to containers, and the engine's own rules may come and go.
  - What goes out, what belongs to a known connection, and what containers send, goes on.
  - New rules are on trial at first. The host puts the old ones back by itself after O(seconds), unless the controller comes in over a new connection
    and says that they are good. So rules that would lock everybody out do not stay, even if the controller dies.
  - Only confirmed rules are written to C(/etc/longshore/firewall.nft). C(longshore-firewall.service) loads them at each boot, before the network.
  - Other firewalls of the host, such as ufw and firewalld, stay as they are. Each of them can only refuse, so a connection must be let in by all.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  stack:
    description: Name of the stack. A host has one firewall, that of the first stack that asks; another is refused.
    type: str
    required: true
  openings:
    description: What may come in; the lookup P(longshore.stack.wiring#lookup) works it out as V(openings).
    type: list
    elements: dict
    default: []
    suboptions:
      why:
        description: What it is for, shown in the rules.
        type: str
        required: true
      protocol:
        description: Transport protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      ports:
        description: A port, or the first and the last of several, such as V(3000-3010).
        type: str
        required: true
      sources:
        description: Addresses, networks and names from which it may be reached; not given, from everywhere. The host itself looks the names up.
        type: list
        elements: str
      limit:
        description: New connections per minute that one address may open; V(0) is as many as it likes.
        type: int
        default: 0
  container_interfaces:
    description:
      - Names of the interfaces of containers; one may end with C(*). An interface that is there, that only such a pattern matches and that Docker has not
        named is refused.
    type: list
    elements: str
    default: [docker0, docker_gwbridge, br-*]
  seconds:
    description: How long new rules are on trial.
    type: int
    default: 60
  state:
    description: V(absent) removes the table with all that loads it.
    type: str
    choices: [present, absent]
    default: present
  trial:
    description: Confirms the trial of this name; for the action plugin.
    type: str
    default: ""
seealso:
  - name: Netfilter hooks
    description: Why each of several tables can only refuse.
    link: https://wiki.nftables.org/wiki-nftables/index.php/Netfilter_hooks
"""

EXAMPLES = r"""
- name: Let nobody in but by SSH and, from two hosts, to the database
  longshore.stack.firewall:
    stack: shop
    openings:
      - {why: SSH, ports: "22", limit: 60}
      - {why: postgres, ports: "5432", sources: [10.20.0.11, 10.20.0.12]}
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, in words.
  returned: success
  type: list
  elements: str
  sample: [rules, /etc/longshore/firewall.nft]
install:
  description: Packages that the host lacks. Where there are any, nothing was done; install them and use the module again.
  returned: success
  type: list
  elements: str
  sample: [nftables]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._firewall import FirewallError, Opening
from ansible_collections.longshore.stack.plugins.module_utils._firewall_host import Firewall, Wanted
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

OPENING = {
    "why": {"required": True},
    "protocol": {"choices": ["tcp", "udp"], "default": "tcp"},
    "ports": {"required": True},
    "sources": {"type": "list", "elements": "str"},
    "limit": {"type": "int", "default": 0},
}
SPEC = {
    "stack": {"required": True},
    "openings": {"type": "list", "elements": "dict", "default": [], "options": OPENING},
    "container_interfaces": {"type": "list", "elements": "str", "default": ["docker0", "docker_gwbridge", "br-*"]},
    "seconds": {"type": "int", "default": 60},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "trial": {"default": ""},
}


def main():
    module = AnsibleModule(SPEC, supports_check_mode=True)
    params = module.params
    openings = [Opening(**{**one, "sources": None if one["sources"] is None else tuple(one["sources"])}) for one in params["openings"]]
    wanted = Wanted(params["stack"], openings, params["container_interfaces"], params["seconds"], params["state"] == "present")
    firewall = Firewall(wanted, Machine())
    try:
        result = firewall.confirm(params["trial"]) if params["trial"] else firewall.converge(module.check_mode)
    except (FirewallError, OSError) as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
