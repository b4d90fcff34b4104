# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of the journeys, made once per machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from journey_support import CACHE, HOSTS, ROOT, command, play

SERVICES = ("postgres", "valkey", "rabbitmq", "seaweedfs", "switch", "caddy")
APPLICATIONS = {"longshore.test/example:1.0.0": "examples/fastapi", "longshore.test/board:1.0.0": "examples/django"}
VERSIONS = {"longshore.test/example:1.1.0": "broken", "longshore.test/example:1.1.1": "fixed", "longshore.test/example:1.2.0": "hanging"}
# Of what a version has that no other has.
LAYER_KILOBYTES = 4096


def of_what(wanted: dict[str, Any]) -> str:
    """A hash of all that the images are made of, and of MinIO's presence: unchanged, the module need not be asked."""
    listed = command(
        "git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "roles/*/files/image", "examples", "tests/journeys", "plugins/module_utils/_image.py"
    )
    digest = hashlib.sha256(json.dumps([wanted, command("docker", "images", "--quiet", "longshore/minio").stdout.split()]).encode())
    for name in sorted(listed.stdout.splitlines()):
        path = ROOT / name
        if path.is_file() and not (path.suffix == ".py" and path.parent.name == "journeys"):
            digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def make_images() -> dict[str, Any]:
    """References of all images by what they are for; they are in the seed of the test hosts then."""

    def upstream(role, variable="image"):
        return yaml.safe_load((ROOT / f"roles/{role}/defaults/main.yml").read_text())[f"{role}_{variable}"]

    def recipe(role):
        return {"name": upstream(role), "recipe": f"roles/{role}/files/image"}

    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = {
        "folder": str(CACHE),
        "services": [recipe(role) for role in SERVICES],
        "minio": recipe("minio"),
        "base": {"name": upstream("app", "base_image"), "recipe": "roles/app/files/image/python"},
        "applications": [{"name": name, "context": context} for name, context in APPLICATIONS.items()],
        "versions": [{"name": name, "revisions": revisions} for name, revisions in VERSIONS.items()],
    }
    stamp, note = of_what(wanted), CACHE / "made.json"
    made = json.loads(note.read_text()) if note.exists() else {}
    if made.get("stamp") != stamp or command("docker", "image", "inspect", *made["services"], *made["applications"].values(), check=False).returncode:
        play("this machine: images", "-i", "localhost,", "-e", json.dumps(wanted), playbook="tests/journeys/images.yml", timeout=3600).succeeded()
        made = json.loads(note.read_text())
        note.write_text(json.dumps({**made, "stamp": stamp}))
    seeded = [*made["services"], *([made["minio"]] if made["minio"] else [])]
    command(HOSTS / "seed", *seeded, timeout=1800)
    return {**made, "seeded": seeded}


def make_archive(images: dict[str, Any]) -> Path:
    """One file with all versions of the applications, as a user without a registry would carry it to the site."""
    for name, ref in images["applications"].items():
        command("docker", "tag", ref, name)
    identity = "-".join(re.search(r"[0-9a-f]{12}$", ref)[0][:6] for ref in images["applications"].values())
    path = CACHE / f"applications-{identity}.tar"
    if not path.exists():
        for old in CACHE.glob("applications-*.tar*"):
            old.unlink()
        unfinished = path.with_suffix(".tar.new")
        command("docker", "save", "--output", unfinished, *images["applications"], timeout=1800)
        unfinished.rename(path)
    return path


@contextlib.contextmanager
def new_version(base: str, name: str, folder: Path) -> Iterator[Path]:
    """An archive with one more version of an application, which has a layer that no other has; gone at the end of the block."""
    (folder / "layer").write_bytes(secrets.token_bytes(LAYER_KILOBYTES * 1024))
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY layer /app/layer\n")
    archive = folder / "version.tar"
    try:
        command("env", "DOCKER_BUILDKIT=0", "docker", "build", "--quiet", "--tag", name, folder)
        command("docker", "save", "--output", archive, name)
        yield archive
    finally:
        archive.unlink(missing_ok=True)
        command("docker", "image", "rm", name, check=False)
