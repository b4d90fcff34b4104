#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: health_probe
short_description: Wait until many targets answer as they should
version_added: 0.1.0
description:
  - Asks any number of targets at the same time, so a call takes about as long as the slowest of them, and repeats what is not good yet
    until O(timeout).
  - Each failure comes with its reason in plain words, and one message names everything that is broken.
  - Changes nothing. Needs no Python package on the managed host; the kinds V(exec) and V(container) need the C(docker) command.
  - Environment variables for HTTP proxies are not read. A probe always goes straight to its target.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes.read_only
options:
  timeout:
    description:
      - Seconds until all probes must be good. After that the module fails.
      - V(0) means that every probe has exactly one attempt, limited by its own O(probes[].timeout).
    type: float
    default: 30
  probes:
    description: The targets.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the target is called in messages, for example V(web). Unique in one call.
        type: str
        required: true
      kind:
        description:
          - V(http) - a request over HTTP or HTTPS to O(probes[].url).
          - V(tcp) - a connection to O(probes[].host) and O(probes[].port).
          - V(tls) - a TLS handshake there, with a certificate that is trusted, is for the name and lasts long enough.
          - V(exec) - a command in a container, judged by its exit status.
          - V(container) - a container, or every container of a compose project, runs and its health check passes.
        type: str
        choices: [http, tcp, tls, exec, container]
        default: http
      timeout:
        description: Seconds that one attempt may take, the whole answer included.
        type: float
        default: 5
      interval:
        description: Seconds between two attempts.
        type: float
        default: 1
      url:
        description: For V(http). No user or password in it; credentials belong in O(probes[].headers).
        type: str
      method:
        description: For V(http). Use V(HEAD) for an answer whose body never ends.
        type: str
        choices: [GET, HEAD, POST, OPTIONS]
        default: GET
      headers:
        description:
          - For V(http). Sent to the host of O(probes[].url) only, not to where it redirects.
          - Values are never shown, except those of well-known harmless headers such as C(Host) and C(Accept).
        type: dict
        default: {}
      status:
        description: For V(http). The good status codes.
        type: list
        elements: int
        default: [200]
      body_regex:
        description: For V(http). A Python regular expression that must be found in the first 64 KiB of the body, for example V("ready":\\s*true).
        type: str
      follow_redirects:
        description: For V(http). Follow up to five redirects.
        type: bool
        default: false
      resolve:
        description:
          - For V(http), V(tcp) and V(tls). Connect to this address instead of looking up the name, which stays what is asked for and what
            the certificate must be for, like C(curl --resolve). For example V(127.0.0.1).
        type: str
      ca_path:
        description:
          - For V(http) and V(tls). File or hashed directory of CA certificates (PEM) to trust instead of those of the host.
          - The file may appear while the probe waits.
        type: path
      validate_certs:
        description: For V(http) and V(tls). V(false) accepts any certificate, also one that has expired.
        type: bool
        default: true
      host:
        description: For V(tcp) and V(tls). Name or address.
        type: str
      port:
        description: For V(tcp), and V(tls) where it is 443 by default.
        type: int
      server_name:
        description: For V(tls). Name that is asked for (SNI) and that the certificate must be for. By default O(probes[].host).
        type: str
      min_days:
        description: For V(tls). Days that the certificate must still last.
        type: int
        default: 0
      container:
        description: For V(exec) and V(container). Name of the container.
        type: str
      project:
        description: For V(exec) and V(container) instead of O(probes[].container). Name of a compose project; V(exec) takes one of its containers.
        type: str
      service:
        description: Only containers of this service of O(probes[].project).
        type: str
      command:
        description: For V(exec). The command with its arguments, without a shell.
        type: list
        elements: str
        default: []
      rc:
        description: For V(exec). The good exit statuses.
        type: list
        elements: int
        default: [0]
      log_container:
        description: Name of a container of this host whose log says more about a probe that is not good in the end.
        type: str
      log_regex:
        description:
          - A Python regular expression for it. The last part of the log that it fits is added to the reason, or the first group of that part.
        type: str
        default: ""
  resume:
    description: What an earlier slice of the same work returned. Only the action plugin sets it.
    type: dict
    default: {}
seealso:
  - module: longshore.stack.compose_project
  - module: ansible.builtin.wait_for
"""

EXAMPLES = r"""
- name: The application answers through the edge of this host, whatever its name resolves to
  longshore.stack.health_probe:
    timeout: 60
    probes:
      - name: web
        url: https://app.example.org/ready
        resolve: 127.0.0.1
        ca_path: /etc/ssl/certs/ca-certificates.crt
        body_regex: '"database":\s*"ok"'
      - name: redirect to https
        url: http://app.example.org/
        resolve: 127.0.0.1
        status: [301, 308]

- name: Everything below it is well
  longshore.stack.health_probe:
    timeout: 30
    probes:
      - {name: broker port, kind: tcp, host: 10.0.0.5, port: 5672}
      - {name: certificate, kind: tls, host: app.example.org, min_days: 14}
      - {name: release, kind: container, project: shop-web-1.4.2}
      - {name: cache, kind: exec, container: shop-cache-cache-1, command: [valkey-cli, ping]}

- name: Look once, do not wait
  longshore.stack.health_probe:
    timeout: 0
    probes:
      - name: metrics
        url: http://127.0.0.1:9090/metrics
        timeout: 2
        headers:
          Authorization: "Bearer {{ metrics_token }}"
"""

RETURN = r"""
probes:
  description: One entry for each probe, in the order of the call. Also returned when the module fails.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: As given.
      type: str
    kind:
      description: As given.
      type: str
    ok:
      description: Whether the last attempt was good.
      type: bool
    latency_ms:
      description: How long the last attempt took, in milliseconds.
      type: int
    attempts:
      description: How often it was tried.
      type: int
    reason:
      description: Why it is not good; empty when it is.
      type: str
    answer:
      description: What a good target said; empty otherwise.
      type: str
  sample:
    - {"name": "web", "kind": "http", "ok": true, "latency_ms": 12, "attempts": 3, "reason": "", "answer": "answered 200"}
    - {"name": "db", "kind": "tcp", "ok": false, "latency_ms": 0, "attempts": 9, "reason": "connection refused by 10.0.0.5:5432", "answer": ""}
elapsed:
  description: Seconds that all of it took.
  returned: always
  type: float
  sample: 4.2
"""

import time
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._health_probe import (
    Outcome,
    Probe,
    checker,
    run_probes,
    secret_values,
    summary,
    told_by_logs,
    validate,
    waiting,
)

SLICE_SECONDS = 8.0
PROBE_ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["http", "tcp", "tls", "exec", "container"], "default": "http"},
    "timeout": {"type": "float", "default": 5},
    "interval": {"type": "float", "default": 1},
    "url": {"type": "str"},
    "method": {"type": "str", "choices": ["GET", "HEAD", "POST", "OPTIONS"], "default": "GET"},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "body_regex": {"type": "str"},
    "follow_redirects": {"type": "bool", "default": False},
    "resolve": {"type": "str"},
    "ca_path": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "server_name": {"type": "str"},
    "min_days": {"type": "int", "default": 0},
    "container": {"type": "str"},
    "project": {"type": "str"},
    "service": {"type": "str"},
    "command": {"type": "list", "elements": "str", "default": []},
    "rc": {"type": "list", "elements": "int", "default": [0]},
    "log_container": {"type": "str"},
    "log_regex": {"type": "str", "default": ""},
}
ARGUMENTS = {
    "timeout": {"type": "float", "default": 30},
    "probes": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": PROBE_ARGUMENTS,
        "required_if": [("kind", "http", ["url"]), ("kind", "tcp", ["host", "port"]), ("kind", "tls", ["host"]), ("kind", "exec", ["command"])],
    },
    "resume": {"type": "dict", "default": {}},
}


def unmask_plain_headers(module: AnsibleModule, probes: list[Probe]) -> None:
    """Let the values of harmless headers be seen, else a `Host` header would blacken the host's name in every message."""
    secret = {value for probe in probes for value in secret_values(probe.headers)}
    every = {str(value) for probe in probes for value in probe.headers.values()}
    module.no_log_values -= every - secret


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    probes = [Probe(**entry) for entry in module.params["probes"]]
    unmask_plain_headers(module, probes)
    errors = validate(probes)
    if errors:
        module.fail_json(msg="; ".join(errors))
    resume, timeout = module.params["resume"], module.params["timeout"]
    started = resume.get("started", time.time())
    outcomes = [Outcome(**entry) for entry in resume.get("outcomes", [])] or [Outcome(probe.name, probe.kind) for probe in probes]
    begin = time.monotonic()
    end = begin + started + timeout - time.time() if timeout else None
    run_probes(probes, outcomes, end, begin + SLICE_SECONDS, checker(Engine()))
    elapsed = time.time() - started
    result = {"changed": False, "probes": [asdict(outcome) for outcome in outcomes], "elapsed": round(elapsed, 3)}
    broken = summary(outcomes, elapsed)
    if broken and timeout - elapsed > min(probe.interval for probe in probes):
        module.exit_json(pending=True, progress=waiting(outcomes), resume={"started": started, "outcomes": result["probes"]}, **result)
    if broken:
        told_by_logs(Engine(), probes, outcomes)
        result["probes"] = [asdict(outcome) for outcome in outcomes]
        module.fail_json(msg=summary(outcomes, elapsed), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
