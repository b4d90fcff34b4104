#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_project
short_description: Converge one directory with a compose project
version_added: 0.1.0
description:
  - Writes C(compose.yaml), configuration and secrets of one project, starts what is not as wanted, waits until it is healthy, and lets
    each service take over what it can take over without a restart. All in one remote call.
  - Each service carries a label with a hash of its definition, of the files mounted into it and of the generations of its secrets.
    A container whose label, image and state are right is left alone. A run that was killed half-way is finished by the next one.
  - Every service is hardened unless its definition says otherwise. These keys get a value when the service does not set them, and
    V(null) removes one - C(restart=unless-stopped), C(read_only=true), C(cap_drop=[ALL]), C(security_opt=[no-new-privileges:true]),
    C(stop_grace_period=30s), C(logging) with three files of 10 MB.
  - The definition is data. A C($) in it is literal; Compose does not interpolate it.
  - Needs the C(docker) command with Compose 2.20 or newer on the managed host, and root.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  stack:
    description: Name of the stack, written to the label C(stack.longshore.name). Where the variable C(stack_name) is set, that is the default.
    type: str
  service:
    description: Name of the service or application, written to the label C(stack.longshore.service).
    type: str
    required: true
  project:
    description: Name of the compose project. In a stack the default is C({{ stack_name }}-{{ service }}).
    type: str
  path:
    description: Absolute path of the project's directory. In a stack the default is C({{ stack_root }}/{{ service }}).
    type: path
  state:
    description:
      - V(present) - converged and healthy.
      - V(prepared) - everything is written, nothing is started; RV(planned) says what a start would do.
      - V(stopped) - containers are stopped and kept. With a O(definition) the files are converged, without one they are left alone.
      - V(absent) - containers, O(path) and O(secrets_path) are removed; O(directories) are left alone.
    type: str
    choices: [present, prepared, stopped, absent]
    default: present
  definition:
    description:
      - The compose file as data, with the keys C(services), C(networks), C(volumes). Networks with C(external=true) are made when they are missing.
      - A service with C(profiles) is written but not started.
    type: dict
    default: {}
  files:
    description: Configuration files below O(path). Nothing secret; the content is shown in a diff.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Relative path, for example V(config/app.conf).
        type: str
        required: true
      content:
        description: Text of the file.
        type: str
        required: true
      mode:
        description: Octal mode, as a string.
        type: str
        default: "0644"
  secrets:
    description:
      - Secrets of the project, each a file V(0400) named C(<name>.<generation>) in O(secrets_path) and a top-level secret of the compose file.
      - A new value gets a new generation, so the services that use it are recreated; a file under a running container never changes.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name; a service that lists it finds it at C(/run/secrets/<name>).
        type: str
        required: true
      value:
        description: The secret itself.
        type: str
        required: true
      uid:
        description: Numeric owner of the file, the uid that the container runs with.
        type: int
        required: true
  secrets_path:
    description: Directory of the secrets, made V(0700). In a stack the default is C({{ stack_secrets_root }}/{{ service }}).
    type: path
  directories:
    description: Directories of the host that must be there before the start, for bind mounts. Their content is not touched.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      uid:
        description: Numeric owner.
        type: int
        required: true
      gid:
        description: Numeric group.
        type: int
        required: true
      mode:
        description: Octal mode, as a string.
        type: str
        default: "0700"
  reload:
    description:
      - Files that a running service takes over by a command instead of a new container.
      - Where the command fails, the files get back what the service runs with, so that its next start does not meet what it has refused.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Service of the definition.
        type: str
        required: true
      files:
        description: Relative paths of O(files).
        type: list
        elements: str
        required: true
      command:
        description: Command in the container. It must fail when the configuration is not good.
        type: list
        elements: str
        required: true
      check:
        description:
          - Command that looks at the configuration in a container of its own, before one that runs is replaced by a new one. Where it fails, all files
            are as they were, and the container that runs stays.
          - "Example: C([nginx, -t, -q])"
        type: list
        elements: str
        default: []
      ports:
        description:
          - TCP ports of the container at which its first process listens with other sockets after O(reload[].command), while those of before go on for a
            second at least. The old ones stop listening as soon as the new ones are there, so that what they accept last is not lost when they go.
          - This needs root and Linux 5.6; O(definition) sets C(net.ipv4.tcp_migrate_req), of Linux 5.14, so that nobody who waits is turned away. Without
            them the command does what it does by itself.
          - "Example: V([80, 443])"
        type: list
        elements: int
        default: []
  provision:
    description:
      - Idempotent scripts that run in the healthy container each time, for what lives inside a service - users, databases, buckets.
      - Every line of standard output that begins with C(changed:) and a space is reported as a change.
      - With C(--check) as the last argument the script must only say what it would do.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Service of the definition.
        type: str
        required: true
      command:
        description: Command in the container.
        type: list
        elements: str
        required: true
  labels:
    description: More labels for every container.
    type: dict
    default: {}
  wait_timeout:
    description: Seconds until every container must be healthy. One without a health check must have run for five seconds.
    type: float
    default: 120
  resume:
    description: What an earlier slice of the same work returned. Only the action plugin sets it.
    type: dict
    default: {}
seealso:
  - module: longshore.stack.image
  - module: longshore.stack.health_probe
  - name: Compose file reference
    description: The keys of a definition.
    link: https://docs.docker.com/reference/compose-file/
"""

EXAMPLES = r"""
- name: Run a cache
  longshore.stack.compose_project:
    stack: shop
    service: cache
    project: shop-cache
    path: /opt/shop/cache
    secrets_path: /etc/longshore/secrets/shop/cache
    definition:
      services:
        cache:
          image: valkey/valkey:8.1.4
          command: [valkey-server, /etc/valkey/valkey.conf]
          user: "999:999"
          volumes: ["./config:/etc/valkey:ro", "/var/lib/shop/cache:/data"]
          secrets: [users_acl]
          healthcheck: {test: [CMD, valkey-cli, ping], interval: 5s}
    files:
      - path: config/valkey.conf
        content: |
          aclfile /run/secrets/users_acl
          appendonly yes
    secrets:
      - {name: users_acl, value: "{{ cache_acl }}", uid: 999}
    directories:
      - {path: /var/lib/shop/cache, uid: 999, gid: 999}

- name: Stop it and keep everything
  longshore.stack.compose_project:
    stack: shop
    service: cache
    project: shop-cache
    path: /opt/shop/cache
    state: stopped
"""

RETURN = r"""
containers:
  description: Every container that belongs to the project.
  returned: when O(state=present)
  type: list
  elements: dict
  sample: [{"service": "cache", "name": "shop-cache-cache-1", "state": "running", "health": "healthy", "action": "created"}]
actions:
  description: By service, what was done - unchanged, created, recreated, scaled, started, stopped or removed.
  returned: success
  type: dict
  sample: {"cache": "recreated"}
planned:
  description: By service, what a start would do.
  returned: when O(state=prepared)
  type: dict
  sample: {"web": "created"}
files:
  description: Relative paths of files that were written or removed.
  returned: success
  type: list
  elements: str
  sample: [compose.yaml]
reloaded:
  description: Services that took over new files without a restart.
  returned: success
  type: list
  elements: str
handed_over:
  description:
    - Services with O(reload[].ports) whose sockets of before were stopped when they listened with others. Where that was tried and could not be done,
      there is a warning with the reason.
  returned: success
  type: list
  elements: str
  sample: [caddy]
provisioned:
  description: What the provision scripts changed, in their words.
  returned: success
  type: list
  elements: str
  sample: [role shop created]
"""

import json
import posixpath
import time

from ansible_collections.longshore.stack.plugins.module_utils._compose_project import Outcome, Project, ProjectError, Secret, Spec
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._quiet import Quiet

SLICE_SECONDS = 8.0
LISTS = {
    "files": {"path": {"type": "str", "required": True}, "content": {"type": "str", "required": True}, "mode": {"type": "str", "default": "0644"}},
    "secrets": {
        "name": {"type": "str", "required": True},
        "value": {"type": "str", "required": True, "no_log": True},
        "uid": {"type": "int", "required": True},
    },
    "directories": {
        "path": {"type": "path", "required": True},
        "uid": {"type": "int", "required": True},
        "gid": {"type": "int", "required": True},
        "mode": {"type": "str", "default": "0700"},
    },
    "reload": {
        "service": {"type": "str", "required": True},
        "files": {"type": "list", "elements": "str", "required": True},
        "command": {"type": "list", "elements": "str", "required": True},
        "check": {"type": "list", "elements": "str", "default": []},
        "ports": {"type": "list", "elements": "int", "default": []},
    },
    "provision": {"service": {"type": "str", "required": True}, "command": {"type": "list", "elements": "str", "required": True}},
}
ARGUMENTS = {
    **{name: {"type": "list", "elements": "dict", "default": [], "options": options, "no_log": False} for name, options in LISTS.items()},
    "stack": {"type": "str"},
    "service": {"type": "str", "required": True},
    "project": {"type": "str"},
    "path": {"type": "path"},
    "state": {"type": "str", "choices": ["present", "prepared", "stopped", "absent"], "default": "present"},
    "definition": {"type": "dict", "default": {}},
    "secrets_path": {"type": "path", "no_log": False},
    "labels": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "float", "default": 120},
    "resume": {"type": "dict", "default": {}},
}


def spec_of(params: dict) -> Spec:
    """The module's parameters as a Spec."""
    files = {posixpath.normpath(entry["path"]): (entry["content"].encode(), int(entry["mode"], 8)) for entry in params["files"]}
    reload = [{**entry, "files": [posixpath.normpath(path) for path in entry["files"]]} for entry in params["reload"]]
    return Spec(
        files=files,
        secrets=tuple(Secret(**entry) for entry in params["secrets"]),
        secrets_path=params["secrets_path"] or "",
        reload=tuple(reload),
        **{name: tuple(params[name]) for name in ("directories", "provision")},
        **{name: params[name] for name in ("stack", "service", "project", "path", "state", "definition", "labels", "wait_timeout")},
    )


def main():
    module = Quiet(ARGUMENTS, supports_check_mode=True)
    needed = ("stack", "project", "path", *(("secrets_path",) if module.params["secrets"] else ()))
    for name in needed:
        if not module.params[name]:
            module.fail_json(msg=f"compose_project needs {name}; it is worked out where stack_name, stack_root and stack_secrets_root are set")
    resume = module.params["resume"]
    exact = json.loads(next(iter(resume.get("exact", {})), "{}"))
    started = exact.pop("started", time.time())
    earlier = Outcome(**{**resume.get("outcome", {}), **exact})
    try:
        spec = spec_of(module.params)
        module.no_log_values.update(*(secret.fragments() for secret in spec.secrets))
        project = Project(spec, Engine(), module.check_mode, time.time, time.sleep)
        project.outcome = earlier
        outcome = project.run(SLICE_SECONDS, started)
    except (ProjectError, EngineError, ValueError, OSError) as error:
        module.fail_json(msg=str(error), changed=earlier.changed)
    for service, reason in outcome.not_handed_over.items():
        module.warn(f"{service}: the sockets that it listened on before could not be stopped ({reason}); connections that came meanwhile may have been lost")
    result = {"changed": outcome.changed, **outcome.public()}
    if module._diff:
        result["diff"] = outcome.diff()
    if outcome.pending:
        # A short secret is masked wherever it occurs, also in numbers; keys are not.
        exact = {"started": started, "actions": outcome.actions, "restarts": outcome.restarts}
        result.update(pending=True, progress=outcome.pending, resume={"exact": {json.dumps(exact): True}, "outcome": outcome.carried()})
    module.exit_json(**result)


if __name__ == "__main__":
    main()
