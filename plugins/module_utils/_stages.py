# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module release: its parameters as domain objects, the lease looked at, one stage done."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils import _history, _scale
from ansible_collections.longshore.stack.plugins.module_utils._assets import Assets, Static, statics_of, withdraw
from ansible_collections.longshore.stack.plugins.module_utils._compose import masked_environment, to_yaml
from ansible_collections.longshore.stack.plugins.module_utils._compose_project import Outcome, Project, ProjectError, Secret, Spec
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._files import current_generation
from ansible_collections.longshore.stack.plugins.module_utils._image import Reference
from ansible_collections.longshore.stack.plugins.module_utils._lease import Holder, LeaseError, Leases
from ansible_collections.longshore.stack.plugins.module_utils._members import App, Member, ReleaseError, record_of
from ansible_collections.longshore.stack.plugins.module_utils._names import LIVE, PREVIOUS, RELEASE_FILE
from ansible_collections.longshore.stack.plugins.module_utils._one_off import Command, OneOff
from ansible_collections.longshore.stack.plugins.module_utils._releases import Releases
from ansible_collections.longshore.stack.plugins.module_utils._switch import SwitchError, switch_of

SLICE_SECONDS = 8.0
# For the command that collects static files; it runs in one call, before anything else is touched.
STATIC_SECONDS = 120.0
PROBE_SECONDS = 10.0
# What the record of a release holds of its spec: all that a later run needs to start it again, and nothing secret.
KEPT = (
    *("stack", "release", "version", "project", "image", "definition", "labels", "singletons", "alone", "overlapping"),
    *("backends", "network", "own_secrets", "form", "needs", "issued", "given", "drain", "directories", "static"),
)
# States that leave alone what runs and who may change it, or that must not wait for a call which is at work.
FREE = ("prepared", "recalled", "listed", "unlocked")
# States that change something, and can tell what they would change.
FORETOLD = ("unlocked", "scaled")


class Call:
    """Parameters are those of the module; clock and sleep are given."""

    def __init__(self, params: Mapping[str, Any], check: bool, engine: Engine, clock: Callable[[], float], sleep: Callable[[float], None]):
        self.params, self.check, self.engine, self.clock, self.sleep = params, check, engine, clock, sleep
        self.spec, self.state, self.path = params["spec"], params["state"], params["path"]
        self.secrets = [Secret(**entry) for entry in params["secrets"]]
        self.leases = Leases(params["app"], self.path, clock)
        self.resume = dict(params["resume"])
        self.began = self.resume.pop("began", None) or clock()
        self.outcome = Outcome(**self.resume.pop("outcome", {}))
        self.releases = self._releases()
        self.scale = _scale.read(self.path)
        self.definition = _scale.applied(self.spec, self.scale) if "definition" in self.spec else {}

    def known_secrets(self) -> list[Secret]:
        """With the values that are kept on the host, so that none of them is shown."""
        found = []
        for secret in self.secrets:
            if secret.value is None:
                try:
                    with open(current_generation(self.spec["secrets_path"], secret.name, None)[0], encoding="utf-8", errors="replace") as file:
                        secret = replace(secret, value=file.read())
                except OSError:  # said by the stage that needs it
                    continue
            found.append(secret)
        return found

    @property
    def changed(self) -> bool:
        return bool(self.releases.done) or self.outcome.changed

    def run(self) -> dict[str, Any]:
        stage, guarded = STAGES[self.state]
        if self.check and self.state not in (*FREE, *FORETOLD):
            return {"changed": guarded, "done": [], "msg": f"{self.params['app']} would be {self.state.replace('_', ' ')}"}
        if self.check or self.state in FREE:
            result = stage(self)
        else:
            if self.state == "leased":
                # At once, and not when the call is over that another run is at work with.
                self.leases.refuse_another(self.params["run"]["id"], self.params["run"].get("dead", ""))
            with self.leases.locked():
                if guarded:
                    self._guard()
                result = stage(self)
        facts = {"of": self.spec.get("release", ""), "done": self.releases.done, "live": self.releases.marked(), "seconds": round(self.clock() - self.began, 3)}
        if result.get("pending"):
            result["resume"] = {"began": self.began, "outcome": self.outcome.carried(), **result.get("resume", {})}
        return {"changed": self.changed, **facts, **result}

    def _guard(self) -> None:
        lease = self.params["lease"]
        if not lease:
            raise ReleaseError(f"state {self.state} needs lease, as state leased returned it")
        # Where unlock ended the lease and nobody has taken it since, going back is still this run's duty.
        alone = self.state in ("taken_back", "stood_by") and not self.leases.holder()
        # No slice ends while a command collects static files, on this host or on another one.
        collecting = STATIC_SECONDS * sum(bool(entry.get("command")) for entry in self.spec.get("static", ())) if self.state == "collected" else 0
        renew = self.params["lease_seconds"] + collecting if lease.get("here") and not alone else 0
        try:
            self.leases.guard(lease["run"], int(lease["number"]), self.state, renew)
        except OSError:
            # The way back must be open on a full disk as well, and so must the end; that the lease ends earlier harms nobody.
            if self.state not in ("taken_back", "stood_by", "recorded"):
                raise
            self.leases.refuse_later(lease["run"], int(lease["number"]))

    def _releases(self) -> Releases:
        spec = self.spec
        app = App(
            stack=spec.get("stack", ""),
            name=self.params["app"],
            path=self.path,
            release=spec.get("release", ""),
            # Also those that only the live release has, or that run on this host no more.
            singletons=tuple(dict.fromkeys([*_alone(spec), *_alone(self._record(LIVE, self.path))])),
            backends=spec.get("backends", {}),
            network=spec.get("network", ""),
            drain=float(spec.get("drain", 30)),
            keep=int(spec.get("keep", 5)),
            warm=bool(spec.get("warm", False)),
            secrets_path=os.path.dirname(spec.get("secrets_path", "")),
            static_path=spec.get("static_root", ""),
            root=spec.get("root", ""),
            run=self.params.get("lease", {}).get("run", ""),
            # Once it has stopped there, it has its place here again.
            elsewhere=frozenset() if self.state == "taken_back" and self.params["part"] == "rest" else frozenset(_alone(spec)) - {*spec.get("singletons", ())},
        )
        switch = switch_of(spec["switch"], self.clock, self.sleep) if spec.get("switch") and app.backends else None
        return Releases(self.engine, app, switch, self.check, self.clock, self.sleep)

    def _project(self, state: str, services: tuple[str, ...] = (), check: bool = False) -> Project:
        spec = self.spec
        # In the order that it came in, so that a release which is started again writes the same compose file.
        record = json.dumps({name: spec[name] for name in KEPT if name in spec}, indent=1) + "\n"
        project = Project(
            Spec(
                stack=spec["stack"],
                service=self.params["app"],
                project=spec["project"],
                path=spec["path"],
                state=state,
                definition=self.definition,
                files={RELEASE_FILE: (record.encode(), 0o644)},
                secrets=tuple(self.secrets),
                secrets_path=spec["secrets_path"],
                directories=tuple(spec.get("directories", ())),
                labels=spec["labels"],
                services=services,
                as_they_are=state == "present" and spec["release"] == self.releases.marked(),
                wait_timeout=self.params["wait_timeout"],
                may_be_empty=True,
            ),
            self.engine,
            self.check or check,
            self.clock,
            self.sleep,
        )
        project.outcome = Outcome() if check else self.outcome
        return project

    # -- stages --------------------------------------------------------------------------------------------------------------

    def leased(self) -> dict[str, Any]:
        run = self.params["run"]
        process = {name: run.get(name, "") for name in ("process", "dead")}
        work, last = {"kind": run.get("kind", ""), "release": self.spec.get("release", "")}, self.leases.unreturned()
        holder = self.leases.take(run["id"], run["owner"], "leased", self.params["lease_seconds"], **process, **work)
        if last and last.run != holder.run:
            self._note_end(last, f"the run {holder.run} found that it had died")
        self._same_live(run)
        if self.spec.get("definition"):
            # It was prepared before anybody had the lease: a run that was still at work may have pruned it.
            self._again(run["id"])
        lease = {"run": holder.run, "number": holder.number, "owner": holder.owner, "taken": holder.taken}
        # Read now: before it had the lease, another run may have changed them.
        return {"changed": False, "lease": lease, "scale": _scale.read(self.path)}

    def _same_live(self, run: Mapping[str, Any]) -> None:
        """Before the lease another run may have come to its end, also one whose deployer is dead: what this run has worked out is of another release."""
        expected, live = run.get("live"), self.releases.marked()
        if expected is None or expected == live:
            return
        self.leases.end(run["id"])
        was = f"{expected or 'nothing'} was live of {self.params['app']} when this run looked"
        raise LeaseError(f"{was}, and by now {live or 'nothing'} is: another run has ended meanwhile. Run this again")

    def _again(self, run: str) -> None:
        """The release's directory and the name of its image, as the state prepared leaves them."""
        try:
            self._project("prepared").run(0, self.began)
            self._name_image()
        except (ProjectError, EngineError, OSError):
            self.leases.end(run)
            raise

    def prepared(self) -> dict[str, Any]:
        before, new = self._record(self.releases.marked()), not os.path.isdir(self.spec["path"])
        try:
            outcome = self._project("prepared").run(0, self.began)
            # Only now, for the directory tells a later run what there is to clear away.
            self._name_image()
        except (ProjectError, EngineError, OSError):
            if new and not self.check:
                self.releases.undo()
            raise
        self.outcome = outcome
        there = self.releases.observe()
        settled = all(action == "unchanged" for action in outcome.planned.values()) and self._is_settled(there)
        # What the release differs in from the one that is live says more than a folder of new files.
        diff = {"before_header": "live release", "after_header": self.spec["release"]}
        diff |= {"before": _shown(before), "after": _shown(self.spec) if not settled else _shown(before)}
        result = {"settled": settled, "planned": outcome.planned, "containers": outcome.containers, "previous": self.releases.marked(PREVIOUS)}
        result["scale"] = self.scale
        result["identity"] = _identity(self.spec["image"])
        # Of this release and of whatever runs, whatever the inventory says by now.
        result["stop_grace"] = max([0.0, *(member.grace for member in there), *map(_grace, self.definition["services"].values())])
        return {**result, "changed": outcome.changed or (self.check and not settled), "diff": [diff] if diff["before"] != diff["after"] else []}

    def collected(self) -> dict[str, Any]:
        self._name_image()
        self._assets()
        return {}

    def started(self) -> dict[str, Any]:
        part = self.params["part"]
        services = [name for name in self.spec["overlapping"] if part == "all" or (name in self.spec["backends"]) == (part == "serving")]
        if part != "rest":
            if not self.resume:
                self._name_image()
                self.releases.settle()
                self._fall_in()
                self.releases.expected(_scale.numbers(self.definition), self.scale)
                self._refuse_anew(services)
            if pending := self._shrunk():
                return pending
        elif not self.resume:
            self._refuse_anew(services)
        if pending := self._up(services):
            return pending
        if part != "rest":
            self._probe()
        return {"containers": self.outcome.containers}

    def handed_over(self) -> dict[str, Any]:
        self.releases.hand_over()
        return {}

    def taken_over(self) -> dict[str, Any]:
        if not self.resume:
            self._refuse_anew(self.spec["singletons"])
            # A fleet of one host needs no call of its own for it.
            self.releases.hand_over()
        return self._up(self.spec["singletons"]) or {"containers": self.outcome.containers}

    def switched(self) -> dict[str, Any]:
        seconds = self.releases.turn(self.params["replicas"])
        return {"switch_seconds": round(seconds, 3), "seen": self.releases.counted()}

    def watched(self) -> dict[str, Any]:
        watch = self.params["watch"]
        until = self.resume.get("until") or self.clock() + float(watch["seconds"])
        slice_end, seen = self.clock() + SLICE_SECONDS, self.resume.get("seen") or watch.get("seen") or {}
        while True:
            try:
                seen = self.releases.watch(seen, float(watch["failures"]))
            except (ReleaseError, SwitchError):
                self.releases.fall_back()
                raise
            if self.clock() >= until:
                return {}
            if self.clock() >= slice_end:
                return {"pending": True, "progress": f"watching the release, {until - self.clock():.0f} s to go", "resume": {"until": until, "seen": seen}}
            self.sleep(min(0.5, max(0.05, until - self.clock())))

    def live(self) -> dict[str, Any]:
        self.releases.go_live()
        return {}

    def retired(self) -> dict[str, Any]:
        if not self.resume:
            # Nothing is given up before what takes its place is seen to serve.
            self.releases.confirm()
        if pending := self._draining():
            return pending
        drained = self.clock()
        parting = self.releases.retire()
        self.releases.keep()
        self.releases.clear_ended()
        return {"ended": parting.ended, "cut": parting.cut, "drain_seconds": round(drained - self.began, 3), "pruned": self.releases.prune()}

    def scaled(self) -> dict[str, Any]:
        """Other numbers of the live release's containers: too many are drained before they go, new ones prove themselves before they get requests."""
        live = self.releases.marked()
        if self.spec["release"] != live:
            raise ReleaseError(f"{live or 'no release'} is live here and not {self.spec['release']}; only what is live is scaled")
        base, before = self._fleet_scale(), self.definition
        scale = _scale.changed(base, self.params["scale"], self.spec)
        self.definition = _scale.applied(self.spec, scale)
        texts = {key: to_yaml(_scale.numbers(definition)) for key, definition in (("before", before), ("after", self.definition))}
        result = {
            "numbers": _scale.numbers(self.definition),
            "before": {process: base.get(process) for process in self.params["scale"]},
            "diff": [{"before_header": live, "after_header": live, **texts}] if before != self.definition else [],
        }
        if self.check:
            return {**result, "changed": scale != self.scale}
        if not self.resume:
            self._refuse_anew(self.spec["overlapping"])
        try:
            pending = self._shrunk() or self._up(self.spec["overlapping"])
            if pending:
                return pending
            if not self._is_settled(self.releases.observe()):
                self._probe()
                self.releases.turn()
                self.releases.go_live()
        except (ReleaseError, SwitchError, ProjectError, EngineError, OSError):
            self.definition = before
            # What was started beside goes, with its requests elsewhere first; what this cannot do is left to the next run.
            with contextlib.suppress(ReleaseError, SwitchError, ProjectError, EngineError, OSError):
                leaving = self.releases.surplus(_scale.numbers(before))
                self.releases.lead_past(leaving)
                self.releases.part(leaving)
                self._project("prepared").run(0, self.began)
            raise
        self._keep_scale(scale)
        return result

    def held(self) -> dict[str, Any]:
        """The guard has seen to it already."""
        return {}

    def taken_back(self) -> dict[str, Any]:
        self.releases.take_back()
        # Before their directories go, which tell whose the files are.
        self._withdraw(self.releases.never_live())
        self.releases.drop_unborn()
        return {}

    def stood_by(self) -> dict[str, Any]:
        self.releases.stand_by()
        return {}

    def recalled(self) -> dict[str, Any]:
        asked = self.params["release"] or PREVIOUS
        name = self.releases.marked(asked) if asked in (LIVE, PREVIOUS) else asked
        folder = os.path.join(self.path, "releases")
        kept = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        if not name:
            none = "no release is live" if asked == LIVE else "there is no release before the live one"
            raise ReleaseError(f"{self.params['app']}: {none}; kept are: {', '.join(kept) or 'none'}")
        if asked == PREVIOUS and name == self.releases.marked(LIVE):
            raise ReleaseError(
                f"{self.params['app']}: a run died while it went live in place of {name}, so what was before {name} is not known. Go back to one of those "
                f"that are kept by its name, -e app_release=RELEASE: {', '.join(kept)}; or deploy"
            )
        record = self._record(name)
        if not record and name in kept:
            raise ReleaseError(f"the release {name} of {self.params['app']} has no {RELEASE_FILE}, so it cannot be recalled; deploy its version instead")
        if not record:
            raise ReleaseError(f"the release {name} of {self.params['app']} is not kept here; kept are: {', '.join(kept) or 'none'}")
        image, pull = record["image"], ""
        if not self.engine.inspect("image", [image["name"]]) and not self.engine.inspect("image", [image["id"]]):
            if not image["digest"]:
                raise ReleaseError(f"the image of {name} ({image['ref']}) is not on this host any more, and came from no registry, so it cannot be started")
            pull = f"{Reference.parse(image['ref']).repository}@{image['digest']}"
        entries = _history.newest(self.path, _history.ALL) if asked != LIVE else []
        notes = [_history.forward(name, entries, kept) if asked == PREVIOUS else "", _history.moved_on(name, entries)]
        return {"record": record, "pull": pull, "notes": [note for note in notes if note]}

    def listed(self) -> dict[str, Any]:
        holder = self.leases.holder()
        folder = os.path.join(self.path, "releases")
        return {
            "app": self.params["app"],
            "kept": sorted(os.listdir(folder)) if os.path.isdir(folder) else [],
            "previous": self.releases.marked(PREVIOUS),
            "history": _history.newest(self.path),
            "holder": holder.sentence(self.params["app"], self.clock()) if holder else "",
        }

    def recorded(self) -> dict[str, Any]:
        try:
            _history.append(self.path, self.params["record"])
        finally:
            self.leases.end(self.params["lease"]["run"])
        return {"changed": False, "summary": _history.summary(self.params["record"])}

    def noted(self) -> dict[str, Any]:
        _history.append(self.path, {"before": self.releases.marked(), "started": self.began, **self.params["record"]})
        return {"changed": False}

    def unlocked(self) -> dict[str, Any]:
        holder = self.leases.holder() if self.check else self.leases.end()
        ended = "would end" if self.check else "has ended"
        if holder and not self.check:
            self._note_end(holder, "its lease was ended by unlock")
        return {"changed": bool(holder), "msg": f"the lease of {holder.owner} (run {holder.run}) {ended}" if holder else "nobody has the lease"}

    # -- parts ---------------------------------------------------------------------------------------------------------------

    def _note_end(self, run: Holder, message: str) -> None:
        """A line of the history for a run that could not write its own."""
        facts = {"kind": run.kind or "deploy", "release": run.release, "run": run.run, "owner": run.owner, "started": run.taken}
        _history.append(self.path, {**facts, "before": "", "ref": "", "hosts": [], "result": f"died in {run.stage}", "message": message})

    def _draining(self) -> dict[str, Any]:
        """Nothing when the requests of what was drained have ended or had their time, else what the next slice needs."""
        until = self.resume.get("until") or self.clock() + self.releases.app.drain
        slice_end = self.clock() + SLICE_SECONDS
        while (left := self.releases.in_flight()) and self.clock() < until:
            if self.clock() >= slice_end:
                said = f"draining: {left} requests in flight, {until - self.clock():.0f} s at most"
                return {"pending": True, "progress": said, "resume": {"until": until}}
            self.sleep(0.05)
        return {}

    def _fleet_scale(self) -> dict[str, int]:
        """The numbers of the host that keeps the lease. This one has others where a run that scaled died, or where it is new."""
        given = self.params["fleet_scale"]
        return self.scale if given is None else {process: int(number) for process, number in given.items()}

    def _fall_in(self) -> None:
        """This host has the numbers of the one that keeps the lease. They are kept first: for them the next site.yml gives the switch places."""
        self.scale = self._fleet_scale()
        self.definition = _scale.applied(self.spec, self.scale)
        self._keep_scale(self.scale)

    def _keep_scale(self, scale: Mapping[str, int]) -> None:
        # A call of a dead run may have written others while this one waited for its turn.
        if scale != _scale.read(self.path):
            _scale.write(self.path, scale)
            self.outcome.extra.append("scale")

    def _shrunk(self) -> dict[str, Any]:
        """Nothing when no process of the live release has too many containers, else what the next slice needs. Compose would stop them undrained."""
        leaving = self.releases.surplus(_scale.numbers(self.definition))
        if not leaving:
            return {}
        self.releases.lead_past(leaving)
        if pending := self._draining():
            return pending
        self.releases.part(leaving)
        return {}

    def _is_settled(self, there: Sequence[Member]) -> bool:
        return self.releases.is_settled(there, empty=not any(_scale.numbers(self.definition).values()))

    def _assets(self) -> None:
        """The static files of this release, and of those before it, are where its containers look for them."""
        statics = statics_of(self.spec.get("static", ()))
        if not statics:
            return
        uid, _colon, gid = self.spec["definition"]["services"][statics[0].service]["user"].partition(":")

        def run(static: Static, folder: str) -> None:
            name = f"{self.spec['project']}-static"
            place = OneOff(self.engine, name, "collection", self.spec["project"], self.spec["path"], static.service, self.spec["release"])
            place.mounts, place.run = [f"{folder}:{static.path}"], self.releases.app.run
            Command(place, static.command, STATIC_SECONDS, {}, "", self.clock).run(STATIC_SECONDS + 1, {})

        labels = self.releases.one_off_labels()

        def number(release: str, path: str) -> int | None:
            return next((entry["number"] for entry in self._record(release).get("static", ()) if entry["path"] == path), None)

        assets = Assets(self.engine, self.spec["static_root"], self.spec["image"]["name"], int(uid), int(gid), run, number, labels)
        older = self.releases.others()[: max(static.keep for static in statics)]
        self._withdraw(name for name in self.releases.never_live() if name != self.spec["release"])
        self.releases.done += assets.ensure(self.spec["release"], statics, older, self.releases.marked())

    def _withdraw(self, gone: Iterable[str]) -> None:
        """The live release has no static files any more of these, which did not go live."""
        live, root = self.releases.marked(), self.spec.get("static_root")
        for name in gone if live and root else ():
            withdraw(root, name, live)

    def _up(self, services: list[str]) -> dict[str, Any]:
        """Nothing when they are healthy, else what the next slice needs. No services are none, and not all, as they would be for Compose."""
        if not services:
            return {}
        outcome = self._project("present", tuple(services)).run(SLICE_SECONDS, self.began)
        self.outcome = outcome
        if not outcome.pending:
            return {}
        pending, outcome.pending = outcome.pending, ""
        return {"pending": True, "progress": pending, "resume": {"settled": True}}

    def _refuse_anew(self, services: Sequence[str]) -> None:
        """What serves is never made anew in place, nor written to."""
        live = self.releases.marked()
        if not services or self.spec["release"] != live:
            return
        planned = self._project("prepared", tuple(services), check=True).run(0, self.began).planned
        if anew := [service for service in services if planned.get(service) == "recreated"]:
            others = [name for name in (self.releases.marked(PREVIOUS), *self.releases.others()) if name not in ("", live)]
            beside = f"longshore.stack.rollback -e app_release={others[0]}, say, " if others else "deploy another version "
            raise ReleaseError(
                f"{live} is live, and {', '.join(anew)} would be made anew while it serves: what the stack gives it has changed since. A deploy starts a "
                f"release beside it. Where that is this very one again, with values that it has had before: {beside}first, then deploy"
            )

    def _probe(self) -> None:
        """Each web container asked directly, as the switch will ask it: a health check inside a container does not see a wrong address to listen at."""
        backends = {backend["name"]: backend for backend in self.releases.app.backends.values()}
        there = self.releases.observe()
        for backend, upstreams in self.releases.upstreams(there, self.spec["release"]).items():
            for one in upstreams:
                path, host = backends[backend].get("health"), backends[backend].get("host")
                reason = self._answers(f"http://{one.address}:{one.port}{path}", host) if path else ""
                if reason:
                    member = next(member for member in there if member.id.startswith(one.name))
                    raise ReleaseError(f"{member.name} is healthy, but does not answer from outside: {reason}\n{self.releases.logs([member])}")

    def _answers(self, url: str, host: str | None = None) -> str:
        """Nothing when it does, else the reason of the last try. host: the name that a visitor would ask for."""
        # What it imports takes time, and a deploy calls this module ten times, of which one asks.
        from ansible_collections.longshore.stack.plugins.module_utils._answer import reason_of

        return reason_of(url, host, PROBE_SECONDS, self.clock, self.sleep)

    def _name_image(self) -> None:
        """The release has a name of its own for its image, which no later build or pull can take away."""
        image = self.spec["image"]
        if self.check or not image.get("id"):
            return
        found = self.engine.inspect("image", [image["name"]])
        if not found or found[0]["Id"] != image["id"]:
            self.engine.must(["tag", image["id"], image["name"]])

    def _record(self, release: str, folder: str = "") -> dict[str, Any]:
        return record_of(os.path.join(folder or os.path.join(self.path, "releases"), release))


def _grace(service: Mapping[str, Any]) -> float:
    """Seconds; a release has them written so."""
    return float(str(service.get("stop_grace_period", "0s")).removesuffix("s"))


def _alone(record: Mapping[str, Any]) -> list[str]:
    return list(record.get("alone", record.get("singletons", ())))


def _identity(image: Mapping[str, str]) -> str:
    """What the image is, whatever it is called: the digest of its manifest, else its id on the host that built or loaded it."""
    return image.get("digest") or image.get("id") or ""


def _shown(record: Mapping[str, Any]) -> str:
    """What a user sees of a release: its image and definition; values of the environment only as marks that tell one from another."""
    if not record:
        return ""
    image = record["image"]
    return to_yaml({"image": image["ref"], "identity": _identity(image) or "not known before it is there", **masked_environment(record["definition"])})


# What each state does, and whether it changes something and so needs the lease.
STAGES: dict[str, tuple[Callable[[Call], dict[str, Any]], bool]] = {
    "leased": (Call.leased, False),
    "prepared": (Call.prepared, False),
    "collected": (Call.collected, True),
    "started": (Call.started, True),
    "handed_over": (Call.handed_over, True),
    "taken_over": (Call.taken_over, True),
    "switched": (Call.switched, True),
    "watched": (Call.watched, True),
    "live": (Call.live, True),
    "retired": (Call.retired, True),
    "scaled": (Call.scaled, True),
    "held": (Call.held, True),
    "taken_back": (Call.taken_back, True),
    "stood_by": (Call.stood_by, True),
    "recalled": (Call.recalled, False),
    "listed": (Call.listed, False),
    "recorded": (Call.recorded, True),
    "noted": (Call.noted, False),
    "unlocked": (Call.unlocked, False),
}
