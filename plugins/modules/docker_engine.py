#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine
short_description: Settings, certificates, logins and state of the host's engine
version_added: 0.1.0
description:
  - Looks at the container engine of the host and brings it to what is wanted, in one call. A running engine of any origin is used as it is.
  - An engine before 20.10 is refused, and a Docker Compose before 2.20 that none in the folders of the system would take the place of.
  - Where there is no engine, it only chooses where one comes from, prepares that source and returns the packages in RV(install); install
    them, then use the module again.
  - C(daemon.json) is merged with what is there, judged by the engine before it is written, and put back if the engine does not start with it.
  - The engine is reloaded or restarted only if the running one has not taken over what the file says. Containers survive a restart through
    live-restore, which is switched on by a reload first; where they would not, and are not all of a stack, the restart is left to the operator.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  source:
    description:
      - Where an engine comes from if the host has none. V(docker) is Docker's own apt repository, V(distribution) the system's packages, V(auto)
        the former where it can be reached, else the latter.
      - V(existing) fails where there is none.
    type: str
    choices: [auto, docker, distribution, existing]
    default: auto
  repository:
    description: Address of Docker's apt repositories, or of a mirror of them; C(/debian) or C(/ubuntu) is appended.
    type: str
    default: https://download.docker.com/linux
  fingerprint:
    description: Fingerprint of the one key that signs the repository. Another key is refused.
    type: str
    default: 9DC858229FC7DD38854AE2D88D81803C0EBFCD88
  daemon:
    description:
      - Settings for C(daemon.json), as in the manual of the engine. They win over everything else; dictionaries are merged, lists replaced.
      - "Example: C({default-address-pools: [{base: 10.80.0.0/16, size: 24}]})"
    type: dict
    default: {}
  log_max_size:
    description: Size at which the log of a container is rotated. Used with the log drivers V(json-file) and V(local).
    type: str
    default: 10m
  log_max_file:
    description: Number of log files that are kept of each container.
    type: int
    default: 3
  live_restore:
    description: Whether containers keep running while the engine restarts. A node of a swarm never does.
    type: bool
    default: true
  registry_mirrors:
    description: Mirrors of Docker Hub; empty leaves those that are there.
    type: list
    elements: str
    default: []
  insecure_registries:
    description: Registries that are spoken to without TLS, or without a known certificate; empty leaves those that are there.
    type: list
    elements: str
    default: []
  certificates:
    description: Certificates of authorities to trust, PEM, by name.
    type: dict
    default: {}
  logins:
    description: Registries to log in to.
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: Name of the registry, with port if it has one; V(docker.io) is Docker Hub.
        type: str
        required: true
      username:
        description: User, or name of the token.
        type: str
        required: true
      password:
        description: Password or token.
        type: str
        required: true
  restart:
    description:
      - V(auto) restarts the engine, if that is needed, when containers survive or all that run belong to a stack.
      - V(never) leaves it to the operator, V(always) does it in any case.
    type: str
    choices: [auto, always, never]
    default: auto
  timeout:
    description: Seconds within which a started engine must answer.
    type: int
    default: 60
seealso:
  - name: Settings of the engine
    description: All keys of daemon.json, and those that a reload takes over.
    link: https://docs.docker.com/reference/cli/dockerd/
"""

EXAMPLES = r"""
- name: Have a running engine with a mirror
  longshore.stack.docker_engine:
    source: existing
    registry_mirrors: [https://mirror.example.org]
    daemon:
      default-address-pools:
        - {base: 10.80.0.0/16, size: 24}
  register: engine
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, in words.
  returned: success
  type: list
  elements: str
  sample: ["/etc/docker/daemon.json: live-restore, log-opts", "engine restarted"]
install:
  description: Where the missing engine comes from, why, and the packages to install; V(none) where an engine is there.
  returned: success
  type: dict
  sample: {source: distribution, reason: docker_source is distribution, packages: [ca-certificates, docker.io]}
action:
  description: What the engine needed; V(pending) means that it still needs a restart, which would stop containers.
  returned: success
  type: str
  sample: reload
engine:
  description: Version (empty where none runs), origin (docker, distribution, other, none) and what starts it (systemd, sysv, none).
  returned: success
  type: dict
  sample: {version: 26.1.5+dfsg1, origin: distribution, manager: systemd}
compose:
  description: Version of Docker Compose, empty where it is missing.
  returned: success
  type: str
  sample: 2.26.1-4
compose_needed:
  description: Whether a newer Docker Compose has to be installed beside the engine, because there is none, or one before 2.20.
  returned: success
  type: bool
  sample: false
architecture:
  description: Architecture of the host.
  returned: success
  type: str
  sample: x86_64
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._docker_engine import converge
from ansible_collections.longshore.stack.plugins.module_utils._docker_settings import Login, Wanted
from ansible_collections.longshore.stack.plugins.module_utils._engine import EngineError
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

LOGIN = {"registry": {"required": True}, "username": {"required": True}, "password": {"required": True, "no_log": True}}
SPEC = {
    "source": {"choices": ["auto", "docker", "distribution", "existing"], "default": "auto"},
    "repository": {"default": Wanted.repository},
    "fingerprint": {"default": Wanted.fingerprint},
    "daemon": {"type": "dict", "default": {}},
    "log_max_size": {"default": Wanted.log_max_size},
    "log_max_file": {"type": "int", "default": Wanted.log_max_file},
    "live_restore": {"type": "bool", "default": True},
    "registry_mirrors": {"type": "list", "elements": "str", "default": []},
    "insecure_registries": {"type": "list", "elements": "str", "default": []},
    "certificates": {"type": "dict", "default": {}},
    "logins": {"type": "list", "elements": "dict", "default": [], "options": LOGIN},
    "restart": {"choices": ["auto", "always", "never"], "default": "auto"},
    "timeout": {"type": "int", "default": 60},
}


def main():
    module = AnsibleModule(SPEC, supports_check_mode=True)
    wanted = Wanted(**{**module.params, "logins": [Login(**login) for login in module.params["logins"]]})
    try:
        result = converge(wanted, Machine(), module.check_mode)
    except EngineError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
