# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that a stack brought to the host for releases that are kept no more."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._image import read_records, write_records
from ansible_collections.longshore.stack.plugins.module_utils._names import IMAGES_FILE, RELEASE_FILE


def images_of(folders: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The image of each release, by its directory; one whose record cannot be read has none."""
    for folder in folders:
        try:
            with open(os.path.join(folder, RELEASE_FILE), encoding="utf-8") as file:
                yield json.load(file)["image"]
        except (OSError, ValueError, TypeError, KeyError):
            continue


def forget(engine: Engine, root: str, folders: Iterable[str]) -> list[str]:
    """Remove the images of these releases, by the references under which they came; answers those. root: directory of the stack.

    One stays that the stack found on the host instead of bringing it, that another release of any application has (a rollback finds the image
    under the release's own name, but the next run would have to fetch it again), or that any container was made from.
    """
    leaving = set(folders)
    refs = sorted({image.get("ref", "") for image in images_of(leaving)} - {""})
    folder = Folder(root)
    with folder.locked():
        records = read_records(folder.read(IMAGES_FILE))
        here = {ref: found[0]["Id"] for ref in refs if ref in records and records[ref].brought and (found := engine.inspect("image", [ref]))}
        if not here:
            return []
        used = {image.get("id") for image in images_of(set(glob(os.path.join(root, "apps", "*", "releases", "*"))) - leaving)}
        containers = engine.must(["ps", "--all", "--quiet", "--no-trunc"]).stdout.split()
        used |= {container["Image"] for container in engine.inspect("container", containers)}
        # The engine has the last word; what it refuses to remove stays the stack's.
        gone = [ref for ref, image in here.items() if image not in used and engine.run(["image", "rm", ref]).ok]
        if gone:
            folder.write(IMAGES_FILE, write_records({ref: record for ref, record in records.items() if ref not in gone}), 0o644)
    return gone
