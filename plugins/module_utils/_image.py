# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an image comes from, and how it gets to the host."""

from __future__ import annotations

import configparser
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

REGISTRY, BUILD, ARCHIVE, AUTO = "registry", "build", "archive", "auto"
OWN = "longshore"
# Where a recipe finds what this host needs to reach package indexes; it copies that into a stage that is thrown away.
BUILD_HOST = ".longshore"
BUILD_HOST_INSIDE = "/build-host"
CA_BUNDLE = "ca-bundle.crt"
LOG_LINES = 30


class ImageError(Exception):
    """The image cannot be had; the text says why and what would help."""


@dataclass(frozen=True)
class Reference:
    """An image's name, cut in its parts."""

    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, name: str) -> Reference:
        rest, _at, digest = name.partition("@")
        head, slash, last = rest.rpartition("/")
        # A colon before the last slash is the port of a registry.
        last, _colon, tag = last.partition(":")
        if not last:
            raise ImageError(f"name: {name!r} is not an image reference; give one such as valkey/valkey:8.1.4")
        return cls(head + slash + last, tag, digest)

    @property
    def short(self) -> str:
        """The last part, without registry and owner."""
        return self.repository.rpartition("/")[2]


@dataclass(frozen=True)
class Facts:
    """What the engine says of an image that it has."""

    id: str
    digest: str = ""


@dataclass(frozen=True)
class Record:
    """An image of the stack, kept on the host: where it came from, whether the stack brought it or found it there, and another id that its archive has."""

    name: str
    source: str
    ref: str
    id: str
    digest: str = ""
    brought: bool = False
    archived: str = ""


@dataclass(frozen=True)
class Archived:
    """An image in an archive, as the archive describes it."""

    id: str
    ref: str


@dataclass(frozen=True)
class Build:
    """Everything that makes a built image what it is."""

    name: str
    hash: str
    base: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    dockerfile: str = "Dockerfile"

    def ref(self, version: str) -> str:
        content = json.dumps([self.hash, self.base, sorted(self.args.items()), self.target, self.dockerfile])
        version = re.sub(r"[^A-Za-z0-9_.-]", "-", version) or "latest"
        return f"{OWN}/{self.name}:{version}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Wanted:
    """What the task asks for."""

    name: str
    source: str = AUTO
    build: Build | None = None
    archived: Archived | None = None

    @property
    def build_ref(self) -> str:
        return self.build.ref(Reference.parse(self.name).tag) if self.build else ""

    @property
    def archive_id(self) -> str:
        return self.archived.id if self.archived else ""

    def loaded_id(self, record: Record | None) -> str:
        """How the engine calls the archive's image. With the image store of containerd that is not the archive's id: the first load told it."""
        return record.id if record and record.archived == self.archive_id else self.archive_id

    def other_id(self, source: str, loaded: str) -> str:
        """The archive's id of an image that was loaded from it, where that is not the engine's."""
        return self.archive_id if source == ARCHIVE and self.archive_id != loaded else ""


@dataclass(frozen=True)
class Plan:
    """Sources to try in this order. None: the image is there, as `ref` from `source`."""

    ref: str
    source: str
    steps: tuple[str, ...] = ()
    kept: bool = False

    def sentence(self, wanted: Wanted) -> str:
        """What will be done, for check mode."""
        words = {REGISTRY: f"pull {wanted.name}", BUILD: f"build {wanted.build_ref}", ARCHIVE: f"load {self.ref} from the archive"}
        return "would " + ", or if that fails ".join(words[step] for step in self.steps)


def decide(wanted: Wanted, record: Record | None, facts: Callable[[str], Facts | None]) -> Plan:
    """The plan for an image. `facts` looks a reference up in the engine."""
    if wanted.source != AUTO:
        return _plan(wanted, wanted.source, record, facts, kept=False)
    if record:
        return _plan(wanted, record.source, record, facts, kept=True)
    here = facts(wanted.name)
    if here:
        return Plan(wanted.name, REGISTRY if here.digest else ARCHIVE)
    if wanted.archived:
        return _plan(wanted, ARCHIVE, None, facts, kept=False)
    return Plan(wanted.name, REGISTRY, (REGISTRY, BUILD) if wanted.build else (REGISTRY,))


def _plan(wanted: Wanted, source: str, record: Record | None, facts: Callable[[str], Facts | None], kept: bool) -> Plan:
    why = f"; {Reference.parse(wanted.name).repository} came from there before, and `auto` stays with it" if kept else ""
    if source == REGISTRY:
        return Plan(wanted.name, source, () if facts(wanted.name) else (REGISTRY,), kept)
    if source == BUILD:
        if not wanted.build:
            raise ImageError(f"{wanted.name}: source `build` needs a recipe or a context{why}")
        return Plan(wanted.build_ref, source, () if facts(wanted.build_ref) else (BUILD,), kept)
    if source == ARCHIVE:
        if wanted.archived:
            return Plan(wanted.archived.ref, source, () if facts(wanted.loaded_id(record)) else (ARCHIVE,), kept)
        loaded = [ref for ref in (record.ref if record and record.name == wanted.name else "", wanted.name) if ref and facts(ref)]
        if not loaded:
            raise ImageError(f"{wanted.name}: source `archive` needs an archive, for this host does not have the image{why}")
        return Plan(loaded[0], source, (), kept)
    raise ImageError(f"source: {source!r} is unknown; allowed are auto, registry, build and archive")


def settled(wanted: Wanted, records: Mapping[str, Record], facts: Callable[[str], Facts | None]) -> Record | None:
    """The record of an image that is there as it is wanted; nothing where anything is left to do or to write down."""
    record = chosen(records, wanted.name)
    plan = decide(wanted, record, facts)
    here = facts(plan.ref)
    if plan.steps or not here or (plan.source == ARCHIVE and wanted.archived and wanted.loaded_id(record) != here.id):
        return None
    found = Record(wanted.name, plan.source, plan.ref, here.id, here.digest, plan.source == BUILD, wanted.other_id(plan.source, here.id))
    known = remember(records, found)
    return known[plan.ref] if list(known.values()) == list(records.values()) else None


def base_ref(script: str) -> str:
    """The Debian image that recipes start from, named by what makes it."""
    return f"{OWN}/debian:trixie-{hashlib.sha256(script.encode()).hexdigest()[:12]}"


def facts_of(answer: Mapping[str, Any], repository: str = "") -> Facts:
    """Facts from an element of `docker image inspect`."""
    digests = [value.partition("@") for value in answer.get("RepoDigests") or []]
    own = [digest for name, _at, digest in digests if name.removeprefix("docker.io/").removeprefix("library/") == repository]
    return Facts(answer["Id"], (own or [digest for _name, _at, digest in digests] or [""])[0])


def facts_among(answers: Iterable[Mapping[str, Any]], repository: str) -> Callable[[str], Facts | None]:
    """Looks references and ids up among elements of `docker image inspect`."""
    known = {name: facts_of(answer, repository) for answer in answers for name in [answer["Id"], *answer["RepoTags"], *answer["RepoDigests"]]}
    return known.get


# What is kept on the host: every image by its reference, in the order in which they were chosen


def read_records(content: bytes | None) -> dict[str, Record]:
    # An earlier version kept one for each repository and did not say who had brought it; what is built is the stack's in any case.
    known = [Record(**{"brought": values["source"] == BUILD, **values}) for values in json.loads(content or b"{}").values()]
    return {record.ref: record for record in known}


def write_records(records: Mapping[str, Record]) -> bytes:
    return (json.dumps({ref: asdict(record) for ref, record in records.items()}, indent=2) + "\n").encode()


def chosen(records: Mapping[str, Record], name: str) -> Record | None:
    """What was chosen last for this name, else for another version of the image: `auto` stays with it."""
    repository = Reference.parse(name).repository
    same = [record for record in records.values() if Reference.parse(record.name).repository == repository]
    return next(reversed([record for record in same if record.name == name] or same), None)


def remember(records: Mapping[str, Record], record: Record) -> dict[str, Record]:
    """The records with this one: as the last if its source is another than before, else where it was. What the stack brought once it has brought."""
    known, before = dict(records), records.get(record.ref)
    if before:
        archived = record.archived or (before.archived if record.id == before.id else "")
        record = replace(record, brought=record.brought or before.brought, archived=archived)
        last = chosen(records, record.name)
        if last and last.source != record.source:
            del known[record.ref]
    return {**known, record.ref: record}


# The job's script and what its log says

_PHASE = "== "
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Inputs:
    """Files in the job's folder, and the archive's path, that the script works with."""

    context: str = "context.tar"
    base_script: str = ""
    base_lock: str = ""
    archive: str = ""
    proxies: tuple[str, ...] = ()
    host_args: Mapping[str, str] = field(default_factory=dict)
    keep_stages: bool = False


def script(plan: Plan, wanted: Wanted, inputs: Inputs) -> str:
    """A shell script that tries the plan's steps in order and leaves the name of the one that worked in the file `source`."""
    lines = ["set -u", "export DOCKER_BUILDKIT=0 LC_ALL=C.UTF-8", f"phase() {{ printf '\\n{_PHASE}%s\\n' \"$1\"; }}", ""]
    for step in plan.steps:
        commands = {REGISTRY: _pull, BUILD: _build, ARCHIVE: _load}[step](wanted, inputs)
        if step == BUILD and len(plan.steps) > 1:
            # Instead of the registry's image: the recipe's may be there, built once for the site.
            commands.insert(0, f"docker image inspect {shlex.quote(wanted.build_ref)} >/dev/null 2>&1 && return 0")
        lines += [f"{step}() {{", *(f"    {command}" for command in commands), "}", f"if {step}; then echo {step} >source; exit 0; fi", ""]
    return "\n".join([*lines, "exit 1", ""])


def _pull(wanted: Wanted, _inputs: Inputs) -> list[str]:
    return ["phase pulling", f"docker pull {shlex.quote(wanted.name)}"]


def _load(_wanted: Wanted, inputs: Inputs) -> list[str]:
    return ["phase loading", f"docker load --input {shlex.quote(inputs.archive)}"]


def _build(wanted: Wanted, inputs: Inputs) -> list[str]:
    if wanted.build is None:
        raise ValueError(f"{wanted.name}: there is nothing to build it from")
    build, commands = wanted.build, []
    if inputs.base_script:
        # Builds of several images on one host make the base once: the second finds it when it gets the lock.
        base = shlex.quote(build.base)
        make = f"docker image inspect {base} >/dev/null 2>&1 || sh {shlex.quote(inputs.base_script)} {base}"
        # --close: mmdebstrap has apt write to a file that dash only knows by one digit, and each open file counts.
        commands += ["phase 'making the Debian base'", f"flock --close {shlex.quote(inputs.base_lock)} sh -c {shlex.quote(make)} || return 1"]
    # On a host that serves, the containers go before the build.
    options = ["--force-rm", "--cpu-shares", "512", "--file", build.dockerfile, "--tag", wanted.build_ref]
    options += ["--build-arg", f"BASE_IMAGE={build.base}"] if build.base else []
    for name, value in sorted(build.args.items()):
        options += ["--build-arg", f"{name}={value}"]
    for name in [*inputs.proxies, *inputs.host_args]:
        # By name only: the value comes from the environment, so no list of processes shows it.
        options += ["--build-arg", name]
    commands += [f"export {name}={shlex.quote(value)}" for name, value in inputs.host_args.items()]
    options += ["--target", build.target] if build.target else []
    commands += ["phase building", f"docker build {shlex.join(options)} - <{shlex.quote(inputs.context)} || return 1"]
    # The stages that only fed the image hold compilers, and of a recipe this host's way to the package indexes.
    end = "echo" if inputs.keep_stages else "docker rmi >/dev/null 2>&1"
    return [
        *commands,
        "awk '/^Step .* : FROM /{if (last) print last} / ---> [0-9a-f]+$/{last=$2}' log | while read -r stage; do",
        f'    if docker image ls --quiet --filter dangling=true | grep -qx "$stage"; then {end} "$stage"; fi',
        "done >stages",
        "true",
    ]


def phases(log: str) -> list[tuple[str, list[str]]]:
    """The log's parts: name, lines with something in them."""
    parts: list[tuple[str, list[str]]] = []
    for raw in log.split("\n"):
        # Without colours, and of a line that was written over, what was seen last.
        line = _COLOURS.sub("", raw).rstrip("\r").rpartition("\r")[2]
        if line.startswith(_PHASE):
            parts.append((line.removeprefix(_PHASE), []))
        elif parts and line.strip():
            parts[-1][1].append(line.rstrip())
    return parts


def progress(log: str) -> str:
    """What the job does now, in a few words."""
    parts = phases(log)
    if not parts:
        return "starting"
    name, lines = parts[-1]
    step = next((match[1] for match in map(re.compile(r"Step (\d+/\d+) :").match, reversed(lines)) if match), None)
    return f"{name} step {step}" if step else name


def failure(wanted: Wanted, plan: Plan, log: str) -> str:
    """Why no step worked: the engine's word for a pull, the end of the log for a build."""
    reasons = []
    for name, lines in phases(log):
        if name in ("pulling", "loading"):
            reasons.append(f"{name} failed: {lines[-1] if lines else 'no answer'}")
    name, lines = (phases(log) or [("", log.splitlines())])[-1]
    if name not in ("pulling", "loading"):
        reasons.append("\n".join([f"{name or 'the job'} failed; the last lines of its log:", *lines[-LOG_LINES:]]))
    if plan.kept and plan.source == REGISTRY:
        reasons.append("The image came from the registry before, and `auto` stays with that: another build under existing data is your decision. "
                       "Say `source: build` to make it.")  # fmt: skip
    return f"{wanted.name}: " + "\n".join(reasons)


def _pull_reason(log: str) -> str:
    return next((lines[-1] for name, lines in phases(log) if name == "pulling" and lines), "no answer")


def refresh_warning(wanted: Wanted, log: str) -> str:
    """Said when the registry could not be asked whether a name leads to another image by now."""
    return f"{wanted.name} could not be pulled anew ({_pull_reason(log)}); the image of that name that this host has is taken."


def fallback_warning(wanted: Wanted, log: str) -> str:
    """Said when `auto` found no registry and built."""
    return (
        f"{wanted.name} could not be pulled ({_pull_reason(log)}), so {wanted.build_ref} was built from the recipe. "
        f"This host stays with the recipe for {Reference.parse(wanted.name).repository} until the source is set to something else."
    )


# What a build needs to know of the host

_PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
_PIP_NAMES = {"timeout": "PIP_DEFAULT_TIMEOUT"}
_GO_NAMES = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOINSECURE")
_PROXY_NAMES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def proxy_names(environ: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in _PROXY_NAMES if environ.get(name))


def index_values(environ: Mapping[str, str], pip_configs: Iterable[str]) -> dict[str, str]:
    """The host's package indexes, as variables of pip and Go."""
    values: dict[str, str] = {}
    for text in pip_configs:
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(text)
        for section in ("global", "download", "install"):
            for option in _PIP_OPTIONS:
                if parser.has_option(section, option):
                    values[_pip_name(option)] = " ".join(parser.get(section, option).split())
    for name in [*map(_pip_name, _PIP_OPTIONS), *_GO_NAMES]:
        if environ.get(name):
            values[name] = environ[name]
    return values


def environment_file(indexes: Mapping[str, str]) -> str:
    """Shell assignments that give a recipe the host's package indexes and trusted authorities."""
    trust = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")
    values = {**indexes, **dict.fromkeys(trust, f"{BUILD_HOST_INSIDE}/{CA_BUNDLE}")}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))


def _pip_name(option: str) -> str:
    return _PIP_NAMES.get(option, "PIP_" + option.upper().replace("-", "_"))
