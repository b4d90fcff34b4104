# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: endpoint
author:
  - longshore contributors (@longshore)
version_added: 0.1.0
short_description: How this host reaches a service of the stack
description:
  - Answers from the inventory alone. On the host of the service it is the service's name on the backend network; on another host it is
    the private address of the service's host; with C(<service>_external_url) set it is that address.
options:
  _terms:
    description: Services - V(postgres), V(valkey), V(rabbitmq), V(minio), V(seaweedfs), or V(s3) for whichever of the last two has hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say where the database is
  ansible.builtin.debug:
    msg: "{{ lookup('longshore.stack.endpoint', 'postgres').host }}"
"""

RETURN = r"""
_raw:
  description:
    - A dictionary for each term with C(host), C(port), C(scheme), C(url) where it is external, and C(via), which is C(network), C(address)
      or C(external).
  type: list
  elements: dict
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.longshore.stack.plugins.module_utils._wiring import WiringError, endpoint
from ansible_collections.longshore.stack.plugins.plugin_utils.view import view_of


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        view = view_of(variables, self._templar.template)
        try:
            return [endpoint(view, term) for term in terms]
        except WiringError as error:
            raise AnsibleLookupError(str(error)) from error
