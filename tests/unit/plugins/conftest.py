# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several tests share: an engine that lives in memory, and runs of ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.longshore.stack.plugins.module_utils import _files
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, Result
from ansible_collections.longshore.stack.plugins.plugin_utils import view
from ansible_collections.longshore.stack.plugins.plugin_utils.resolved import Resolved

COLLECTION = Path(__file__).parents[3]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
LABEL_CONFIG = "stack.longshore.config"


class FakeDocker:
    """Answers the commands that the collection gives. Time passes only when somebody sleeps."""

    def __init__(self):
        self.now = 1000.0
        self.calls: list[list[str]] = []
        self.containers: dict[str, dict] = {}
        self.images: dict[str, str] = {}
        self.networks: set[str] = set()
        self.healthy_after: dict[str, float] = {}  # by service, seconds from its start; without it a container is healthy at once
        self.unchecked: set[str] = set()  # services without a health check
        self.crashing: dict[str, float] = {}  # by service, seconds between two crashes
        self.log = "first line\nlast words\n"
        self.execute = lambda service, command: (0, "", "")
        self.stubborn: set[str] = set()  # services that do not end when they are told so
        self.told = lambda container, signal: None  # what a container does when it gets a signal
        self.refuse: dict[str, str] = {}  # by the first words of a command, what the engine says when it fails
        self.api = "1.45"
        self._number = 0

    @property
    def engine(self) -> Engine:
        return Engine(runner=self)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def said(self, *words: str) -> list[list[str]]:
        """The calls that have these words in this order."""
        found = []
        for call in self.calls:
            rest = iter(call)
            if all(word in rest for word in words):
                found.append(call)
        return found

    def add(self, project: str, service: str, image: str = "sha256:1", **values) -> dict:
        self._number += 1
        container = {
            "Id": f"{service}{self._number:03}",
            "Name": f"/{project}-{service}-{self._number}",
            "project": project,
            "service": service,
            "image": image,
            "ref": "",
            "labels": {},
            "state": "running",
            "started": self.now,
            "restarts": 0,
            "policy": "unless-stopped",
            "networks": {},
            **values,
        }
        self.containers[container["Id"]] = container
        return container

    def only(self, service: str) -> dict:
        (found,) = [container for container in self.containers.values() if container["service"] == service]
        return found

    # -- the command line ----------------------------------------------------------------------------------------------

    def __call__(self, args, stdin=None, timeout=None, env=None, cwd=None) -> Result:
        words = list(args[1:])
        self.calls.append(words)
        refused = next((reason for start, reason in self.refuse.items() if " ".join(self._bare(words)).startswith(start)), None)
        if refused is not None:
            return Result(tuple(args), 1, "", refused)
        code, out, err = self._answer(words, timeout)
        return Result(tuple(args), code, out, err)

    @staticmethod
    def _bare(words: list[str]) -> list[str]:
        """A compose command without the options that name the project."""
        return ["compose", *words[7:]] if words[0] == "compose" else words

    def _answer(self, words, timeout):
        if words[0] == "compose":
            return self._compose(Path(words[4]), words[6], words[7:])
        if words[0] == "exec":
            (container,) = self._found([words[1]])
            assert words[2:4] == ["timeout", "-k"]  # so that it ends in the container as well
            answer = self.execute(container["service"], words[6:])
            if answer == "hangs":
                raise subprocess.TimeoutExpired(words, timeout)
            return answer
        if words[0] == "ps":
            return 0, "\n".join(self._listed(words)), ""
        if words[0] == "version":
            return 0, f"{self.api}\n", ""
        if words[1] == "inspect":
            return self._inspect(words[0], words[2:])
        if words[:2] == ["network", "create"]:
            self.networks.add(words[-1])
        elif words[:2] == ["network", "ls"]:
            return 0, "\n".join(self.networks), ""
        elif words[:2] == ["network", "rm"]:
            self.networks -= set(words[2:])
        elif words[:2] == ["image", "rm"]:
            self.images.pop(words[2], None)
        elif words[0] == "tag":
            self.images[words[2]] = words[1]
        elif words[:2] == ["update", "--restart"]:
            for container in self._found(words[3:]):
                container["policy"] = words[2]
        elif words[0] == "logs":
            return 0, self.log, ""
        elif words[0] == "kill":
            for container in self._found(words[3:]):
                self.told(container, words[2])
                if container["service"] not in self.stubborn:
                    container["state"] = "exited"
        elif words[0] == "wait":
            if any(container["state"] == "running" for container in self._found(words[1:])):
                self.now += timeout
                raise subprocess.TimeoutExpired(words, timeout)
        elif words[0] in ("stop", "start", "rm"):
            for container in self._found(words[1:]):
                if words[0] == "rm":
                    del self.containers[container["Id"]]
                elif words[0] == "stop":
                    container["state"] = "exited"
                elif container["state"] != "running":
                    container.update(state="running", started=self.now)
        else:
            raise AssertionError(f"the fake engine does not know: docker {' '.join(words)}")
        return 0, "", ""

    def _found(self, names):
        return [c for c in list(self.containers.values()) if c["Id"] in names or c["Name"].lstrip("/") in names]

    def _listed(self, words):
        filters = [words[i + 1].removeprefix("label=") for i, word in enumerate(words) if word == "--filter"]
        shown = []
        for container in self.containers.values():
            labels = self._labels(container)
            if all((labels.get(f.partition("=")[0]) == f.partition("=")[2]) if "=" in f else f in labels for f in filters):
                if "--all" in words or container["state"] != "exited":
                    shown.append(container["Name"].lstrip("/") if "--format" in words else container["Id"])
        return shown

    @staticmethod
    def _labels(container):
        compose = {"project": container["project"], "service": container["service"], "oneoff": "False"}
        return {**{f"com.docker.compose.{name}": value for name, value in compose.items()}, **container["labels"]}

    def _inspect(self, kind, names):
        ids = {container["Name"].lstrip("/"): number for number, container in self.containers.items()}
        names = [name if kind != "container" or name in self.containers else ids.get(name, name) for name in names]
        known = {
            "container": {name: self._shown(container) for name, container in self.containers.items()},
            "image": {ref: {"Id": image} for ref, image in self.images.items()},
            "network": {name: {"Name": name} for name in self.networks},
        }[kind]
        missing = [name for name in names if name not in known]
        return int(bool(missing)), json.dumps([known[name] for name in names if name in known]), "".join(f"Error: No such {kind}: {name}\n" for name in missing)

    def _shown(self, container):
        age = self.now - container["started"]
        state, health, restarts = container["state"], "healthy", container["restarts"]
        if state == "running" and age < self.healthy_after.get(container["service"], 0):
            health = "starting"
        if container["service"] in self.crashing:
            state, restarts = "restarting", restarts + int(age / self.crashing[container["service"]])
        checked = {} if container["service"] in self.unchecked else {"Health": {"Status": health}}
        return {
            "Id": container["Id"],
            "Name": container["Name"],
            "Image": container["image"],
            "RestartCount": restarts,
            "Created": container.get("created", "2026-01-01T00:00:00Z"),
            "Config": {"Labels": self._labels(container), "Image": container["ref"], **container.get("stop", {})},
            "State": {"Status": state, "Pid": 4711, "ExitCode": 1 if state != "running" else 0, **self._moments(container), **checked},
            "HostConfig": {"RestartPolicy": {"Name": container["policy"]}},
            "NetworkSettings": {"Networks": container["networks"]},
        }

    def _moments(self, container: dict) -> dict[str, str]:
        return {"StartedAt": self._moment(container["started"]), "FinishedAt": self._moment(container.get("finished", 0))}

    @staticmethod
    def _moment(seconds: float) -> str:
        """As the engine writes it, nine digits and all."""
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")

    def _compose(self, file, project, words):
        mine = [container for container in self.containers.values() if container["project"] == project]
        if words[0] == "stop":
            for container in mine:
                container["state"] = "exited"
        elif words[0] == "down":
            for container in mine:
                del self.containers[container["Id"]]
        elif words[0] == "run":
            words = words[words.index("--entrypoint") + 1 :]
            return self.execute(words[1], [words[0], *words[2:]])
        else:
            assert words[0] == "up"
            self._up(yaml.safe_load(file.read_text()), project, mine, words[words.index("never") + 1 :], "--no-recreate" in words)
        return 0, "", ""

    def _up(self, whole, project, mine, chosen, as_they_are):
        services = {name: service for name, service in whole["services"].items() if not service.get("profiles") and name in (chosen or whole["services"])}
        wanted = {name: service.get("scale", service.get("deploy", {}).get("replicas", 1)) for name, service in services.items()}
        for container in mine:
            if chosen and container["service"] in set(whole["services"]) - set(chosen):
                continue
            service = services.get(container["service"]) if wanted.get(container["service"]) else None
            image = self.images.get(service["image"]) if service else None
            if not service or (not as_they_are and (container["labels"] != service["labels"] or container["image"] != image)):
                del self.containers[container["Id"]]
            elif container["state"] == "exited":
                container.update(state="running", started=self.now)
        for name, service in services.items():
            there = [container for container in self.containers.values() if (container["project"], container["service"]) == (project, name)]
            for _missing in range(wanted[name] - len(there)):
                self.add(project, name, self.images[service["image"]], labels=service["labels"], policy=service["restart"], ref=service["image"])


@pytest.fixture(autouse=True)
def _one_task(monkeypatch):
    """Each test is a process of Ansible's of its own, as far as resolved variables go."""
    monkeypatch.setattr(view, "RESOLVED", Resolved())


@pytest.fixture
def docker():
    return FakeDocker()


@pytest.fixture
def me(monkeypatch):
    """Files belong to whoever runs the tests, who need not be root: answers the numeric user and group."""
    monkeypatch.setattr(_files.Folder.write, "__defaults__", (os.getuid(), os.getgid()))
    return os.getuid(), os.getgid()


def collections_path(folder: Path) -> Path:
    """A folder from which the name of the collection leads to this checkout."""
    if COLLECTION.parts[-3:] == ("ansible_collections", "longshore", "stack"):
        return COLLECTION.parents[2]
    link = folder / "collections/ansible_collections/longshore/stack"
    if not link.exists():
        link.parent.mkdir(parents=True)
        link.symlink_to(COLLECTION)
    return folder / "collections"


@pytest.fixture
def playbook(tmp_path) -> Callable[..., tuple[int, str]]:
    """ansible-playbook with an inventory and the text of a play: answers status and output."""

    def run(inventory: str | Path, *arguments: str, play: str) -> tuple[int, str]:
        if isinstance(inventory, str):
            (tmp_path / "hosts.yml").write_text(inventory, encoding="utf-8")
            inventory = Path("hosts.yml")
        (tmp_path / "site.yml").write_text(play, encoding="utf-8")
        (tmp_path / "ansible.cfg").write_text("[defaults]\n", encoding="utf-8")
        env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
        env.update(
            ANSIBLE_CONFIG=str(tmp_path / "ansible.cfg"),
            ANSIBLE_HOME=str(tmp_path / "home"),
            ANSIBLE_COLLECTIONS_PATH=str(collections_path(tmp_path)),
            ANSIBLE_NOCOLOR="1",
            LC_ALL="C.UTF-8",
        )
        command = [sys.executable, str(PLAYBOOK), "-i", str(inventory), "site.yml", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    if not PLAYBOOK.is_file():
        pytest.skip(f"there is no ansible-playbook beside {sys.executable}")
    return run


class FakeHAProxy:
    """Speaks HAProxy's runtime interface. `resolve` is the engine's name server: the address of a container that runs, else nothing."""

    HEADER = (
        "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status "
        "srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl "
        "srv_check_port srv_check_addr srv_agent_addr srv_agent_port"
    )
    COUNTERS = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,hrsp_5xx"

    def __init__(self, *backends: str, places: int = 3):
        self.resolve = {"switch": "172.20.0.9"}.get
        self.asked: list[str] = []
        self.ill: set[str] = set()  # containers that do not answer on their health path
        self.busy: dict[str, int] = {}  # requests in flight by container
        self.counted: dict[str, dict[str, int]] = {}  # by container, further counters
        slots = [f"{group}{number}" for group in "ab" for number in range(1, places + 1)]
        self.places = {(backend, slot): {"admin": 5, "name": "switch", "port": 8000} for backend in backends for slot in slots}

    def __call__(self, commands):
        self.asked += commands
        return "".join(self._answer(command.split()) for command in commands) + "\n"

    def is_up(self, place) -> bool:
        return place["name"] not in self.ill and bool(self.resolve(place["name"])) and not place["admin"] & 1

    def serving(self, backend: str) -> list[str]:
        """Who takes new requests, as a client would find it."""
        return sorted(place["name"] for (of, _slot), place in self.places.items() if of == backend and self.is_up(place) and not place["admin"] & 0b1001)

    def _answer(self, words):
        if words == ["show", "servers", "state"]:
            return f"1\n{self.HEADER}\n" + "".join(self._line(number, *key) for number, key in enumerate(self.places, 1))
        if words == ["show", "stat"]:
            return f"{self.COUNTERS}\n" + "".join(self._counters(*key) for key in self.places)
        place = self.places[tuple(words[3 if words[0] == "shutdown" else 2].split("/"))]
        if words[:3] == ["shutdown", "sessions", "server"]:
            self.busy.pop(place["name"], None)
        elif words[3] == "fqdn":
            assert place["admin"] & 1, "a place keeps its requests while its name changes, so it is taken out of service first"
            place.update(name=words[4], admin=place["admin"] | 64)
        elif words[3] == "addr":
            assert words[4] == self.resolve(place["name"]), "its address is the name server's business"
            place["port"] = int(words[6])
        else:
            place["admin"] = place["admin"] & ~0b1001 | {"maint": 1, "drain": 8, "ready": 0}[words[4]]
        return "\n"

    def _line(self, number, backend, slot):
        place = self.places[backend, slot]
        address = self.resolve(place["name"])
        admin = place["admin"] | (0 if address else 32)
        facts = [3, backend, number, slot, address or "-", 2 if self.is_up(place) else 0, admin, "1 1 296 15 3 3 6 0 0 0", place["name"], place["port"]]
        return f"{' '.join(map(str, facts))} - 0 0 - - 0\n"

    def _counters(self, backend, slot):
        name = self.places[backend, slot]["name"]
        facts = {"pxname": backend, "svname": slot, "scur": self.busy.get(name, 0), **self.counted.get(name, {})}
        return ",".join(str(facts.get(column, "")) for column in self.COUNTERS.removeprefix("# ").split(",")) + "\n"


@pytest.fixture
def haproxy():
    return FakeHAProxy("shop-web")


@pytest.fixture
def certificate(tmp_path):
    """Writes <name>.pem and <name>.key: signed by another of this fixture's names or by itself, followed by the rest of its chain."""
    made = {}

    def make(name: str, names=(), issuer: str = "", days: int = 30, since: int = -1) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), datetime.now(UTC)
        signer, above = made[issuer] if issuer else (key, [])
        builder = x509.CertificateBuilder(above[0].subject if above else subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now + timedelta(since)).not_valid_after(now + timedelta(days))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        chain = [builder.sign(signer, hashes.SHA256()), *above]
        made[name] = (key, chain)
        pem = serialization.Encoding.PEM
        (tmp_path / f"{name}.pem").write_bytes(b"".join(one.public_bytes(pem) for one in chain))
        (tmp_path / f"{name}.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    return make
