# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers of a compose project as the engine shows them, and what each service needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._compose import is_active, replicas
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._names import LABEL_CONFIG

# A container that started this often within one wait will not come up by waiting.
CRASHES = 3
# Seconds that a container without a health check must have run before it counts.
SETTLING = 5


@dataclass(frozen=True)
class Container:
    """One container of the project, as the engine shows it."""

    id: str
    name: str
    service: str
    image: str
    config: str
    state: str
    health: str
    restarts: int
    exit_code: int
    restart_policy: str
    started: str
    networks: tuple[str, ...] = ()

    @classmethod
    def from_inspect(cls, data: Mapping[str, Any]) -> Container:
        labels, state = data["Config"].get("Labels") or {}, data["State"]
        return cls(
            id=data["Id"],
            name=data["Name"].lstrip("/"),
            service=labels.get("com.docker.compose.service", ""),
            image=data["Image"],
            config=labels.get(LABEL_CONFIG, ""),
            state=state["Status"],
            health=(state.get("Health") or {}).get("Status", "none"),
            restarts=data.get("RestartCount", 0),
            exit_code=state.get("ExitCode", 0),
            restart_policy=(data["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no",
            started=state.get("StartedAt", ""),
            networks=tuple((data.get("NetworkSettings") or {}).get("Networks") or ()),
        )

    def ready(self, now: float) -> bool:
        """Healthy; without a health check, up for so long that it does not crash at its start. The clock of the engine may be ahead for a moment."""
        settled = self.health == "none" and not 0 <= now - _seconds(self.started) < SETTLING
        return self.state == "running" and (self.health == "healthy" or settled)

    @property
    def condition(self) -> str:
        """What it is waited for."""
        if self.state != "running":
            return self.state
        return self.health if self.health != "none" else f"no health check, must run for {SETTLING} s"

    def hopeless(self, before: int) -> str:
        """Why waiting longer is no use, or nothing. before: its restarts when the work began; the engine counts them over the container's life."""
        # The engine counts from zero again when somebody starts the container.
        crashes = self.restarts - before if self.restarts >= before else self.restarts
        if crashes >= CRASHES:
            return f"crashed {crashes} times (last exit status {self.exit_code})"
        if self.restart_policy == "no" and self.health == "unhealthy":
            # A release that is not live: the checks it had are those that it was given.
            return "is unhealthy"
        if self.state in ("exited", "dead") and self.restart_policy == "no":
            return f"ended with exit status {self.exit_code}"
        return ""


def observe(engine: Engine, project: str) -> list[Container]:
    """The project's containers; one-off containers of `docker compose run` do not belong to it."""
    label = f"label=com.docker.compose.project={project}"
    ids = engine.must(["ps", "--all", "--quiet", "--no-trunc", "--filter", label, "--filter", "label=com.docker.compose.oneoff=False"]).stdout.split()
    return [Container.from_inspect(item) for item in engine.inspect("container", ids)]


def image_ids(engine: Engine, whole: Mapping[str, Any]) -> dict[str, str]:
    """Image id by service; an image that is not there is left out."""
    services = {name: service["image"] for name, service in whole["services"].items() if is_active(service)}
    found: dict[str, str] = {}
    refs = sorted(set(services.values()))
    inspected = engine.inspect("image", refs)
    if len(inspected) == len(refs):
        found = {ref: item["Id"] for ref, item in zip(refs, inspected, strict=True)}
    else:
        for ref in refs:
            for item in engine.inspect("image", [ref]):
                found[ref] = item["Id"]
    return {name: found[ref] for name, ref in services.items() if ref in found}


def plan(
    whole: Mapping[str, Any], containers: list[Container], images: Mapping[str, str], is_chosen: Callable[[str], bool] = lambda service: True
) -> dict[str, str]:
    """What each chosen service needs: unchanged, started, created, recreated, scaled (another number of the same containers) or removed."""
    actions = {}
    for name, service in whole["services"].items():
        if not is_chosen(name):
            continue
        wanted = replicas(service)
        mine = [container for container in containers if container.service == name]
        if not wanted:
            # Compose leaves what runs of a service with profiles, but removes what is scaled to nothing.
            if mine and not service.get("profiles"):
                actions[name] = "removed"
            continue
        current = [c for c in mine if c.config == service["labels"][LABEL_CONFIG] and c.image == images.get(name, c.image)]
        if not mine:
            actions[name] = "created"
        elif len(current) < len(mine):
            actions[name] = "recreated"
        elif len(mine) != wanted:
            actions[name] = "scaled"
        elif any(c.state != "running" for c in mine):
            actions[name] = "started"
        else:
            actions[name] = "unchanged"
    for name in sorted({container.service for container in containers} - set(whole["services"])):
        actions[name] = "removed"
    return actions


def _seconds(moment: str) -> float:
    """The engine's time, `2026-01-31T10:20:30.123456789Z`, in seconds; 0 where it shows none."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0
