# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: wiring
author:
  - longshore contributors (@longshore)
version_added: 0.1.0
short_description: What follows from the inventory for the roles of this collection
description:
  - The roles ask here for what connects them, so that it is worked out in one place.
options:
  _terms:
    description:
      - V(probes) - a request through the edge for each route, for the module P(longshore.stack.health_probe#module); may have O(ca_path), and O(of)
        for one application alone.
      - V(users) - the applications' users of the service O(of).
      - V(published) - the ports that the service O(of) publishes on this host.
      - V(secrets) - the passwords that the service O(of) must know, for the module P(longshore.stack.compose_project#module); needs O(secrets) and O(uid).
      - V(app) - the application O(of) of C(stack_apps), with C(app_version) taken over.
      - V(release) - the release of the application O(of), for the module P(longshore.stack.release#module); needs O(secrets) and O(image).
      - V(processes) - the names of the processes of the application O(of) that run on this host.
      - V(recalled) - the same for a release that was made before; needs O(secrets) and O(record).
      - V(deploy) - the options in C(deploy) of the application O(of), with their defaults.
      - V(rollout) - the steps in which a release of the application O(of) gets the requests of O(hosts).
      - V(hooks) - what the application O(of) wants to be run at O(places) of a deploy.
      - V(uninterrupted) - the states among O(places) that come before the first place which the application O(of) has hooks at.
      - V(closed) - why the application O(of) may not be released at this moment, or nothing.
      - V(backends) - the web processes that the switch leads requests to; may have O(served).
      - V(switch_published) - the ports that the switch publishes on this host; may have O(served).
      - V(openings) - what the firewall of this host lets in, for the module P(longshore.stack.firewall#module); may have O(served).
      - V(host_settings) - what the services want of this host, for the module P(longshore.stack.host_settings#module).
    type: str
    required: true
  of:
    description: Name of the service or the application.
    type: str
  secrets:
    description: Values of the stack's secrets by name, as the module P(longshore.stack.secret#module) returns them.
    type: dict
  image:
    description: C(ref) and C(id) of the application's image, as the module P(longshore.stack.image#module) returns them.
    type: dict
  served:
    description: Web processes of the releases that are there, as the module P(longshore.stack.stack_roots#module) returns them.
    type: list
    elements: dict
    default: []
  places:
    description:
      - Places of a deploy, such as V(before switch), V(after live) or V(failed).
      - For V(uninterrupted), with states of the module P(longshore.stack.release#module) between them, in their order.
    type: list
    elements: str
    default: []
  closed:
    description: Applications under maintenance, as the modules P(longshore.stack.stack_roots#module) and P(longshore.stack.status#module) return them.
    type: list
    elements: str
    default: []
  hosts:
    description: The application hosts of the run.
    type: list
    elements: str
    default: []
  at_once:
    description: For V(rollout), in one step whatever the inventory says, as a rollback is.
    type: bool
    default: false
  record:
    description: What the module P(longshore.stack.release#module) recalled.
    type: dict
  ca_path:
    description: File with the certificate authority of the edge, where the host does not trust it by itself.
    type: str
    default: ""
  uid:
    description: Numeric user that the service runs as.
    type: int
"""

EXAMPLES = r"""
- name: Show what the switch leads to
  ansible.builtin.debug:
    msg: "{{ lookup('longshore.stack.wiring', 'backends') }}"
"""

RETURN = r"""
_raw:
  description: The answer, one list or dictionary.
  type: list
"""

from dataclasses import asdict
from datetime import UTC, datetime

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._base import host_settings
from ansible_collections.longshore.stack.plugins.module_utils._deploy import closed, deploy_options, hooks, rollout, uninterrupted
from ansible_collections.longshore.stack.plugins.module_utils._firewall import openings
from ansible_collections.longshore.stack.plugins.module_utils._release import processes_here, recalled, release_of
from ansible_collections.longshore.stack.plugins.plugin_utils.view import view_of


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        view, of = view_of(variables, self._templar.template), self.get_option("of")
        answers = {
            "probes": lambda: _wiring.probes(view, self.get_option("ca_path"), of or "", self.get_option("closed")),
            "users": lambda: _wiring.users(view, of),
            "published": lambda: _wiring.published(view, of),
            "secrets": lambda: _wiring.service_secrets(view, of, self.get_option("secrets"), self.get_option("uid")),
            "app": lambda: self._app(view, of),
            "backends": lambda: _wiring.backends(view, self.get_option("served")),
            "switch_published": lambda: _wiring.switch_published(view, self.get_option("served")),
            "openings": lambda: [asdict(opening) for opening in openings(view, self.get_option("served"))],
            "host_settings": lambda: host_settings(view),
            "deploy": lambda: deploy_options(self._app(view, of)),
            "rollout": lambda: rollout(deploy_options(self._app(view, of)), self.get_option("hosts"), self.get_option("at_once")),
            "hooks": lambda: hooks(self._app(view, of), *self.get_option("places")),
            "uninterrupted": lambda: uninterrupted(self._app(view, of), self.get_option("places")),
            "closed": lambda: closed(deploy_options(self._app(view, of)), datetime.now(UTC)),
            "processes": lambda: processes_here(view, self._app(view, of)),
            "recalled": lambda: recalled(view, self._app(view, of), self.get_option("record"), self.get_option("secrets")),
            "release": lambda: release_of(view, self._app(view, of), self.get_option("image"), self.get_option("secrets")),
        }
        unknown = [term for term in terms if term not in answers]
        if unknown:
            raise AnsibleLookupError(f"wiring: {unknown[0]!r} is unknown; allowed: {', '.join(answers)}")
        try:
            return [answers[term]() for term in terms]
        except _wiring.WiringError as error:
            raise AnsibleLookupError(str(error)) from error

    @staticmethod
    def _app(view, name):
        for app in view.apps:
            if app["name"] == name:
                return app
        raise AnsibleLookupError(f"wiring: no application is called {name!r}; stack_apps has {', '.join(app['name'] for app in view.apps) or 'none'}")
