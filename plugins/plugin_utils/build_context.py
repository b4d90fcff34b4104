# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders and archives of the controller that become images: what is in them, as one hash, as one tar."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import stat
import tarfile
from collections.abc import Iterator
from typing import Any


def ignore_rules(text: str) -> list[tuple[bool, re.Pattern[str]]]:
    """The lines of a .dockerignore: whether it takes back, and what it matches."""
    rules = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        keep = line.startswith("!")
        path = os.path.normpath(line.removeprefix("!").strip()).strip("/")
        if path not in (".", ""):
            rules.append((keep, re.compile(_expression(path))))
    return rules


def _expression(pattern: str) -> str:
    parts = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|/\*\*$|\*\*|\*|\?|\[[^]]+\])", pattern)
    return "".join(parts.get(token, token if token.startswith("[") and token.endswith("]") else re.escape(token)) for token in tokens if token)


def ignored(path: str, rules: list[tuple[bool, re.Pattern[str]]]) -> bool:
    """True if the last rule that matches the path, or a folder above it, leaves it out."""
    answer = False
    prefixes = [path[: match.start()] for match in re.finditer("/", path)] + [path]
    for keep, rule in rules:
        if any(rule.fullmatch(prefix) for prefix in prefixes):
            answer = not keep
    return answer


def entries(folder: str, dockerfile: str = "Dockerfile") -> Iterator[tuple[str, str]]:
    """(relative path, full path) of every file and link that the builder would see, sorted."""
    rules: list[tuple[bool, re.Pattern[str]]] = []
    ignore = os.path.join(folder, ".dockerignore")
    if os.path.exists(ignore):
        with open(ignore, encoding="utf-8") as file:
            rules = ignore_rules(file.read())
    takes_back = any(keep for keep, _rule in rules)
    found = []
    for top, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(top, name))]
        for name in [*files, *links]:
            full = os.path.join(top, name)
            relative = os.path.relpath(full, folder)
            # The rules were applied here; applied again by the engine they could hit what is added there.
            if relative != ".dockerignore" and (relative == dockerfile or not ignored(relative, rules)):
                found.append((relative, full))
        if not takes_back:
            folders[:] = [name for name in folders if not ignored(os.path.relpath(os.path.join(top, name), folder), rules)]
    return iter(sorted(found))


def executable(full: str) -> bool:
    return bool(os.lstat(full).st_mode & stat.S_IXUSR)


def folder_hash(folder: str, dockerfile: str = "Dockerfile") -> str:
    """One hash of paths, contents and execute bits; times and owners do not count."""
    digest = hashlib.sha256()
    for relative, full in entries(folder, dockerfile):
        if os.path.islink(full):
            digest.update(f"link {relative}\0{os.readlink(full)}\0".encode())
        elif os.path.isfile(full):
            with open(full, "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"file {relative}\0{executable(full)}\0{content}\0".encode())
    return digest.hexdigest()


def inline_files(folder: str, dockerfile: str = "Dockerfile") -> list[dict[str, Any]]:
    """The files of a recipe, to be sent as arguments of the module."""
    files = []
    for relative, full in entries(folder, dockerfile):
        with open(full, encoding="utf-8") as file:
            files.append({"path": relative, "content": file.read(), "executable": executable(full)})
    return files


def pack(folder: str, target: str, dockerfile: str = "Dockerfile") -> None:
    """Write the folder as a tar whose entries carry neither times nor owners, so an unchanged file stays cached by the builder."""
    with tarfile.open(target, "w") as tar:
        for relative, full in entries(folder, dockerfile):
            info = tarfile.TarInfo(relative)
            if os.path.islink(full):
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(full)
                tar.addfile(info)
            elif os.path.isfile(full):
                info.mode = 0o755 if executable(full) else 0o644
                info.size = os.path.getsize(full)
                with open(full, "rb") as file:
                    tar.addfile(info, file)


def archived_image(path: str, name: str) -> dict[str, str]:
    """Id and reference of the image in an archive that `docker save` made. ValueError says what is wrong."""
    images = _manifest(path)
    if len(images) > 1:
        images = [image for image in images if name in (image.get("RepoTags") or [])] or images
    if len(images) != 1:
        tags = sorted(tag for image in images for tag in image.get("RepoTags") or [])
        raise ValueError(f"archive {path} holds {len(images)} images and none is tagged {name}; it has {', '.join(tags) or 'no tags'}")
    identity = os.path.basename(images[0]["Config"]).removesuffix(".json")
    tags = images[0].get("RepoTags") or []
    return {"id": f"sha256:{identity}", "ref": name if name in tags else (tags or [f"sha256:{identity}"])[0]}


def _manifest(path: str) -> list[dict[str, Any]]:
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: io.IOBase = gzip.GzipFile(fileobj=raw) if packed else raw
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                for member in tar:
                    if member.name == "manifest.json":
                        return json.loads(tar.extractfile(member).read())
        except (tarfile.TarError, OSError, ValueError) as error:
            raise ValueError(f"archive {path} cannot be read: {error}; it must be made by `docker save`") from error
    raise ValueError(f"archive {path} has no manifest.json; it must be made by `docker save`")
