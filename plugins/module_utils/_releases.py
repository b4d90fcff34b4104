# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of an application on one host, stage by stage: which containers belong to which, which is live, what may go."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._compose import replicas
from ansible_collections.longshore.stack.plugins.module_utils._engine import EngineError
from ansible_collections.longshore.stack.plugins.module_utils._members import Member, Members, ReleaseError, record_of
from ansible_collections.longshore.stack.plugins.module_utils._names import COMPOSE_FILE, LABEL_ONE_OFF, LABEL_RUN, LIVE, PREVIOUS
from ansible_collections.longshore.stack.plugins.module_utils._one_off import STOP_SECONDS, seconds_of
from ansible_collections.longshore.stack.plugins.module_utils._parting import Parting
from ansible_collections.longshore.stack.plugins.module_utils._switch import GROUPS, SwitchError
from ansible_collections.longshore.stack.plugins.module_utils._unneeded import forget, images_of

# In a release's directory since it went live for the first time, as old as the last time.
WAS_LIVE = ".was-live"
LIVE_POLICY = "unless-stopped"
# Seconds that whoever started a command has, after its end, to take what it said.
HEARD_SECONDS = 60.0
# Seconds in which nobody may answer the switch: one that was started again looks for addresses first.
DOWN_SECONDS = 3.0


@dataclass
class Releases(Members):
    """The stages of a release, the way back from each of them, and what goes when it is too old."""

    def is_settled(self, there: Sequence[Member], empty: bool = False) -> bool:
        """Whether nothing is left to do: the release is live, alone, restarts by itself, and the switch leads to it.

        empty: it has no containers on this host, such as one of singletons alone on any host but the first.
        """
        mine = [member for member in there if member.release == self.app.release]
        if self.marked() != self.app.release or not (mine or empty):
            return False
        if any(not member.well or member.policy != LIVE_POLICY for member in mine) or any(self._leftover(member) for member in there):
            return False
        return not self.switch or not self.app.backends or self.switch.serves(self.upstreams(there, self.app.release))

    def _leftover(self, member: Member) -> bool:
        """A container that belongs to no release which may run."""
        if member.release in (self.app.release, self.marked()):
            return False
        return not (self.app.warm and member.release == self.marked(PREVIOUS))

    # -- stages --------------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """What a dead run left goes, and the live release is whole again: first its requests, then its singletons.

        Where the live release is ill, the one to come may be what mends it: it does not stand in its way, and whatever serves for it stays.
        """
        self._end_commands()
        live = self.marked()
        try:
            led = self._bring_back(live, spare=True) if live else not self.app.backends
        except (SwitchError, EngineError):
            led = False
        if led:
            self.part([member for member in self.observe() if self._leftover(member)])
        if live not in ("", self.app.release):
            with contextlib.suppress(SwitchError, EngineError, ReleaseError):
                self._start_singletons(live)

    def _end_commands(self) -> None:
        """Hooks, migrations and collections of static files of a run that died do not go on beside those of this one."""
        if not self.app.run or self.check:
            return
        left = {one["Id"]: one["Name"].lstrip("/") for one in self._labelled({LABEL_RUN: None}) if one["Config"]["Labels"][LABEL_RUN] != self.app.run}
        if not left:
            return
        # Somebody who waits for one of them may remove it at this moment; what counts is what is there afterwards.
        for words in (["stop", "-t", str(STOP_SECONDS)], ["rm", "--force"]):
            said = self.engine.run([*words, *left])
        if still := [one for one in self.engine.inspect("container", list(left)) if one["State"]["Status"] != "removing"]:
            raise ReleaseError(f"{left[still[0]['Id']]}, which a run left that died, cannot be removed: {said.reason()}")
        self.done += [f"rm {name}" for name in left.values()]

    def clear_ended(self) -> None:
        """Containers of commands that have ended, and that whoever ran them did not clear away; they keep images that nobody needs any more."""
        for one in [] if self.check else self._labelled({LABEL_ONE_OFF: "True"}):
            state = one["State"]
            ended = {"created": one["Created"], "exited": state.get("FinishedAt"), "dead": state.get("FinishedAt")}.get(state["Status"])
            if ended and seconds_of(ended) + HEARD_SECONDS < self.clock():
                self.engine.run(["rm", "--force", one["Id"]])
                self.done.append(f"rm {one['Name'].lstrip('/')}")

    def expected(self, numbers: Mapping[str, int] | None = None, scale: Collection[str] = ()) -> None:
        """Fails when the switch does not know a process of this release, or has no places for so many containers: better before anything starts than after.

        scale: the processes whose number is an operator's.
        """
        if not self.switch or not self.app.backends or self.check:
            return
        places = self.switch.places(self._backends())
        for process, backend in self.app.backends.items():
            number, most = (numbers or {}).get(process, 0), len({place.slot for place in places[backend["name"]] if place.group == GROUPS[0]})
            if number > most:
                back = f"-e app_name={self.app.name} -e app_process={process} -e app_replicas=inventory"
                scaled = f", or take back its scale: ansible-playbook -i <inventory> longshore.stack.scale {back}" if process in scale else ""
                raise ReleaseError(f"{process} has {number} containers and the switch has {most} places for them; site.yml gives it more{scaled}")

    def hand_over(self) -> None:
        """What must not run twice stops in every other release. A reboot before the new one is live starts it again: that is what `always` means."""
        others = [m for m in self.observe() if m.release != self.app.release and m.process in self.app.singletons and m.running]
        self._policy([member for member in others if member.release == self.marked()], "always")
        self._do("stop", others)

    def surplus(self, numbers: Mapping[str, int]) -> list[Member]:
        """Containers of the live release beyond these numbers of its processes: first those that are ill, then the youngest."""
        if self.app.release != self.marked():
            return []
        mine = sorted((m for m in self.observe() if m.release == self.app.release), key=lambda member: (not member.well, member.number))
        by_process = {process: [member for member in mine if member.process == process] for process in numbers}
        return [member for process, members in by_process.items() for member in members[numbers[process] :]]

    def lead_past(self, leaving: Collection[Member]) -> None:
        """No new requests for these containers of the live release."""
        gone = {member.id for member in leaving}
        staying = [member for member in self.observe() if member.id not in gone]
        if self.switch and (wanted := self._all_running(staying, self.app.release)) and not self.switch.leads(wanted):
            self.switch.turn(wanted)

    def turn(self, replicas: int = 0) -> float:
        """The switch leads to the release from now on; seconds that it took.

        replicas: so many containers of each web process get requests beside those that serve, to see how they do; 0 for all, alone.
        """
        there = self.observe()
        wanted = self._all_running(there, self.app.release)
        if not self.switch or not wanted:
            return 0.0
        # Of what must not run twice the old one is down already, so there is nothing to stand beside.
        beside = {one["name"] for process, one in self.app.backends.items() if process not in self.app.singletons} if replicas else set()
        seconds = self.switch.turn({name: found[:replicas] if name in beside else found for name, found in wanted.items()}, beside)
        self.done.append(f"switch {f'{replicas} of ' if beside else ''}{self.app.release}")
        return seconds

    def watch(self, before: Mapping[str, Any], most: float) -> dict[str, Any]:
        """A look at the release that serves: fails when a container is down, or more than `most` percent of the requests fail."""
        there = self.observe()
        self._part_twins(there)
        mine = [member for member in there if member.release == self.app.release]
        ill = [member for member in mine if not member.well]
        if ill:
            raise ReleaseError(f"after the switch {self._condition(ill[0])}\n{self.logs(ill[:1])}")
        if self.switch and self.app.backends and (lost := self.switch.not_led_to(self._backends(), {member.id[:12] for member in mine})):
            raise ReleaseError(f"the switch leads requests for {', '.join(lost)} elsewhere, perhaps because it was started again meanwhile")
        self._answers(mine)
        now = self.counted(mine)
        # Counters that have become smaller begin anew.
        seen = before if before and before["total"] <= now["total"] else now
        asked, broken = now["total"] - seen["total"], now["failed"] - seen["failed"]
        if asked >= 20 and broken * 100 > most * asked:
            raise ReleaseError(f"after the switch {broken} of {asked} requests failed; allowed are {most:g} %")
        return dict(seen)

    def _answers(self, mine: Sequence[Member]) -> None:
        """Fails when the switch finds for some seconds that nobody answers it. The engine sees that later, and ends nobody for it."""
        if not self.switch or not self.app.backends or self.check:
            return
        end = self.clock() + DOWN_SECONDS
        while down := self.switch.down(self._backends(), {member.id[:12] for member in mine}):
            if self.clock() > end:
                silent = [member for member in mine if self.app.backends.get(member.process, {}).get("name") in down]
                names = ", ".join(member.name for member in silent)
                raise ReleaseError(f"after the switch {names} does not answer any more, on its health path or at all\n{self.logs(silent[:1])}")
            self.sleep(0.25)

    def _part_twins(self, there: Sequence[Member]) -> None:
        """An engine that starts again brings back what has stopped for this release, beside what has taken over from it."""
        here = {member.process for member in there if member.release == self.app.release and member.process in self.app.singletons and member.running}
        self._do("stop", [member for member in there if member.release != self.app.release and member.process in here and member.running])

    def counted(self, mine: Sequence[Member] | None = None) -> dict[str, int]:
        """Requests that the release has had so far, and how many of them failed."""
        if not self.switch or not self.app.backends:
            return {"total": 0, "failed": 0}
        mine = [member for member in self.observe() if member.release == self.app.release] if mine is None else mine
        total, failed = self.switch.health(self._backends(), {member.id[:12] for member in mine})
        return {"total": total, "failed": failed}

    def fall_back(self) -> None:
        """The release is ill while it serves: on this host requests go back at once, before anything else is taken back."""
        live = self.marked()
        if live not in ("", self.app.release):
            with contextlib.suppress(SwitchError, EngineError):
                self._lead(live, alone=False)

    def confirm(self) -> None:
        """The release is well and has the requests, now. A switch that was started again meanwhile leads where it led before, and is told once more."""
        there = self.observe()
        self._part_twins(there)
        ill = [member for member in there if member.release == self.app.release and not member.well]
        if ill:
            raise ReleaseError(f"after the switch {self._condition(ill[0])}\n{self.logs(ill[:1])}")
        wanted = self._all_running(there, self.app.release)
        if self.switch and wanted and not self.switch.leads(wanted):
            self.turn()
        self._answers([member for member in there if member.release == self.app.release])

    def go_live(self) -> None:
        """The commit on this host. In an order in which a reboot at any moment leaves a release that serves, and no singleton twice."""
        self.confirm()
        there, before = self.observe(), self.marked()
        mine = [member for member in there if member.release == self.app.release]
        others = [member for member in there if member.release != self.app.release and member.policy != "no"]
        alone = [member for member in others if member.process in self.app.singletons]
        # For a moment no singleton would come back; the next run mends that, but not what two of them have done.
        self._policy(alone, "no")
        self._policy([member for member in mine if member.policy != LIVE_POLICY], LIVE_POLICY)
        if before and before != self.app.release:
            self._mark(PREVIOUS, before)
        self._mark(LIVE, self.app.release)
        self._touch()
        self.keep()
        self._policy([member for member in others if member not in alone], "no")

    def keep(self) -> None:
        """A restart of the switch leads to what it leads to now."""
        if self.switch and self.app.backends:
            self.switch.keep(self._backends())

    def retire(self) -> Parting:
        """The other releases stop and go."""
        others = [member for member in self.observe() if member.release != self.app.release]
        warm = [m for m in others if self.app.warm and m.release == self.marked(PREVIOUS) and m.process in self.app.backends]
        return self.part([member for member in others if member not in warm])

    def take_back(self) -> None:
        """The release goes, and the one that was live is whole again. Where there was none, nothing stays.

        Where the release has its place for what must not run twice on another host, that of the live one is started when it has stopped there.
        """
        live = self.marked()
        if live == self.app.release:
            # The live release itself could not be brought to what was wanted; nothing else could serve in its place.
            return
        try:
            if live and not self._bring_back(live) and self._has_requests(self.app.release):
                raise ReleaseError(f"{live} does not run any more, so {self.app.release} is left serving; the next run settles it")
            # Also what a run has left that died before it: its directory goes below.
            self.part([member for member in self.observe() if member.release == self.app.release or (live and self._leftover(member))])
        except (SwitchError, EngineError):
            # Whatever the switch does or does not, there is one scheduler, and it is the live release's.
            mine = [member for member in self.observe() if member.release == self.app.release and member.process in self.app.singletons]
            self._do("stop", [member for member in mine if member.running])
            with contextlib.suppress(SwitchError, ReleaseError):
                self._start_singletons(live)
            raise
        if live:
            self._start_singletons(live)

    def drop_unborn(self) -> None:
        """What is left of other releases that never were live and have no containers."""
        live, there = self.marked(), {member.release for member in self.observe()}
        if live != self.app.release:
            self._drop([name for name in self.never_live() if name != self.app.release and name not in there])

    def stand_by(self) -> None:
        """The release is live elsewhere already, and is not taken back; here it is not, and until the next run goes on whatever is well serves."""
        live = self.marked()
        if live in ("", self.app.release):
            return
        try:
            self._bring_back(live, spare=all(member.well for member in self.observe() if member.release == self.app.release))
        finally:
            mine = [member for member in self.observe() if member.release == self.app.release and member.process in self._here()]
            if self._here() and not (mine and all(member.well for member in mine)):
                self._do("stop", [member for member in mine if member.running])
                self._start_singletons(live)

    def prune(self) -> list[str]:
        """Releases beyond the number to keep go, and those that never were live. Never what is live or was before it."""
        protected = {self.app.release, self.marked(), self.marked(PREVIOUS), *(member.release for member in self.observe())} - {""}
        gone = [name for name in self.others() if name not in protected][max(0, self.app.keep - len(protected)) :]
        return self._drop([*gone, *(name for name in self.never_live() if name not in protected)])

    def undo(self) -> None:
        """What a release that could not be prepared has left goes as well as it can."""
        with contextlib.suppress(EngineError, OSError):
            self._drop([self.app.release])

    def _drop(self, gone: list[str]) -> list[str]:
        """Directory, secrets, static files, image, and its own name if the stack brought it."""
        root = os.path.join(self.app.path, "releases")
        if gone and self.app.root and not self.check:
            # Before their directories, which say what is to go, should this run be killed.
            self.done += [f"prune image {ref}" for ref in forget(self.engine, self.app.root, (os.path.join(root, name) for name in gone))]
        for name in gone:
            # What only this release has; its directory last, for it says what else there is.
            self._forget(os.path.join(root, name), *(os.path.join(path, name) for path in (self.app.secrets_path, self.app.static_path) if path))
            self.done.append(f"prune {name}")
        return gone

    def others(self) -> list[str]:
        """The other releases that were live and are kept: the live one, the one before it, then those that were live last."""
        last = {name: moment for name, moment in self._last_live().items() if moment is not None}
        found = [mark for mark in (self.marked(), self.marked(PREVIOUS)) if mark in last]
        return [name for name in dict.fromkeys([*found, *sorted(last, key=last.__getitem__, reverse=True)]) if name != self.app.release]

    def never_live(self) -> list[str]:
        return sorted(name for name, moment in self._last_live().items() if moment is None and name not in (self.marked(), self.marked(PREVIOUS)))

    def _last_live(self) -> dict[str, float | None]:
        """By release of which there is anything, when it went live last; None where it never did, or where its directory was never made."""
        root = os.path.join(self.app.path, "releases")
        found: dict[str, float | None] = {}
        for name in (name for place in (root, self.app.secrets_path, self.app.static_path) if os.path.isdir(place) for name in os.listdir(place)):
            try:
                found[name] = os.stat(os.path.join(root, name, WAS_LIVE)).st_mtime
            except (FileNotFoundError, NotADirectoryError):
                found[name] = None
        return found

    # -- parts ---------------------------------------------------------------------------------------------------------------

    def _bring_back(self, live: str, spare: bool = False) -> bool:
        """What may overlap in the live release runs and has the requests again; whether it does.

        spare: a release whose switch a dead run turned already keeps them, it is what is wanted.
        """
        self._start([member for member in self.observe() if member.release == live and member.process not in self.app.singletons])
        led = (spare and self._has_requests(self.app.release, well=True)) or self._lead(live, alone=False)
        end = self.clock() + self.app.drain
        while self.in_flight() and self.clock() < end:
            self.sleep(0.1)
        if not led:
            self._rest()
        return led

    def _lead(self, live: str, alone: bool) -> bool:
        """Requests go to the live release's processes that must not run twice, or to the others; False where one of them is down."""
        chosen = {backend["name"]: process for process, backend in self.app.backends.items() if (process in self.app.singletons) == alone}
        chosen = {name: process for name, process in chosen.items() if process not in self.app.elsewhere}
        if not self.switch or not chosen or self.check:
            return True
        there = self.observe()
        wanted = {name: upstreams for name, upstreams in self.upstreams(there, live).items() if name in chosen}
        # A process that is new in the release to come has no requests to go back to.
        known = {member.process for member in there if member.release == live}
        if any(process in known and not wanted[name] for name, process in chosen.items()):
            return False
        if not self.switch.leads(wanted):
            self.switch.turn(wanted)
            self.done.append(f"switch {live}")
        return True

    def _has_requests(self, release: str, well: bool = False) -> bool:
        if not self.switch or not self.app.backends:
            return False
        upstreams = self.upstreams(self.observe(), release)
        return all(upstreams.values()) and (self.switch.serves(upstreams) if well else self.switch.leads(upstreams))

    def _start_singletons(self, live: str) -> None:
        """Those of the live release that have their place here, unless another release runs them."""
        there = [member for member in self.observe() if member.process in self._here()]
        if any(member.running and member.release != live for member in there):
            return
        made = self._make_again(live, {member.process for member in there if member.release == live})
        mine = [member for member in (self.observe() if made else there) if member.release == live and member.process in self._here()]
        self._start(mine, made)
        self._policy([member for member in mine if member.policy != LIVE_POLICY], LIVE_POLICY)
        self._lead(live, alone=True)

    def _here(self) -> set[str]:
        """What must not run twice, without that which the release has on another host."""
        return set(self.app.singletons) - self.app.elsewhere

    def _make_again(self, live: str, there: Collection[str]) -> list[str]:
        """Singletons of the live release that have no container on this host have one again, as its directory has them; answers their names.

        What stopped for a hand-over is a container that somebody who tidies up the engine may have removed.
        """
        folder = os.path.join(self.app.path, "releases", live)
        record = record_of(folder)
        services = record.get("definition", {}).get("services", {})
        gone = [name for name in record.get("singletons", ()) if name in self._here() and name not in there and name in services and replicas(services[name])]
        if not gone or self.check:
            return []
        base = ["compose", "--project-directory", folder, "-f", os.path.join(folder, COMPOSE_FILE), "-p", record["project"]]
        made = self.engine.run([*base, "up", "--detach", "--no-deps", "--no-recreate", "--no-build", "--pull", "never", *gone])
        if not made.ok:
            raise ReleaseError(f"{', '.join(gone)} of {live}, which is live, had no container any more and cannot be made again: {made.reason()}")
        self.done += [f"make {name} of {live} again" for name in gone]
        return gone

    def _touch(self) -> None:
        folder = os.path.join(self.app.path, "releases", self.app.release)
        if not self.check and os.path.isdir(folder):
            with open(os.path.join(folder, WAS_LIVE), "w", encoding="utf-8"):
                os.utime(os.path.join(folder, WAS_LIVE))

    def _forget(self, folder: str, *beside: str) -> None:
        if self.check:
            return
        for image in images_of([folder]):
            # Only this release's name of the image; the engine keeps what another release or container uses.
            self.engine.run(["image", "rm", image["name"]])
        for path in (*beside, folder):
            shutil.rmtree(path, ignore_errors=True)
