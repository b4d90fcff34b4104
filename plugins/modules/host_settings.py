#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_settings
short_description: Kernel, journal, security upgrades and time of a host, in files of its own
version_added: 0.1.0
description:
  - Writes one drop-in file for each of them and no file of anybody else. Where a file of the administrator sets the same thing to another value, that
    one is left alone and named in RV(remarks). The files that packages bring below C(/usr) are there to be overruled.
  - What is in force is brought to it as well; a service that reads such a file is restarted if it has run since before.
  - In a container the kernel and the clock are those of the machine; what cannot be set there is a remark, too.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  sysctl:
    description: Settings of the kernel, for C(/etc/sysctl.d/90-longshore.conf). Not given, the file goes.
    type: list
    elements: dict
    suboptions: &setting
      key:
        description: Name of the setting.
        type: str
        required: true
      value:
        description: What it is set to.
        type: str
        required: true
      why:
        description: The reason, as a comment in the file.
        type: str
        default: ""
      least:
        description: Whether a larger value is as good, and is left alone.
        type: bool
        default: false
  journal:
    description: Settings for C(/etc/systemd/journald.conf.d/90-longshore.conf). Not given, the file goes.
    type: list
    elements: dict
    suboptions: *setting
  apt:
    description: Settings for C(/etc/apt/apt.conf.d/90longshore), which unattended-upgrades reads. Not given, the file goes.
    type: list
    elements: dict
    suboptions: *setting
  time:
    description:
      - Time servers; an empty list leaves them to the distribution. Not given, the clock is left alone.
      - Chrony is used where it is there, else systemd-timesyncd.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Let Valkey save, and keep the journal small
  longshore.stack.host_settings:
    sysctl:
      - {key: vm.overcommit_memory, value: "1", why: Valkey saves in a copy of its process.}
    journal:
      - {key: SystemMaxUse, value: 1G}
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, in words.
  returned: success
  type: list
  elements: str
  sample: [/etc/sysctl.d/90-longshore.conf, "vm.overcommit_memory: 0 -> 1"]
remarks:
  description: What was left as it is, and why.
  returned: success
  type: list
  elements: str
  sample: ["vm.swappiness is 60 in /etc/sysctl.d/99-ours.conf, which is left alone; the stack would have 10"]
install:
  description: Packages that the host lacks. Where there are any, nothing was done; install them and use the module again.
  returned: success
  type: list
  elements: str
  sample: [unattended-upgrades]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._base_host import Base, wanted_of
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

SETTING = {"key": {"required": True, "no_log": False}, "value": {"required": True}, "why": {"default": ""}, "least": {"type": "bool", "default": False}}
SETTINGS = {"type": "list", "elements": "dict", "options": SETTING}
SPEC = {"sysctl": SETTINGS, "journal": SETTINGS, "apt": SETTINGS, "time": {"type": "list", "elements": "str"}}


def main():
    module = AnsibleModule(SPEC, supports_check_mode=True)
    try:
        result = Base(wanted_of(module.params), Machine(), module.check_mode).converge()
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
