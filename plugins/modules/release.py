#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: One stage in the life of an application's release on a host
version_added: 0.1.0
description:
  - A release is a compose project of its own that starts beside the one that serves. Each call does one stage of its life, whole or not at all.
  - Containers of a release have no restart policy until it is live, so a reboot half-way starts one release, not two.
  - Traffic is led by the switch, whose runtime interface says which containers are ready and what is still in flight. Nothing is reloaded.
  - Every stage that changes something carries the lease of its run, and is refused when another run has begun since.
  - Needs the C(docker) command with Compose 2.20 or newer on the managed host, and root.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  state:
    description:
      - V(leased) - the run has the lease of the application. Only on the host that keeps it.
      - V(prepared) - the release's directory is written, nothing is started; RV(settled) says whether anything is left to do.
      - V(collected) - the static files of this release, and of those before it, are where its containers look for them.
      - V(started) - what an earlier run left is cleared away, then the processes that may overlap with others run and answer.
      - V(handed_over) - processes that must not run twice are stopped in every other release.
      - V(taken_over) - those of this release that run on this host are started, after those of other releases here were stopped.
      - V(switched) - the switch leads new requests to this release; the others are drained.
      - V(watched) - the release was looked at for O(watch) seconds, and nothing failed.
      - V(live) - the release is marked live and restarts by itself; a restart of the switch leads to it.
      - V(retired) - requests in flight had the seconds of C(deploy.drain), then the other releases are stopped and removed, and what is too old is pruned.
      - V(scaled) - the processes of the live release have the numbers of O(scale), also in releases to come.
      - V(held) - the run still has the lease, for O(lease_seconds) from now on. Nothing else is done.
      - V(taken_back) - the release is removed, and the one that was live serves again.
      - V(stood_by) - the release is live on another host, but not here; whatever of it and of the one that is live here is well serves until the next run
        goes on, and what must not run twice runs in one of them.
      - V(recalled) - an earlier release is looked up, RV(record) says what it consists of. Changes nothing.
      - V(listed) - RV(history), RV(kept) and RV(holder) say what there is. Changes nothing.
      - V(recorded) - the run's O(record) is added to the history and its lease given back. Only on the host that keeps the lease.
      - V(noted) - the O(record) of a run that had no lease, because it failed before, is added to the history.
      - V(unlocked) - whoever has the lease loses it. Only on the host that keeps it.
    type: str
    choices: &states
      - leased
      - prepared
      - collected
      - started
      - handed_over
      - taken_over
      - switched
      - watched
      - live
      - retired
      - scaled
      - held
      - taken_back
      - stood_by
      - recalled
      - listed
      - recorded
      - noted
      - unlocked
    required: true
  then:
    description:
      - States to bring about after O(state) in the same call, in this order and each as a call of its own would; RV(then) has their results.
      - For a fleet of one host, where nothing has to happen elsewhere in between. A call for one of them that is given RV(then) as O(ahead) does nothing
        but return what is in it.
      - Ends early where RV(settled) says that nothing is left to do, or where the lease is refused.
    type: list
    elements: str
    choices: *states
    default: []
  ahead:
    description: Results that an earlier call had under RV(then). Only the action plugin reads it.
    type: dict
    default: {}
  app:
    description: Name of the application.
    type: str
    required: true
  path:
    description: Directory of the application. In a stack the default is C({{ stack_root }}/apps/{{ app }}).
    type: path
  spec:
    description: The release, as P(longshore.stack.wiring#lookup) works it out from the inventory.
    type: dict
    default: {}
  secrets:
    description: Secrets of the release; one without a value is taken as it was kept.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the secret.
        type: str
        required: true
      value:
        description: The secret itself; without it the newest file of that name counts.
        type: str
      uid:
        description: Numeric owner of the file.
        type: int
        required: true
  release:
    description: The release to look up, for O(state=recalled); V(live) for the one that is live, V(previous) or empty for the one that was before it.
    type: str
    default: ""
  lease:
    description: The lease as O(state=leased) returned it.
    type: dict
    default: {}
  lease_seconds:
    description: Seconds for which this call asks for the lease, or makes it last longer.
    type: float
    default: 60
  run:
    description:
      - C(id) and C(owner) of the run that asks for the lease, and its C(kind) for the history, should it be killed.
      - The action plugin adds C(process), by which a later run on the same controller sees that this one is dead, and C(dead), a run of which it
        has seen that.
      - With C(live), the release that the run has seen live (empty for none), the lease is refused where that is another one by now.
    type: dict
    default: {}
  record:
    description: What the history says of the run, for O(state=recorded) and O(state=noted).
    type: dict
    default: {}
  part:
    description:
      - For O(state=started), which of the processes that may overlap with others. V(serving) are those that take requests, V(rest) the others,
        which are started without clearing away anything before.
      - For O(state=taken_back), V(rest) starts here what must not run twice of the live release, where O(spec) has its place for it on another host.
    type: str
    choices: [all, serving, rest]
    default: all
  replicas:
    description:
      - For O(state=switched), how many containers of each web process get requests beside those that serve; 0 for all of them, alone.
      - A process that must not run twice has all its requests in any case.
    type: int
    default: 0
  scale:
    description:
      - For O(state=scaled), how many containers of each process run on this host; C(null) for as many as the release has by itself.
      - "Example: C({web: 4})"
    type: dict
    default: {}
  fleet_scale:
    description:
      - For O(state=started) and O(state=scaled), the numbers that the host which keeps the lease has, as RV(scale) was with O(state=leased). This host has the
        same from then on, with those of O(scale) over them. Without it those that it has already.
    type: dict
  watch:
    description:
      - For O(state=watched), the C(seconds) to look, the percentage of requests that may fail as C(failures), and C(seen), the counters from which on
        requests count, as RV(seen) was when the switch was led to the release; without it those since the first look count.
    type: dict
    default: {}
  wait_timeout:
    description: Seconds until every container must be healthy.
    type: float
    default: 300
  resume:
    description: What an earlier slice of the same work returned. Only the action plugin sets it.
    type: dict
    default: {}
seealso:
  - module: longshore.stack.compose_project
  - module: longshore.stack.migration
  - name: HAProxy management guide
    description: The runtime interface of the switch.
    link: https://docs.haproxy.org/3.0/management.html#9.3
"""

EXAMPLES = r"""
- name: End the lease of a run that is dead
  longshore.stack.release:
    state: unlocked
    app: shop
    path: /opt/shop/apps/shop

- name: Know what the release before the live one consists of
  longshore.stack.release:
    state: recalled
    app: shop
    path: /opt/shop/apps/shop
  register: before
"""

RETURN = r"""
live:
  description: The release that is live now, empty when there is none.
  returned: success
  type: str
  sample: 1.4.2-0a1b2c3d
then:
  description: The results of the states in O(then) that came about, by state.
  returned: success
  type: dict
  sample: {}
of:
  description: The release that the call was about.
  returned: success
  type: str
  sample: 1.4.2-0a1b2c3d
done:
  description: What was done, in order.
  returned: success
  type: list
  elements: str
  sample: [stop shop-api-1-4-1-99887766-web-1]
seconds:
  description: How long the stage took on this host; for O(state=switched) the time between the first and the last command to the switch.
  returned: success
  type: float
  sample: 0.08
settled:
  description: Whether the release is live and nothing is left to do.
  returned: when O(state=prepared)
  type: bool
identity:
  description: The digest of the release's image, or its id where it was built or loaded; empty in check mode where neither is known yet.
  returned: when O(state=prepared)
  type: str
  sample: sha256:3bb23e65113c347f9d76c1cf6b7f9b8926ae6c58e8c89c2236ec8c4bfc09c014
stop_grace:
  description: The longest time, in seconds, that a container of the release, or of one that is there, may take to stop.
  returned: when O(state=prepared)
  type: float
  sample: 30.0
planned:
  description: By service, what a start would do.
  returned: when O(state=prepared)
  type: dict
  sample: {"web": "created"}
containers:
  description: Every container of the release.
  returned: when O(state=prepared), O(state=started) or O(state=taken_over)
  type: list
  elements: dict
seen:
  description: How many requests the release has had, and how many of them failed, when the switch had been led to it.
  returned: when O(state=switched)
  type: dict
  sample: {"total": 0, "failed": 0}
ended:
  description: Requests that were still open at the end of the drain, and were ended by the application when it was told to stop.
  returned: when O(state=retired)
  type: int
  sample: 4
cut:
  description: Requests that were still open then, and were cut off.
  returned: when O(state=retired)
  type: int
  sample: 0
numbers:
  description: How many containers of each process of the release run on this host.
  returned: when O(state=scaled)
  type: dict
  sample: {"web": 4, "worker": 2}
scale:
  description: What processes are scaled to on this host, until that is taken back.
  returned: when O(state=prepared) or O(state=leased)
  type: dict
  sample: {"web": 4}
before:
  description: What the processes of O(scale) had been scaled to, by O(fleet_scale) where it is given; C(null) where they had not.
  returned: when O(state=scaled)
  type: dict
  sample: {"web": null}
lease:
  description: C(run), C(number) and C(owner) of the lease.
  returned: when O(state=leased)
  type: dict
record:
  description: What O(state=recalled) found, as it was written when the release was made.
  returned: when O(state=recalled)
  type: dict
pull:
  description: What to pull before the recalled release can be prepared, because its image is not on this host any more; else empty.
  returned: when O(state=recalled)
  type: str
  sample: registry.example.org/shop@sha256:3bb23e65113c347f9d76c1cf6b7f9b8926ae6c58e8c89c2236ec8c4bfc09c014
notes:
  description: What going back to the recalled release means, where it is not plain, such as a schema that has moved on; from the history of this host.
  returned: when O(state=recalled)
  type: list
  elements: str
summary:
  description: What is live now and how long it took, for the user; empty for a run that has made nothing live.
  returned: when O(state=recorded)
  type: str
  sample: "live on app1, app2, in place of 1.4.1-99887766; the switch took 0.08 s. Stages: start 6.21 s, switch 0.08 s"
history:
  description: The newest entries of the history, the newest first.
  returned: when O(state=listed)
  type: list
  elements: dict
kept:
  description: Releases that are kept on the host.
  returned: when O(state=listed)
  type: list
  elements: str
holder:
  description: Who releases the application now; empty when nobody does.
  returned: when O(state=listed)
  type: str
"""

import time
from dataclasses import asdict

from ansible_collections.longshore.stack.plugins.module_utils._assets import AssetsError
from ansible_collections.longshore.stack.plugins.module_utils._compose_project import ProjectError
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._lease import LeaseError
from ansible_collections.longshore.stack.plugins.module_utils._members import ReleaseError
from ansible_collections.longshore.stack.plugins.module_utils._one_off import OneOffError
from ansible_collections.longshore.stack.plugins.module_utils._quiet import Quiet
from ansible_collections.longshore.stack.plugins.module_utils._row import Row
from ansible_collections.longshore.stack.plugins.module_utils._stages import STAGES
from ansible_collections.longshore.stack.plugins.module_utils._switch import SwitchError

ARGUMENTS = {
    "state": {"type": "str", "choices": list(STAGES), "required": True},
    "then": {"type": "list", "elements": "str", "choices": list(STAGES), "default": []},
    "ahead": {"type": "dict", "default": {}},
    "app": {"type": "str", "required": True},
    "path": {"type": "path"},
    "spec": {"type": "dict", "default": {}},
    "secrets": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "name": {"type": "str", "required": True},
            "value": {"type": "str", "no_log": True},
            "uid": {"type": "int", "required": True},
        },
    },
    "release": {"type": "str", "default": ""},
    "lease": {"type": "dict", "default": {}},
    "lease_seconds": {"type": "float", "default": 60},
    "run": {"type": "dict", "default": {}},
    "record": {"type": "dict", "default": {}},
    "part": {"type": "str", "choices": ["all", "serving", "rest"], "default": "all"},
    "replicas": {"type": "int", "default": 0},
    "scale": {"type": "dict", "default": {}},
    "fleet_scale": {"type": "dict"},
    "watch": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "float", "default": 300},
    "resume": {"type": "dict", "default": {}},
}


def main():
    module = Quiet(ARGUMENTS, supports_check_mode=True)
    if not module.params["path"]:
        module.fail_json(msg="release needs path; it is worked out where stack_root is set")
    row = Row(module.params, module.check_mode, Engine(), time.time, time.sleep)
    module.no_log_values.update(*(secret.fragments() for secret in row.call.known_secrets()))
    try:
        result = row.run()
    except LeaseError as error:
        module.fail_json(msg=str(error), changed=row.changed, holder=asdict(error.holder) if error.holder else {})
    except (ReleaseError, SwitchError, ProjectError, EngineError, AssetsError, OneOffError, ValueError, OSError) as error:
        # A full disk does not say which file it had no room for.
        nameless = isinstance(error, OSError) and error.strerror and not error.filename
        message = f"{error} (below {module.params['path']})" if nameless else str(error)
        module.fail_json(msg=message, changed=row.changed, of=row.call.spec.get("release", ""), live=row.call.releases.marked())
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
