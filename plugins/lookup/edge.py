# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: edge
author:
  - longshore contributors (@longshore)
version_added: 0.1.0
short_description: What the proxy of this host is given
description:
  - The routes of the inventory in the words of the proxy that it chooses, and what the proxy needs beside them.
options:
  _terms:
    description:
      - V(files) - the configuration of the proxy in C(stack_proxy), for the module P(longshore.stack.compose_project#module); passwords are in it as hashes.
      - V(secrets) - the keys of given certificates and the one of the account of an ACME authority, for the same module; needs O(uid).
      - V(folders) - the folders of this host that the proxy serves files from.
      - V(ports) - what the proxy's container publishes, as Compose has it.
      - V(names) - the host names of the routes.
      - V(lego_asks) - whether lego gets the certificates.
      - V(lego_environment) - what the role P(longshore.stack.lego#role) tells lego.
      - V(lego_secrets) - the key of the account and the credentials of the DNS provider, for the module compose_project; needs O(uid).
      - V(certificates) - a probe for P(longshore.stack.health_probe#module) of the certificate of each host name; takes O(ca_path).
      - V(beside_services) - whether the proxy leads to a service on its own host, over the network of the services.
    type: str
    required: true
  uid:
    description: Numeric user that the proxy runs as.
    type: int
    default: 0
  ca_path:
    description: File with the authority of the edge on the proxy host, where it is one that the host does not trust.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show what the proxy is told
  ansible.builtin.debug:
    msg: "{{ lookup('longshore.stack.edge', 'files') }}"
"""

RETURN = r"""
_raw:
  description: The answer - a list, or whether something is so.
  type: list
"""

from functools import partial

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.longshore.stack.plugins.module_utils import _edge_nginx, _edge_traefik, _routes
from ansible_collections.longshore.stack.plugins.module_utils._edge_caddy import caddyfile
from ansible_collections.longshore.stack.plugins.module_utils._wiring import WiringError
from ansible_collections.longshore.stack.plugins.plugin_utils.certificates import names_in
from ansible_collections.longshore.stack.plugins.plugin_utils.controller_files import read_file
from ansible_collections.longshore.stack.plugins.plugin_utils.passwords import bcrypt
from ansible_collections.longshore.stack.plugins.plugin_utils.view import view_of

# By proxy: the text of each of its files.
RENDERERS = {
    "caddy": lambda edge, view, _certificates: {"config/Caddyfile": caddyfile(edge, view.own("caddy_config", "") or "")},
    "traefik": lambda edge, _view, certificates: _edge_traefik.files(edge, certificates),
    "nginx": lambda edge, view, _certificates: _edge_nginx.files(edge, view.own("nginx_config", "") or ""),
}


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        view = view_of(variables, self._templar.template)
        answers = {
            "files": lambda: self._files(view),
            "secrets": lambda: self._secrets(view, self.get_option("uid")),
            "folders": lambda: _routes.static_folders(view),
            "ports": lambda: _routes.ports(view),
            "lego_asks": lambda: _routes.lego_asks(view),
            "lego_environment": lambda: _routes.lego_environment(view),
            "lego_secrets": lambda: self._lego_secrets(view, self.get_option("uid")),
            "names": lambda: _routes.names(view),
            "certificates": lambda: _routes.certificate_probes(view, self.get_option("ca_path")),
            "beside_services": lambda: _routes.beside_services(view),
        }
        unknown = [term for term in terms if term not in answers]
        if unknown:
            raise AnsibleLookupError(f"edge: {unknown[0]!r} is unknown; allowed: {', '.join(answers)}")
        try:
            return [answers[term]() for term in terms]
        except (WiringError, OSError, ValueError) as error:
            raise AnsibleLookupError(f"edge: {error}") from error

    def _files(self, view):
        hashed, certificates = partial(self._hashed, view.own("stack_name", "")), self._given(view, "certificate")
        edge = _routes.edge(view, hashed, [names_in(text) for text in certificates])
        files = RENDERERS[view.own("stack_proxy", "caddy")](edge, view, certificates)
        # The folder that the proxy has mounted.
        folder = "config/traefik" if "config/traefik/traefik.yml" in files else "config"
        files |= {f"{folder}/certificates/{number}.pem": text for number, text in enumerate(certificates)}
        return [{"path": path, "content": content} for path, content in files.items()]

    def _secrets(self, view, uid):
        found = {f"tls_{number}": text for number, text in enumerate(self._given(view, "key"))}
        if view.own("stack_tls") == "acme" and not _routes.lego_asks(view) and view.own("stack_acme_eab"):
            # As a line of a Caddyfile.
            found["acme_eab"] = "eab {id} {key}\n".format(**view.own("stack_acme_eab"))
        return self._entries(found, uid)

    def _lego_secrets(self, view, uid):
        account = view.own("stack_acme_eab") or {}
        found = {"acme_eab": account["key"]} if account else {}
        found |= {f"acme_{name}": text for name, text in _routes.dns_credentials(view).items()}
        return self._entries(found, uid)

    @staticmethod
    def _entries(found, uid):
        return [{"name": name, "value": text, "uid": uid} for name, text in found.items()]

    def _given(self, view, kind):
        """The texts of the files of stack_tls_files."""
        entries = view.own("stack_tls_files", []) if view.own("stack_tls", "internal") == "files" else []
        return [read_file(self._loader, entry[kind]).decode() for entry in entries]

    @staticmethod
    def _hashed(stack, password, purpose):
        return bcrypt(password, f"{stack} {purpose}")
