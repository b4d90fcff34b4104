#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration
short_description: Migrate a database schema once for a release
version_added: 0.1.0
description:
  - Runs the migration of a release in one-off containers of a service of the release's compose file, so with its image, environment,
    networks and secrets, and never in a container that serves.
  - Looks first what is pending (one container), also for a release that was migrated before, as the database may have been restored since.
    Only if something is, applies it, looks again whether it really is applied, and runs the seed step.
  - The container is detached. When the connection to the host is cut, the migration goes on, and the next run of the same release waits
    for it. The next run of another release with the same O(lock) refuses while it lasts; with a O(lease) it stops what the run that had the lease
    before has left. Two never run at the same time.
  - At the end of O(timeout) the container is stopped and removed, and PostgreSQL ends the sessions that it left, see O(postgres_guard).
  - Passwords in URLs, the values of the project's secrets, and those of variables of the service whose names look like a secret's, are
    masked in all output.
  - Needs the C(docker) command with Compose 2.20 or newer on the managed host, and C(sh) in the image.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  project:
    description: Name of the compose project of the release, for example V(shop-web-1.4.2).
    type: str
    required: true
  path:
    description:
      - Directory of the release with its C(compose.yaml).
      - In check mode it may be missing, see O(preview).
    type: path
    required: true
  release:
    description: Identity of the release. By default the last part of O(path).
    type: str
  lock:
    description:
      - What must not be migrated twice at the same time, for example V(shop-web) for all releases of an application. By default O(project).
      - The container is called C(<lock>-migration).
    type: str
  service:
    description: Service of the compose file that is run; usually one with C(profiles=[tools]), so that nothing else starts it.
    type: str
    default: migrate
  tool:
    description:
      - V(alembic) - C(alembic current), C(alembic history), C(alembic upgrade head).
      - V(django) - C(manage.py showmigrations --plan), C(manage.py migrate --noinput).
      - V(command) - O(command), with O(check_command) and O(current_command) to look first.
    type: str
    choices: [alembic, django, command]
    default: alembic
  command:
    description:
      - With V(command) the command that migrates, with its arguments and without a shell.
      - Otherwise how the tool is called, in place of V([alembic]) or V([python, manage.py]), for example V([alembic, -c, db/alembic.ini]).
    type: list
    elements: str
    default: []
  check_command:
    description:
      - For V(command). Must change nothing and exit V(0) when nothing is pending, V(1) when something is. The lines it prints then name it.
      - Without it the migration runs each time, whether or not there is anything to do.
    type: list
    elements: str
    default: []
  current_command:
    description: For V(command). Must change nothing; the last line of its output is the revision of the database.
    type: list
    elements: str
    default: []
  working_dir:
    description: Directory in the container. By default that of the service.
    type: str
  seed:
    description:
      - Command that runs after a migration that changed something. It should be idempotent.
      - When it fails the module fails, and the next run repeats it.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds for all of it.
    type: float
    default: 300
  postgres_guard:
    description:
      - Adds C(client_connection_check_interval) of one second and a C(statement_timeout) of five seconds more than O(timeout) to
        C(PGOPTIONS), and sets C(PGAPPNAME) to C(longshore-migration-<release>), so that the server itself ends a session whose client is gone.
      - Read by every client that is built on libpq, such as psycopg. Needs PostgreSQL 14 or newer and a direct connection. Turn it off for a pooler.
    type: bool
    default: true
  output_path:
    description: File on the host, V(0600), to which the output of the migration is added. By default C(migration.log) in O(path).
    type: path
  marker:
    description:
      - File on the host, V(0600), that remembers how far the migration of the release has come, for a run that goes on where an earlier one died.
        By default C(migration.json) in O(path).
    type: path
  lease:
    description:
      - The lease of the run, as the module P(longshore.stack.release#module) gave it, with C(app), C(path) and C(seconds). The migration is refused
        when another run has begun since, and the lease lasts on while it runs.
    type: dict
    default: {}
  preview:
    description:
      - The release as it would be written to O(path), for check mode only. It is written to a directory below C(/run/longshore/look) that root
        alone reads, for as long as the module looks, and removed again.
      - Without it, where the image is not on the host, or where the new release cannot read the database as it is, check mode warns that
        what is pending is not known, and claims no change.
    type: dict
    suboptions:
      spec:
        description: What the release is, see O(longshore.stack.release#module:spec).
        type: dict
        required: true
      secrets:
        description: Its secrets, see O(longshore.stack.release#module:secrets).
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the secret.
            type: str
            required: true
          value:
            description: Its value.
            type: str
            required: true
          uid:
            description: Owner of its file.
            type: int
            required: true
  resume:
    description: What an earlier slice of the same work returned. Only the action plugin sets it.
    type: dict
    default: {}
seealso:
  - module: longshore.stack.compose_project
  - name: PostgreSQL connection settings
    description: What the guard sets, and since which version.
    link: https://www.postgresql.org/docs/current/runtime-config-connection.html
"""

EXAMPLES = r"""
- name: Migrate with Alembic, once for the release
  longshore.stack.migration:
    project: shop-web-1.4.2
    path: /opt/shop/apps/web/releases/1.4.2
    lock: shop-web
    timeout: 600
    seed: [python, -m, app.seed]

- name: Migrate a Django project whose manage.py is in a folder
  longshore.stack.migration:
    project: shop-admin-7
    path: /opt/shop/apps/admin/releases/7
    tool: django
    working_dir: /app/backend

- name: Migrate with any command
  longshore.stack.migration:
    project: shop-api-3
    path: /opt/shop/apps/api/releases/3
    tool: command
    command: [./bin/migrate, up]
    check_command: [./bin/migrate, pending]
    current_command: [./bin/migrate, version]
"""

RETURN = r"""
msg:
  description: What was done or found, in words.
  returned: always
  type: str
  sample: migrated
revision_before:
  description: Revision of the database before; null for an empty one. With Django the last applied migration of the plan.
  returned: always
  type: str
  sample: 1975ea83b712
revision_after:
  description: Revision after; in check mode the one that it would be.
  returned: success
  type: str
  sample: ae1027a6acf0
pending_revisions:
  description: What was pending before, in the order of application. After a success all of it is applied.
  returned: always
  type: list
  elements: str
  sample: ["27c6a30d7c24 add orders", "ae1027a6acf0 add price"]
output:
  description: The last lines of the migration's output, standard output and error in the order of writing. All of it is in O(output_path).
  returned: always
  type: str
  sample: "INFO  [alembic.runtime.migration] Running upgrade 27c6a30d7c24 -> ae1027a6acf0, add price"
rc:
  description: Exit status of the command that failed.
  returned: failure, unless it was stopped at the time limit
  type: int
  sample: 1
duration:
  description: Seconds that all of it took.
  returned: always
  type: float
  sample: 3.1
"""

import os
import time

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._lease import LeaseError, guard
from ansible_collections.longshore.stack.plugins.module_utils._masking import fragments
from ansible_collections.longshore.stack.plugins.module_utils._migration import Migration, Spec, diff_of, foretold
from ansible_collections.longshore.stack.plugins.module_utils._one_off import OneOffError
from ansible_collections.longshore.stack.plugins.module_utils._quiet import Quiet

SLICE_SECONDS = 8.0
COMMAND = {"type": "list", "elements": "str", "default": []}
ARGUMENTS = {
    "project": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "release": {"type": "str"},
    "lock": {"type": "str"},
    "service": {"type": "str", "default": "migrate"},
    "tool": {"type": "str", "choices": ["alembic", "django", "command"], "default": "alembic"},
    "command": COMMAND,
    "check_command": COMMAND,
    "current_command": COMMAND,
    "working_dir": {"type": "str"},
    "seed": COMMAND,
    "timeout": {"type": "float", "default": 300},
    "postgres_guard": {"type": "bool", "default": True},
    "output_path": {"type": "path"},
    "marker": {"type": "path"},
    "lease": {"type": "dict", "default": {}},
    "preview": {
        "type": "dict",
        "options": {
            "spec": {"type": "dict", "required": True},
            "secrets": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "no_log": False,
                "options": {
                    "name": {"type": "str", "required": True},
                    "value": {"type": "str", "required": True, "no_log": True},
                    "uid": {"type": "int", "required": True},
                },
            },
        },
    },
    "resume": {"type": "dict", "default": {}},
}


def spec_of(params: dict) -> Spec:
    """The module's parameters as a Spec."""
    path = params["path"].rstrip("/")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in params.items() if name not in ("resume", "lease", "preview")}
    return Spec(**{
        **given,
        "path": path,
        "run": params["lease"].get("run", ""),
        "release": params["release"] or os.path.basename(path),
        "lock": params["lock"] or params["project"],
        "output_path": params["output_path"] or os.path.join(path, "migration.log"),
        "marker": params["marker"] or os.path.join(path, "migration.json"),
    })  # fmt: skip


def main():
    module = Quiet(ARGUMENTS, supports_check_mode=True)
    params = module.params
    if params["tool"] == "command" and not params["command"]:
        module.fail_json(msg="tool: command needs command, for example command: [./bin/migrate, up]")
    if params["tool"] != "command" and (params["check_command"] or params["current_command"]):
        module.fail_json(msg="check_command and current_command are for tool: command only; alembic and django are asked in their own way")
    preview, spec = params["preview"], spec_of(params)
    module.no_log_values.update(*(fragments(secret["value"]) for secret in (preview or {}).get("secrets", ())))
    try:
        if module.check_mode:
            result = foretold(spec, preview, Engine(), time.time, SLICE_SECONDS, params["resume"])
        else:
            guard(params["lease"], "migrate", time.time)
            result = Migration(spec, Engine(), False, time.time).run(SLICE_SECONDS, params["resume"])
    except OneOffError as error:
        module.fail_json(msg=str(error), **error.facts)
    except (EngineError, LeaseError) as error:
        module.fail_json(msg=str(error))
    for text in result.pop("warnings", ()):
        module.warn(text)
    if module._diff and "pending" not in result:
        result["diff"] = diff_of(result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
