# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One slice of getting an image onto the host: look, start or follow the job, keep the record."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._image import (
    ARCHIVE,
    AUTO,
    BUILD,
    BUILD_HOST,
    CA_BUNDLE,
    REGISTRY,
    Archived,
    Build,
    Facts,
    ImageError,
    Inputs,
    Plan,
    Record,
    Reference,
    Wanted,
    base_ref,
    chosen,
    decide,
    environment_file,
    facts_among,
    facts_of,
    failure,
    fallback_warning,
    index_values,
    progress,
    proxy_names,
    read_records,
    refresh_warning,
    remember,
    script,
    settled,
    write_records,
)
from ansible_collections.longshore.stack.plugins.module_utils._job import Job

# Of the module's options, those that make an image another one.
DEFAULTS = {"source": AUTO, "base": "", "args": {}, "target": "", "dockerfile": "Dockerfile"}
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# For a question to a registry in check mode.
ASK_SECONDS = 30
PIP_CONFIGS = ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf")


@dataclass(frozen=True)
class Host:
    """The places of the host that are used."""

    work: str = "/var/lib/longshore"
    bundle: str = BUNDLE
    pip_configs: tuple[str, ...] = PIP_CONFIGS
    slice: float = 10


def settled_in(images: Mapping[str, Any], params: Mapping[str, Any], sent: Mapping[str, Any]) -> Record | None:
    """The record of an image that needs no look at the host, because `images_of` has just told that it is there as it is wanted."""
    if not images:
        return None
    wanted = wanted_from({**DEFAULTS, **params}, sent)
    return settled(wanted, read_records(images["records"].encode()), facts_among(images["here"], Reference.parse(wanted.name).repository))


def wanted_from(params: Mapping[str, Any], sent: Mapping[str, Any]) -> Wanted:
    """The task's arguments and what the controller read for them, as one value."""
    Reference.parse(params["name"])
    archived = Archived(**sent["archived"]) if sent.get("archived") else None
    build = None
    if sent.get("build"):
        base = params["base"] or (base_ref(sent["base_script"]) if sent.get("base_script") else "")
        build = Build(base=base, args=params["args"], target=params["target"], dockerfile=params["dockerfile"], **sent["build"])
    return Wanted(params["name"], params["source"], build, archived)


class Slice:
    """One call of the module."""

    def __init__(self, params: Mapping[str, Any], check: bool, engine: Engine, warn: Callable[[str], None],
                 host: Host | None = None, environ: Mapping[str, str] | None = None):  # fmt: skip
        self.params, self.check, self.engine, self.warn = params, check, engine, warn
        self.host, self.environ = host or Host(), os.environ if environ is None else environ
        self.sent = params["sent"] or {}
        self.known: dict[str, Facts | None] = {}
        self.wanted = wanted_from(params, self.sent)
        self.repository = Reference.parse(self.wanted.name).repository
        self.parts: list[str] = []
        folder, self.records_file = os.path.split(params["state_path"])
        self.folder = Folder(folder, check)
        self.records = read_records(self.folder.read(self.records_file))

    def run(self) -> dict[str, Any]:
        plan = decide(self.wanted, chosen(self.records, self.wanted.name), self._facts)
        # What has a digest in its name cannot be another image by now.
        again = bool(self.params["refresh"]) and not plan.steps and plan.source == REGISTRY and not Reference.parse(self.wanted.name).digest
        if again:
            plan = replace(plan, steps=(REGISTRY,))
        if not plan.steps:
            named = self._name(plan)
            result = self._there(plan.ref, plan.source, brought=named)
            return {**result, "changed": result["changed"] or named}
        if self.check:
            return self._foretold(plan)
        # Everybody who wants the same image by the same way follows the same job.
        key = hashlib.sha256(repr((plan.steps, self.wanted.name, self.wanted.build_ref, plan.ref)).encode()).hexdigest()[:16]
        return self._follow(plan, Job(os.path.join(self.host.work, "jobs", f"image-{key}")), again)

    def _foretold(self, plan: Plan) -> dict[str, Any]:
        """The result in check mode where the image is missing, or the registry may have another one by now."""
        digest, here = self._registry_digest() if self.wanted.source == REGISTRY else "", self._facts(plan.ref)
        if here and digest in ("", here.digest):
            return self._there(plan.ref, plan.source, brought=False)
        result = {"changed": True, "ref": plan.ref, "id": "", "digest": digest, "source": plan.source}
        return {**result, "msg": plan.sentence(self.wanted), "diff": self._diff(plan.ref, f"{plan.ref} {digest}".strip())}

    def _registry_digest(self) -> str:
        """The digest that the registry has for the name, with nothing fetched; empty where the tools of this host cannot tell.

        Of an image for several platforms the second tool shows each of them, but not the digest by which it is pulled.
        """
        if known := Reference.parse(self.wanted.name).digest:
            return known
        imagetools = ["buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", self.wanted.name]
        for words, path in ((imagetools, ("digest",)), (["manifest", "inspect", "--verbose", self.wanted.name], ("Descriptor", "digest"))):
            with contextlib.suppress(EngineError, ValueError, KeyError, TypeError):
                return str(reduce(lambda answer, key: answer[key], path, json.loads(self.engine.must(words, timeout=ASK_SECONDS).stdout)))
        return ""

    def _name(self, plan: Plan) -> bool:
        """An archive's image may be there under another name, or its name may have gone to another image since."""
        archived = self.wanted.archived
        if plan.source != ARCHIVE or not archived or plan.ref.startswith("sha256:"):
            return False
        here, loaded = self._facts(plan.ref), self.wanted.loaded_id(chosen(self.records, self.wanted.name))
        if here and here.id == loaded:
            return False
        if not self.check:
            self.engine.must(["tag", loaded, plan.ref])
        self.known[plan.ref] = self._facts(loaded)
        return True

    def _facts(self, ref: str) -> Facts | None:
        if ref not in self.known:
            try:
                answers = self.engine.inspect("image", [ref])
            except EngineError:
                # On a bare host check mode goes on: what is missing would be installed by then.
                if not self.check:
                    raise
                answers = []
            self.known[ref] = facts_of(answers[0], self.repository) if answers else None
        return self.known[ref]

    def _follow(self, plan: Plan, job: Job, again: bool) -> dict[str, Any]:
        """again: the image is there, and only the registry knows whether its name leads to another one by now."""
        resumed = self.params["resume"].get("job") == job.path
        here = self._facts(plan.ref) if again else None
        before = self.params["resume"].get("before") or (here.id if here else "")
        if not job.running() and not (resumed and job.started()):
            need = self._need(plan)
            if need:
                return {"changed": False, "pending": True, "progress": f"sending the {need}", "need": need}
            self._forget(os.path.dirname(job.path))
            job.start(script(plan, self.wanted, self._inputs()), self._prepare if BUILD in plan.steps else lambda path: None)
        if not job.wait(self.host.slice):
            if job.age() > self.params["timeout"]:
                job.kill()
                raise ImageError(f"{self.wanted.name}: not done within {self.params['timeout']} s\n{failure(self.wanted, plan, job.read('log'))}")
            return {"changed": False, "pending": True, "progress": progress(job.read("log")), "resume": {"job": job.path, "before": before}}
        log, source, stages, rc = job.read("log"), job.read("source").strip(), job.read("stages").split(), job.rc()
        if not job.started():
            # Another run followed the same job and took its result a moment ago: look again.
            return {"changed": False, "pending": True, "progress": "done by another run"}
        self.known.clear()
        job.clear()
        if rc != 0 and again:
            self.warn(refresh_warning(self.wanted, log))
            return self._there(plan.ref, plan.source, brought=False)
        if rc != 0:
            raise ImageError(failure(self.wanted, plan, log))
        if self.params["source"] == AUTO and not plan.kept and source == BUILD:
            self.warn(fallback_warning(self.wanted, log))
        ref = {BUILD: self.wanted.build_ref, ARCHIVE: plan.ref}.get(source, self.wanted.name)
        if source == BUILD:
            self.parts = [*([self.wanted.build.base] if self._makes_base() else []), *stages]
        found = self._facts(ref)
        if before and found and found.id == before:
            return self._there(ref, source, brought=False)
        return {**self._there(ref, source, brought=True), "changed": True}

    @staticmethod
    def _forget(folder: str) -> None:
        """Remove jobs that ended with nobody there to take their result."""
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            old = Job(os.path.join(folder, name))
            if old.started() and not old.running() and old.age() > 3600:
                old.clear()

    def _need(self, plan: Plan) -> str:
        """What the controller must send before the job can start."""
        if BUILD in plan.steps and not self.sent.get("files") and not self.sent.get("context_tar"):
            return "context"
        if ARCHIVE in plan.steps and not self.sent.get("archive"):
            return "archive"
        return ""

    def _makes_base(self) -> bool:
        return bool(self.sent.get("base_script") and not self.params["base"])

    def _inputs(self) -> Inputs:
        return Inputs(
            base_script="base.sh" if self._makes_base() else "",
            base_lock=os.path.join(self.host.work, "jobs", "base.lock"),
            archive=self.sent.get("archive") or "",
            proxies=proxy_names(self.environ),
            host_args=self._indexes() if self.sent.get("context_tar") else {},
            # An application is built again and again; its stages are what makes that quick.
            keep_stages=bool(self.sent.get("context_tar")),
        )

    def _prepare(self, path: str) -> None:
        if self.sent.get("base_script"):
            with open(os.path.join(path, "base.sh"), "w", encoding="utf-8") as file:
                file.write(self.sent["base_script"])
        target, bundle = os.path.join(path, "context.tar"), "".join(_texts([self.host.bundle])).encode()
        if self.sent.get("context_tar"):
            shutil.copyfile(self.sent["context_tar"], target)
            with tarfile.open(target, "a") as tar:
                if CA_BUNDLE not in tar.getnames():
                    # Certificates only: an application may copy its whole context into the image.
                    _add(tar, CA_BUNDLE, bundle, 0o644)
            return
        with tarfile.open(target, "w") as tar:
            for file in self.sent["files"]:
                _add(tar, file["path"], file["content"].encode(), 0o755 if file["executable"] else 0o644)
            _add(tar, f"{BUILD_HOST}/env", environment_file(self._indexes()).encode(), 0o644)
            _add(tar, f"{BUILD_HOST}/{CA_BUNDLE}", bundle, 0o644)

    def _indexes(self) -> dict[str, str]:
        return index_values(self.environ, _texts(self.host.pip_configs))

    def _there(self, ref: str, source: str, brought: bool) -> dict[str, Any]:
        """The result for an image that is there, and its record. brought: by this call; the image may have been somebody's before."""
        facts = self._facts(ref)
        if not facts:
            raise ImageError(f"{self.wanted.name}: {ref} is not there although it was just {source}: does something else on this host remove images?")
        diff = self._diff(ref, f"{ref} {facts.id}")
        record = Record(self.wanted.name, source, ref, facts.id, facts.digest, brought or source == BUILD, self.wanted.other_id(source, facts.id))
        # What the image is made of stays beside it, the base and the stages that make the next build quick, and goes with the stack.
        found = [*(Record(part, BUILD, part, part, brought=True) for part in self.parts), record]
        return {"changed": self._keep(found), "ref": ref, "id": facts.id, "digest": facts.digest, "source": source, "diff": diff}

    def _keep(self, found: list[Record]) -> bool:
        """True if a record is new or another. Their order alone is no change: two applications may take one image from two sources."""
        before = self.records
        if list(reduce(remember, found, before).values()) == list(before.values()):
            return False
        with self.folder.locked():
            self.records = reduce(remember, found, read_records(self.folder.read(self.records_file)))
            self.folder.write(self.records_file, write_records(self.records), 0o644)
        return self.records != before

    def _diff(self, ref: str, after: str) -> dict[str, str]:
        record = self.records.get(ref) or chosen(self.records, self.wanted.name)
        return {"before": f"{record.ref} {record.id}\n" if record else "", "after": after + "\n"}


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def _texts(paths) -> list[str]:
    texts = []
    for path in paths:
        try:
            with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
        except OSError:
            continue
    return texts
