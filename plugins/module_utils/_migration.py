# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One schema migration at a time, in a one-off container of the release that needs it."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from dataclasses import replace as replace_fields
from datetime import UTC, datetime
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._files import replace
from ansible_collections.longshore.stack.plugins.module_utils._masking import masked
from ansible_collections.longshore.stack.plugins.module_utils._one_off import Busy, Found, OneOff, OneOffError, keep_output, tail
from ansible_collections.longshore.stack.plugins.module_utils._preview import previewed

MARK = "---longshore-exit-status"
# The server's own limit comes after ours, so that ours explains what happened.
STATEMENT_MARGIN = 5
NOT_KNOWN = "not known: there is no check_command"


class MigrationError(OneOffError):
    """The migration was not done."""


@dataclass(frozen=True)
class Spec:
    """What is wanted; see the documentation of the module migration for each field."""

    project: str
    path: str
    release: str
    lock: str
    service: str = "migrate"
    tool: str = "alembic"
    command: tuple[str, ...] = ()
    check_command: tuple[str, ...] = ()
    current_command: tuple[str, ...] = ()
    seed: tuple[str, ...] = ()
    working_dir: str | None = None
    timeout: float = 300
    postgres_guard: bool = True
    output_path: str = ""
    marker: str = ""
    # The run that has the lease.
    run: str = ""


@dataclass(frozen=True)
class Status:
    """Where a database is, what is missing, and where it will be then."""

    revision: str | None
    pending: tuple[str, ...] = ()
    target: str | None = None


@dataclass(frozen=True)
class Section:
    """Output and exit status of one command of the reading step."""

    command: tuple[str, ...]
    text: str
    rc: int


@dataclass(frozen=True)
class Tool:
    """How a migration tool is asked and told."""

    read: tuple[tuple[str, ...], ...]
    upgrade: tuple[str, ...]
    parse: Callable[[Sequence[Section]], Status]


def tool_of(spec: Spec) -> Tool:
    if spec.tool == "alembic":
        alembic = spec.command or ("alembic",)
        # `history` alone could mark the current revision too, but then Alembic makes its table in a new database: no read-only look.
        return Tool(((*alembic, "current"), (*alembic, "history")), (*alembic, "upgrade", "head"), parse_alembic)
    if spec.tool == "django":
        manage = spec.command or ("python", "manage.py")
        return Tool(((*manage, "showmigrations", "--plan"),), (*manage, "migrate", "--noinput"), parse_django)
    read = tuple(command for command in (spec.current_command, spec.check_command) if command)
    return Tool(read, spec.command, lambda sections: parse_command(sections, spec.current_command, spec.check_command))


_REVISION = r"[^\s,()]+"
_HISTORY = re.compile(
    rf"^(?P<down>{_REVISION}(?:, {_REVISION})*)(?: \((?P<needs>{_REVISION}(?:, {_REVISION})*)\))?"
    rf" -> (?P<revision>{_REVISION})(?P<marks>(?: \([^()]*\))*),(?P<title>.*)$"
)
_CURRENT = re.compile(rf"^(?P<revision>{_REVISION})(?: \([^()]*\))*$")
_PLAN = re.compile(r"^\[(?P<mark>[X ])\]\s+(?P<name>\S+\.\S+)")


def parse_alembic(sections: Sequence[Section]) -> Status:
    """`current` and `history`. Lines that the application logs in between match neither."""
    current, history = map(succeeded, sections)
    steps: dict[str, tuple[set[str], str]] = {}
    heads = []
    for line in history.splitlines():
        match = _HISTORY.match(line.strip())
        if match:
            parents = {word.strip() for group in ("down", "needs") for word in (match[group] or "").split(",")}
            steps[match["revision"]] = (parents, match["title"].strip())
            if "(head)" in match["marks"]:
                heads.append(match["revision"])
    if not steps and " -> " in history:
        raise MigrationError("the output of alembic history is not understood")
    matches = (_CURRENT.match(line.strip()) for line in current.splitlines())
    here = [match["revision"] for match in matches if match and match["revision"] in steps]
    applied: set[str] = set()
    todo = list(here)
    while todo:
        revision = todo.pop()
        if revision in steps and revision not in applied:
            applied.add(revision)
            todo.extend(steps[revision][0])
    # Alembic prints the newest first; what is applied next comes first here.
    pending = tuple(f"{revision} {title}".strip() for revision, (_parents, title) in reversed(steps.items()) if revision not in applied)
    return Status(", ".join(sorted(here)) or None, pending, ", ".join(sorted(heads)) or None)


def parse_django(sections: Sequence[Section]) -> Status:
    """`showmigrations --plan`. Django has no revision of the whole; the last applied migration of the plan stands for it."""
    text = succeeded(sections[0])
    matches = [match for line in text.splitlines() if (match := _PLAN.match(line.strip()))]
    if not matches and "(no migrations)" not in text:
        raise MigrationError("the output of showmigrations --plan is not understood")
    applied = [match["name"] for match in matches if match["mark"] == "X"]
    pending = tuple(match["name"] for match in matches if match["mark"] == " ")
    return Status(applied[-1] if applied else None, pending, matches[-1]["name"] if matches else None)


def parse_command(sections: Sequence[Section], current_command: Sequence[str], check_command: Sequence[str]) -> Status:
    """A current_command prints the revision in its last line; a check_command exits 0 when nothing is pending, 1 when something is."""
    rest = list(sections)
    revision = None
    if current_command:
        lines = succeeded(rest.pop(0)).split("\n")
        revision = next((line.strip() for line in reversed(lines) if line.strip()), None)
    if not check_command:
        return Status(revision, (NOT_KNOWN,))
    check = rest.pop(0)
    if check.rc not in (0, 1):
        raise MigrationError(f"{shlex.join(check.command)} exited {check.rc}; it must exit 0 (nothing pending) or 1 (something is)", rc=check.rc)
    said = tuple(line.strip() for line in check.text.splitlines() if line.strip())
    return Status(revision, (said or ("not named by the check_command",)) if check.rc else ())


def succeeded(section: Section) -> str:
    if section.rc:
        raise MigrationError(f"{shlex.join(section.command)} exited {section.rc}", rc=section.rc)
    return section.text


def reading_script(commands: Iterable[Sequence[str]]) -> str:
    """All questions in one shell script: a container costs more than a question."""
    return "\n".join(f"{shlex.join(command)}\nprintf '\\n%s %s\\n' {MARK} $?" for command in commands)


def sections_of(commands: Sequence[tuple[str, ...]], output: str) -> list[Section]:
    """The script's output, cut at its marks."""
    found = re.split(rf"^{MARK} (\d+)$", output, flags=re.MULTILINE)
    if len(found) // 2 != len(commands):
        raise MigrationError("the container ended before all questions were answered")
    return [Section(command, found[2 * n].strip("\n"), int(found[2 * n + 1])) for n, command in enumerate(commands)]


def postgres_environment(environment: Mapping[str, str], release: str, timeout: float) -> dict[str, str]:
    """What lets the server end a session by itself whose client is gone, even while it waits for a lock."""
    limit = round((timeout + STATEMENT_MARGIN) * 1000)
    options = f"-c client_connection_check_interval=1000 -c statement_timeout={limit}"
    # The server cuts names at 63 bytes, with a notice.
    return {"PGOPTIONS": f"{environment.get('PGOPTIONS', '')} {options}".strip(), "PGAPPNAME": f"longshore-migration-{release}"[:63]}


@dataclass
class State:
    """What one slice hands to the next."""

    step: str = ""
    container: str = ""
    began: float = 0.0
    started: float = 0.0
    adopted: bool = False
    # In words, what a dead run had left and this one has ended.
    ended: str = ""
    changed: bool = False
    revision_before: str | None = None
    revision_after: str | None = None
    pending: list[str] = field(default_factory=list)
    output: str = ""


class Migration:
    """Read, upgrade, verify, seed: each step one container. A database that was migrated is read again: it may have been restored since."""

    def __init__(self, spec: Spec, engine: Engine, check: bool, clock: Callable[[], float]):
        self.spec, self.check, self.clock = spec, check, clock
        self.tool = tool_of(spec)
        what = f"migration of {spec.lock}"
        self.container = OneOff(engine, f"{spec.lock}-migration", what, spec.project, spec.path, spec.service, spec.release, spec.working_dir)
        self.container.run = spec.run
        self.state = State()
        self.environment: dict[str, str] = {}
        self.secrets: list[str] = []
        self.steps = {"read": self._after_read, "upgrade": self._after_upgrade, "verify": self._after_verify, "seed": self._after_seed}

    def run(self, slice_seconds: float, resume: Mapping[str, Any]) -> dict[str, Any]:
        """The result, with `pending` when the slice was too short."""
        end = self.clock() + slice_seconds
        if resume:
            self.state = State(**resume)
            self._ask()
        else:
            self.state.began = self.state.started = self.clock()
            note = self._begin()
            if note:
                return self._result(note)
        while True:
            rc = self.container.wait(self.state.container, max(0.1, min(end - self.clock(), self._left())))
            if rc is not None:
                note = self._collect(rc)
                if note:
                    return self._result(note)
            elif self._left() <= 0:
                self._give_up()
            elif self.clock() >= end:
                return {"changed": False, "pending": True, "progress": self._progress(), "resume": asdict(self.state)}

    def _ask(self) -> None:
        self.environment = self.environment or self.container.environment()
        self.secrets = self.container.secrets(self.environment)

    def _begin(self) -> str:
        """Start the first step; or say why there is none."""
        spec, state = self.spec, self.state
        if not os.path.isdir(spec.path):
            raise MigrationError(f"there is no release directory {spec.path}; it must be written before the migration")
        marker = self._marker()
        # Only what this run had taken over, and whoever began it has noted its end meanwhile; an older note may be of a database that was restored since.
        if state.changed and marker.get("release") == spec.release and marker.get("state") == "done":
            state.revision_after = marker.get("revision")
            return f"release {spec.release} was migrated at {marker.get('time')}"
        self._ask()
        for last in (False, True):
            found = self.container.find()
            if found and found.running and not self._is_dead(found):
                return self._join(found, marker)
            if found and found.running:
                self._end(found)
            elif found:
                self.container.remove(found.id)
            try:
                return self._first_step()
            except Busy:
                if last:
                    raise
        return ""

    def _is_dead(self, found: Found) -> bool:
        """Whether nobody will go on with it: who has the lease knows that the run which had it before is dead, and this release is another one."""
        mine = self.spec.run
        return bool(mine and found.run and found.run != mine and found.release != self.spec.release and not self.check)

    def _end(self, found: Found) -> None:
        """The locks of the session that it had are waited for like any others."""
        what = f"the migration of release {found.release} (step {found.step}), which a run left that died,"
        self.container.stop(found.id)
        self.container.remove(found.id)
        left = self.container.find()
        if left and left.running and left.id == found.id:
            raise MigrationError(f"{what} cannot be ended; two at once would break the database. End it with: docker rm -f {self.container.name}")
        self.state.ended = f"{what} was ended"

    def _join(self, found: Found, marker: Mapping[str, Any]) -> str:
        """Wait for what an earlier run of this release had started."""
        spec, state = self.spec, self.state
        since = datetime.fromtimestamp(found.started, UTC).isoformat()
        what = f"a migration of release {found.release} runs since {since} in container {self.container.name} (step {found.step})"
        if found.release != spec.release:
            end = f"docker rm -f {self.container.name}"
            raise MigrationError(f"{what}; two at once would break the database. Wait until it has ended, or end it with: {end}")
        state.changed = found.step != "read"
        state.revision_before = marker.get("revision")
        if self.check:
            return what
        state.container, state.started, state.adopted = found.id, found.started, True
        state.step = found.step if found.step in self.steps else "read"
        return ""

    def _first_step(self) -> str:
        if self.tool.read:
            return self._start("read")
        return self._decide(Status(None, (NOT_KNOWN,)))

    def _start(self, step: str) -> str:
        self.state.step = step
        guard = postgres_environment(self.environment, self.spec.release, self.spec.timeout) if self.spec.postgres_guard else {}
        command = ("sh", "-c", reading_script(self.tool.read)) if step in ("read", "verify") else self._command(step)
        self.state.container = self.container.start(step, command, guard, max(1.0, self._left()))
        return ""

    def _command(self, step: str) -> tuple[str, ...]:
        return {"upgrade": self.tool.upgrade, "seed": self.spec.seed or ("seed",)}.get(step) or self.tool.read[0]

    def _said(self, both: str) -> str:
        """What a user may see of the output."""
        return masked("\n".join(line for line in both.splitlines() if not line.startswith(MARK)), self.secrets)

    def _collect(self, rc: int) -> str:
        """Keep the output of the step that has ended, and go on to the next; or say how all of it ended."""
        step, (stdout, both) = self.state.step, self.container.output(self.state.container)
        self.container.remove(self.state.container)
        both = self._said(both)
        if step in ("upgrade", "seed"):
            self.state.output = tail(f"{self.state.output}\n{both}".strip())
            self._keep(step, rc, both)
        try:
            return self.steps[step](rc, masked(stdout, self.secrets))
        except OneOffError as error:
            error.facts = {"rc": rc, "output": tail(both), **self._facts(), **error.facts}
            raise

    def _after_read(self, rc: int, stdout: str) -> str:
        if self.state.adopted:
            return self._again()
        return self._decide(self.tool.parse(sections_of(self.tool.read, stdout)))

    def _decide(self, status: Status) -> str:
        state, spec = self.state, self.spec
        if not state.changed:  # else a run that this one joined began where its marker said
            state.revision_before = status.revision
        state.pending = list(status.pending)
        state.revision_after = status.target if status.pending else status.revision
        marker = self._marker()
        unfinished = marker.get("state") == "started"
        if self.check:
            state.changed = bool(status.pending) or unfinished
            if unfinished and not status.pending:
                return "nothing is pending, but an earlier run has not ended its work; a run would end it"
            return f"{len(status.pending)} pending" if status.pending else "nothing is pending"
        if status.pending:
            seed_due = bool(spec.seed) or (unfinished and marker.get("seed_due", False))
            self._mark(state="started", revision=status.revision, seed_due=seed_due)
            return self._start("upgrade")
        if unfinished:
            # An earlier run started the migration and could not see its end: it is told now.
            state.changed, state.revision_before = True, marker.get("revision")
            if marker.get("seed_due") and spec.seed:
                return self._start("seed")
        return self._finish("nothing was pending" if not unfinished else "the migration that an earlier run started is complete")

    def _after_upgrade(self, rc: int, stdout: str) -> str:
        if rc:
            raise MigrationError(f"{shlex.join(self.tool.upgrade)} exited {rc}")
        if self.state.adopted:
            return self._again()
        if self.tool.read:
            return self._start("verify")
        self.state.changed = True
        return self._seed_or_finish()

    def _after_verify(self, rc: int, stdout: str) -> str:
        if self.state.adopted:
            return self._again()
        status = self.tool.parse(sections_of(self.tool.read, stdout))
        if status.pending and status.pending != (NOT_KNOWN,):
            raise MigrationError(
                f"{shlex.join(self.tool.upgrade)} exited 0, but this is still pending: {', '.join(status.pending)}. Was its transaction committed?"
            )
        self.state.revision_after = status.revision
        # Without a check_command only the revision can tell whether anything was done.
        self.state.changed = self.state.pending != [NOT_KNOWN] or not self.spec.current_command or status.revision != self.state.revision_before
        return self._seed_or_finish()

    def _seed_or_finish(self) -> str:
        if self.spec.seed and self.state.changed:
            return self._start("seed")
        return self._finish("migrated" if self.state.changed else "nothing was pending")

    def _after_seed(self, rc: int, stdout: str) -> str:
        if rc:
            raise MigrationError(f"the migration is applied, but its seed step {shlex.join(self.spec.seed)} exited {rc}; the next run repeats the seed step")
        if self.state.adopted:
            # It ran to its end; without this note the next look would seed again.
            self._mark(state="started", revision=self._marker().get("revision"), seed_due=False)
            return self._again()
        return self._finish("migrated and seeded")

    def _again(self) -> str:
        """What an earlier run had left has ended; now from the start, with the whole time."""
        self.state.adopted, self.state.started = False, self.clock()
        return self._begin()

    def _finish(self, note: str) -> str:
        self._mark(state="done", revision=self.state.revision_after)
        return note

    def _give_up(self) -> None:
        self.container.stop(self.state.container)
        _stdout, both = self.container.output(self.state.container)
        self.container.remove(self.state.container)
        both = self._said(both)
        if not self.check:
            self._keep(self.state.step, None, both)
        what = shlex.join(self._command(self.state.step))
        said = tail(both, 5)
        raise MigrationError(
            f"{what} did not end within {self.spec.timeout:g} s and was stopped. " + (f"Its last output: {said}" if said else "It had no output"),
            output=tail(both),
            **self._facts(),
        )

    def _left(self) -> float:
        return self.state.started + self.spec.timeout - self.clock()

    def _progress(self) -> str:
        _stdout, last = self.container.output(self.state.container, "1")
        said = self._said(last).strip()[-160:]
        now = f"{shlex.join(self._command(self.state.step))}, at most {self.spec.timeout:g} s" + (f": {said}" if said else "")
        return f"{self.state.ended}; {now}" if self.state.ended else now

    def _facts(self) -> dict[str, Any]:
        state = self.state
        return {"revision_before": state.revision_before, "pending_revisions": state.pending, "duration": round(self.clock() - state.began, 2)}

    def _result(self, note: str) -> dict[str, Any]:
        state = self.state
        said = "; ".join(filter(None, [note, state.ended]))
        return {"changed": state.changed or bool(state.ended), "msg": said, "revision_after": state.revision_after, "output": state.output, **self._facts()}

    def _marker(self) -> dict[str, Any]:
        try:
            with open(self.spec.marker, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise MigrationError(f"{self.spec.marker} is not JSON ({error}); remove it to look at the database again") from error

    def _mark(self, **facts: Any) -> None:
        content = {"release": self.spec.release, **facts, "time": datetime.fromtimestamp(round(self.clock()), UTC).isoformat()}
        replace(self.spec.marker, json.dumps(content, indent=2).encode() + b"\n", 0o600, os.geteuid(), os.getegid())

    def _keep(self, step: str, rc: int | None, text: str) -> None:
        """Add the output of a step to the file that the release keeps."""
        keep_output(self.spec.output_path, self.clock(), f"{step}: {shlex.join(self._command(step))}", rc, text)


def foretold(
    spec: Spec, preview: Mapping[str, Any] | None, engine: Engine, clock: Callable[[], float], slice_seconds: float, resume: Mapping[str, Any]
) -> dict[str, Any]:
    """What check mode says: really read, with the new image and environment, also where the release is not written yet; or why it is not known.

    preview: `spec` and `secrets` as the module release takes them, for a release that is not written.
    """
    if os.path.isdir(spec.path):
        return Migration(spec, engine, True, clock).run(slice_seconds, resume)
    image = preview["spec"]["image"]["id"] if preview else ""
    try:
        if not image or not engine.inspect("image", [image]):
            return _not_known("its image is not on this host yet" if preview else f"there is no release directory {spec.path} yet")
        with previewed(preview, spec.service) as path:
            return Migration(replace_fields(spec, path=path), engine, True, clock).run(slice_seconds, resume)
    except OneOffError as error:
        return _not_known("\n".join(filter(None, [str(error), tail(error.facts.get("output", ""), 5)])))
    except (EngineError, OSError) as error:
        return _not_known(str(error))


def _not_known(why: str) -> dict[str, Any]:
    """No change is claimed, because none may come; the user is told."""
    said = f"what is pending is not known: {why}"
    facts = {"revision_before": None, "revision_after": None, "pending_revisions": [], "output": "", "duration": 0.0}
    return {"changed": False, "msg": said, "warnings": [said], **facts}


def diff_of(result: Mapping[str, Any]) -> dict[str, str]:
    """The revisions as a text that Ansible compares line by line."""
    pending = "".join(f"  - {name}\n" for name in result["pending_revisions"])
    after = result["revision_after"] if result["changed"] else result["revision_before"]
    return {
        "before_header": "database",
        "after_header": "database",
        "before": f"revision: {result['revision_before']}\npending:\n{pending}",
        "after": f"revision: {after}\npending:\n",
    }
