# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong inventories: each differs from a right one in one place, and the errors are what a user reads."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.longshore.stack.plugins.module_utils._inventory import Certificate, Files, Host, Report, show, text_report
from ansible_collections.longshore.stack.plugins.module_utils._inventory_rules import check, check_placeholders
from ansible_collections.longshore.stack.plugins.module_utils._inventory_services import OWN_SETTINGS
from ansible_collections.longshore.stack.plugins.module_utils._specs import defaults, load_roles

ROLES = Path(__file__).parents[4] / "roles"
GOOD_PASSWORD = "wLq8-Zt3k-Vb7x-Nc2p"
OTHER_PASSWORD = "Rf5m-Hy9d-Ks4j-Tg6u"


SPECS = load_roles(str(ROLES), yaml.safe_load)
PROD = {
    "stack_name": "shop",
    "stack_environment": "prod",
    "stack_domain": "shop.mycompany.net",
    "stack_tls": "acme",
    "stack_acme_email": "ops@mycompany.net",
}
DEV = {"stack_name": "shop", "stack_environment": "dev"}
WEB = {"name": "web", "command": ["gunicorn", "shop:app"], "port": 8000, "health": {"path": "/health"}, "routes": [{"host": "app.shop.mycompany.net"}]}
APP = {
    "name": "shop",
    "image": "registry.mycompany.net/shop",
    "version": "1.4.2",
    "needs": ["postgres", "valkey", "rabbitmq", "s3"],
    "env": {"LOG_LEVEL": "info"},
    "secrets": {"SECRET_KEY": ""},
    "processes": [WEB, {"name": "worker", "command": ["celery", "-A", "shop", "worker"]}],
}
ONE_HOST = {"box": ("postgres", "valkey", "rabbitmq", "minio", "proxy", "app")}
TWO_HOSTS = {"data": ("postgres", "valkey", "rabbitmq", "minio"), "web": ("proxy", "app")}


def problems_of(variables=None, hosts=None, apps=None, host_variables=None, base=None, files=None) -> list:
    """The errors of an inventory: `base` with `variables` over it on all hosts."""
    given = {**(PROD if base is None else base), "stack_apps": [APP] if apps is None else apps, **(variables or {})}
    hosts = ONE_HOST if hosts is None else hosts
    found, groups, report = {}, {"all": list(hosts)}, Report()
    for name, members in hosts.items():
        for group in members:
            groups.setdefault(group, []).append(name)
        own = {**copy.deepcopy(given), **(host_variables or {}).get(name, {})}
        below = {key: value for role in SPECS.values() for key, value in defaults(role.options).items()}
        below["stack_keeper"] = next(iter(hosts))
        if len(hosts) > 1 and own.setdefault("stack_keeper", below["stack_keeper"]) is None:
            del own["stack_keeper"]
        below["stack_address"] = own.get("ansible_host", name)
        below.update({key: value.replace("{{ stack_name }}", "shop") for key, value in below.items() if isinstance(value, str)})
        found[name] = Host(name, frozenset(members), {**below, **own}, frozenset(own))
        check_placeholders(own, SPECS, name, report)
    return check(found, groups, SPECS, files, report)


def app(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(APP), **changes}


def web(**changes: Any) -> dict[str, Any]:
    return app(processes=[{**copy.deepcopy(WEB), **changes}])


def certified(names: list[str], problems: tuple[str, ...] | list[str] = ()) -> Files:
    """Files of the controller, each certificate of which is for these names."""
    return Files(certificate=lambda certificate, key: Certificate(tuple(names), tuple(problems)))


# What differs from the right inventory, then the variable and the words of the one error.
TYPES = {
    "unknown variable": ({"variables": {"stack_domian": "x.net"}}, "stack_domian", "did you mean stack_domain?"),
    "unknown variable without a near one": ({"variables": {"postgres_colour": "red"}}, "postgres_colour", "no role knows this variable"),
    "renamed variable": ({"variables": {"redis_external_url": "redis://x.net"}}, "redis_external_url", "is called valkey_external_url"),
    "missing name": ({"variables": {"stack_name": None}}, "stack_name", "is required"),
    "unknown environment": ({"variables": {"stack_environment": "production"}}, "stack_environment", "not one of the choices"),
    "unknown image source": ({"variables": {"stack_image_source": "docker"}}, "stack_image_source", "not one of the choices"),
    "unknown source of one service": ({"variables": {"valkey_image_source": "pull"}}, "valkey_image_source", "not one of the choices"),
    "two proxies": ({"variables": {"stack_proxy": "caddy,traefik"}}, "stack_proxy", "not one of the choices"),
    "proxies as a list": ({"variables": {"stack_proxy": ["caddy", "traefik"]}}, "stack_proxy", "is not a text"),
    "port in words": ({"variables": {"stack_https_port": "https"}}, "stack_https_port", "is not a whole number"),
    "bare off": ({"variables": {"stack_tls": False}}, "stack_tls", "put it in quotes"),
    "version as a number": ({"apps": [app(version=1.1)]}, "stack_apps[shop].version", "put it in quotes"),
    "apps as a dictionary": ({"variables": {"stack_apps": {"name": "shop"}}}, "stack_apps", "is not a list"),
    "app without name": ({"apps": [{"needs": []}]}, "stack_apps[0].name", "is required"),
    "unknown key of an app": ({"apps": [app(proceses=[])]}, "stack_apps[shop].proceses", "did you mean processes?"),
    "unknown key of a process": ({"apps": [web(ports=1)]}, "stack_apps[shop].processes[web].ports", "did you mean port?"),
    "command as a line": ({"apps": [web(command="gunicorn app")]}, "stack_apps[shop].processes[web].command", "is not a list"),
    "unknown need": ({"apps": [app(needs=[*APP["needs"], "mysql"])]}, "stack_apps[shop].needs[4]", "not one of the choices"),
    "need given twice": ({"apps": [app(needs=["postgres", "s3", "postgres"], processes=[])]}, "stack_apps[shop].needs", "names a service twice"),
    "unknown migration tool": ({"apps": [app(migration={"tool": "flyway"})]}, "stack_apps[shop].migration.tool", "not one of the choices"),
}
MEANING = {
    "two processes at one port of the switch": (
        {"apps": [app(processes=[{**copy.deepcopy(WEB), "switch_port": 20001}, {"name": "api", "port": 9000, "switch_port": 20001}])]},
        "stack_apps[shop].processes[api].switch_port",
        "is the port of shop-web at the switch too",
    ),
    "port of the switch for root": ({"apps": [web(switch_port=80)]}, "stack_apps[shop].processes[web].switch_port", "is not a port for the switch"),
    "drain without end": ({"apps": [app(deploy={"drain": 86400})]}, "stack_apps[shop].deploy.drain", "is out of range"),
    "allowed during maintenance": ({"variables": {"stack_maintenance_allow": ["10.0.0.1/8"]}}, "stack_maintenance_allow[0]", "is not a network"),
    "maintenance without end": ({"variables": {"stack_maintenance_seconds": 0}}, "stack_maintenance_seconds", "is out of range"),
    "maintenance without its page": (
        {"variables": {"stack_maintenance_page": "nowhere.html"}, "files": Files(lambda path: False, lambda path: False)},
        "stack_maintenance_page",
        "is not on the controller",
    ),
    "volume in no process": (
        {"apps": [app(volumes=[{"name": "media", "target": "/media", "processes": ["wep"]}])]},
        "stack_apps[shop].volumes[media].processes",
        "is no process",
    ),
    "volume of each host": (
        {"hosts": {"a": ONE_HOST["box"], "b": ("app",)}, "apps": [app(volumes=[{"name": "media", "target": "/media"}])]},
        "stack_apps[shop].volumes[media].shared",
        "would have a volume of its own",
    ),
    "volume over a mount": (
        {"apps": [{**web(mounts=[{"source": "/srv/m", "target": "/media"}]), "volumes": [{"name": "media", "target": "/media/"}]}]},
        "stack_apps[shop].volumes[media].target",
        "is used by another mount",
    ),
    "volume that hides the code": ({"apps": [app(volumes=[{"name": "all", "target": "/"}])]}, "stack_apps[shop].volumes[all].target", "would hide"),
    "volume without a fit name": (
        {"apps": [app(volumes=[{"name": "../x", "target": "/media"}])]},
        "stack_apps[shop].volumes[../x].name",
        "cannot name a directory",
    ),
    "static files without a path": ({"apps": [app(static=[{"path": "static"}])]}, "stack_apps[shop].static[0].path", "is not an absolute path"),
    "static files of all times": ({"apps": [app(static=[{"path": "/static", "keep": 99}])]}, "stack_apps[shop].static[0].keep", "is out of range"),
    "canary without a look": ({"apps": [app(deploy={"canary_seconds": 0})]}, "stack_apps[shop].deploy.canary_seconds", "is out of range"),
    "unknown canary": ({"apps": [app(deploy={"canary": "half"})]}, "stack_apps[shop].deploy.canary", "not one of the choices"),
    "window of no day": ({"apps": [app(deploy={"windows": ["9-16"]})]}, "stack_apps[shop].deploy.windows[0]", "is not a window"),
    "unknown time zone": ({"apps": [app(deploy={"time_zone": "Mars/Olympus"})]}, "stack_apps[shop].deploy.time_zone", "is not a time zone"),
    "hook without work": ({"apps": [app(hooks=[{"stage": "switch"}])]}, "stack_apps[shop].hooks[0]", "has neither command nor tasks"),
    "hook with two works": (
        {"apps": [app(hooks=[{"stage": "switch", "command": ["x"], "tasks": __file__}])]},
        "stack_apps[shop].hooks[0]",
        "has command and tasks",
    ),
    "hook at no stage": ({"apps": [app(hooks=[{"stage": "build", "command": ["x"]}])]}, "stack_apps[shop].hooks[0].stage", "not one of the choices"),
    "hook in no process": (
        {"apps": [app(hooks=[{"stage": "switch", "command": ["x"], "process": "wep"}])]},
        "stack_apps[shop].hooks[0].process",
        "is no process",
    ),
    "hook on hosts that have no such process": (
        {
            "hosts": {**TWO_HOSTS, "second": ("app",)},
            "apps": [
                app(processes=[WEB, {"name": "beat", "singleton": True}], hooks=[{"stage": "switch", "command": ["x"], "process": "beat", "hosts": "all"}])
            ],
        },
        "stack_apps[shop].hooks[0].process",
        "is a singleton, which runs on web alone",
    ),
    "hook on hosts that have no process at all": (
        {
            "hosts": {**TWO_HOSTS, "second": ("app",)},
            "apps": [app(processes=[{"name": "beat", "singleton": True}], hooks=[{"stage": "switch", "command": ["x"], "hosts": "all"}])],
        },
        "stack_apps[shop].hooks[0].process",
        "is a singleton, which runs on web alone",
    ),
    "hook without its file": (
        {"apps": [app(hooks=[{"stage": "live", "tasks": "nowhere.yml"}])], "files": Files(lambda path: False, lambda path: False)},
        "stack_apps[shop].hooks[0].tasks",
        "is not on the controller",
    ),
    "route to nothing": (
        {
            "variables": {
                "stack_routes": [
                    {
                        "host": "r.mycompany.net",
                    }
                ]
            }
        },
        "stack_routes[0]",
        "leads to nothing",
    ),
    "route to two things": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "redirect": "https://x.mycompany.net", "upstream": "http://x.mycompany.net"}]}},
        "stack_routes[0]",
        "leads to several things: redirect, upstream",
    ),
    "route of the stack twice": (
        {"variables": {"stack_routes": [{"host": "app.shop.mycompany.net", "redirect": "https://x.mycompany.net"}]}},
        "stack_routes[0]",
        "leads to shop-web already",
    ),
    "route with an escaped path": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "path": "/a%2fb"}])]},
        "stack_apps[shop].processes[web].routes[0].path",
        "is not a plain path",
    ),
    "route with a crooked path": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "path": "/a/../b"}])]},
        "stack_apps[shop].processes[web].routes[0].path",
        "is not a plain path",
    ),
    "route with braces": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "path": "/{x}"}])]},
        "stack_apps[shop].processes[web].routes[0].path",
        "is not a plain path",
    ),
    "route for a network with bits beyond the mask": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "allow": ["10.0.0.1/8"]}])]},
        "stack_apps[shop].processes[web].routes[0].allow[0]",
        "is not a network",
    ),
    "user with a colon": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "basic_auth": [{"user": "a:b", "password": GOOD_PASSWORD}]}])]},
        "stack_apps[shop].processes[web].routes[0].basic_auth[0].user",
        "is not a name of a user",
    ),
    "user twice": (
        {
            "apps": [
                web(
                    routes=[
                        {"host": "app.shop.mycompany.net", "basic_auth": [{"user": "a", "password": GOOD_PASSWORD}, {"user": "a", "password": OTHER_PASSWORD}]}
                    ]
                )
            ]
        },
        "stack_apps[shop].processes[web].routes[0].basic_auth[1].user",
        "is there twice",
    ),
    "weak password of a route": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "basic_auth": [{"user": "a", "password": "admin"}]}])]},
        "stack_apps[shop].processes[web].routes[0].basic_auth[0].password",
        "is a well-known password",
    ),
    "password beyond bcrypt": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "basic_auth": [{"user": "a", "password": GOOD_PASSWORD * 4}]}])]},
        "stack_apps[shop].processes[web].routes[0].basic_auth[0].password",
        "is too long",
    ),
    "body of words": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "max_body": "huge"}])]},
        "stack_apps[shop].processes[web].routes[0].max_body",
        "is not a memory size",
    ),
    "time-out of a day": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "timeout": 86400}])]},
        "stack_apps[shop].processes[web].routes[0].timeout",
        "is out of range",
    ),
    "sticky among replicas": (
        {"apps": [web(replicas=2, routes=[{"host": "app.shop.mycompany.net", "sticky": True}])]},
        "stack_apps[shop].processes[web].routes[0].sticky",
        "the switch spreads requests",
    ),
    "several hosts that nobody looks at": (
        {"variables": {"stack_proxy": "traefik"}, "hosts": {**TWO_HOSTS, "web2": ("app",)}, "apps": [web(health=None)]},
        "stack_apps[shop].processes[web].routes[0]",
        "traefik sees that by a health path alone",
    ),
    "header with a quote": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "security": {"frame": 'a"b'}}])]},
        "stack_apps[shop].processes[web].routes[0].security.frame",
        "is not a plain value",
    ),
    "what the proxy cannot": (
        {"apps": [web(routes=[{"host": "app.shop.mycompany.net", "rate_limit": {"requests": 5}}])]},
        "stack_apps[shop].processes[web].routes[0].rate_limit",
        "caddy cannot serve the option rate_limit of the route app.shop.mycompany.net/: its standard build has no rate limit",
    ),
    "limit that nginx cannot count": (
        {
            "variables": {"stack_proxy": "nginx", "stack_tls": "off"},
            "apps": [web(routes=[{"host": "app.shop.mycompany.net", "rate_limit": {"requests": 10, "seconds": 7}}])],
        },
        "stack_apps[shop].processes[web].routes[0].rate_limit",
        "is no whole number of requests in a minute",
    ),
    "password before S3": (
        {"variables": {"stack_routes": [{"host": "s3.mycompany.net", "service": "s3", "basic_auth": [{"user": "ops", "password": "long-enough-for-tests"}]}]}},
        "stack_routes[0].basic_auth",
        "where the signature of an S3 client has to be",
    ),
    "console for everybody": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "service": "rabbitmq"}]}},
        "stack_routes[0]",
        "shows the console of rabbitmq to everybody",
    ),
    "console below a path": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "service": "minio", "allow": ["10.0.0.0/8"], "path": "/minio"}]}},
        "stack_routes[0].path",
        "is at the root of a host name",
    ),
    "static files of the system": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "static": {"folder": "/srv/../etc"}}]}},
        "stack_routes[0].static.folder",
        "is not an absolute path",
    ),
    "static files with the secrets": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "static": {"folder": "/etc/longshore/secrets/shop/x"}}]}},
        "stack_routes[0].static.folder",
        "would show what the stack keeps",
    ),
    "fallback without a slash": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "static": {"folder": "/srv/site", "fallback": "index.html"}}]}},
        "stack_routes[0].static.fallback",
        "is not a plain path",
    ),
    "old files for ever": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "static": {"folder": "/srv/site", "max_age": 99999999}}]}},
        "stack_routes[0].static.max_age",
        "is out of range",
    ),
    "static files that wait": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "static": {"folder": "/srv/site"}, "timeout": 5}]}},
        "stack_routes[0].timeout",
        "means nothing for the route",
    ),
    "redirect to a name": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "redirect": "x.mycompany.net"}]}},
        "stack_routes[0].redirect",
        "is not a plain URL",
    ),
    "redirect with a placeholder": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "redirect": "https://x.mycompany.net/{y}"}]}},
        "stack_routes[0].redirect",
        "is not a plain URL",
    ),
    "redirect with a query": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "redirect": "https://x.mycompany.net/?a=b"}]}},
        "stack_routes[0].redirect",
        "has a query",
    ),
    "upstream with a path": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "upstream": "http://x.mycompany.net/y"}]}},
        "stack_routes[0].upstream",
        "has a path",
    ),
    "upstream of another kind": (
        {"variables": {"stack_routes": [{"host": "r.mycompany.net", "upstream": "ftp://x.mycompany.net"}]}},
        "stack_routes[0].upstream",
        "is not a plain URL",
    ),
    "trusted everybody": ({"variables": {"stack_trusted_proxies": ["everybody"]}}, "stack_trusted_proxies[0]", "is not a network"),
    "global options that the collection writes": (
        {"variables": {"caddy_config": "servers { trusted_proxies static 10.0.0.0/8 }"}},
        "caddy_config",
        "has variables of its own: stack_trusted_proxies",
    ),
    "files without files": ({"variables": {"stack_tls": "files"}}, "stack_tls_files", "is required by stack_tls: files"),
    "certificate that has expired": (
        {"variables": {"stack_tls": "files", "stack_tls_files": [{"certificate": "a", "key": "b"}]}, "files": certified(["*.shop.mycompany.net"], ["expired"])},
        "stack_tls_files[0]",
        "expired",
    ),
    "certificate for another host": (
        {"variables": {"stack_tls": "files", "stack_tls_files": [{"certificate": "a", "key": "b"}]}, "files": certified(["*.mycompany.net"])},
        "stack_apps[shop].processes[web].routes[0].host",
        "no certificate of stack_tls_files is for it",
    ),
    "nothing to go back to": ({"apps": [app(deploy={"keep": 1})]}, "stack_apps[shop].deploy.keep", "is out of range"),
    "version and release": ({"variables": {"app_version": "1.2.3", "app_release": "1.2.2-0a1b2c3d"}}, "app_release", "together with app_version"),
    "SSH at a port of the edge": ({"variables": {"firewall_ssh_port": 443}}, "firewall_ssh_port", "is a port of the edge"),
    "SSH at several ports": ({"variables": {"firewall_ssh_port": "22-23"}}, "firewall_ssh_port", "is not a port"),
    "SSH from nowhere": ({"variables": {"firewall_ssh_allow": ["10.0.0.1/8"]}}, "firewall_ssh_allow[0]", "is not a network"),
    "SSH less than never": ({"variables": {"firewall_ssh_limit": -1}}, "firewall_ssh_limit", "is out of range"),
    "address of the host with a mask": ({"variables": {"firewall_addresses": ["10.0.0.1/8"]}}, "firewall_addresses[0]", "is not an address"),
    "opening without a port": ({"variables": {"firewall_allow": [{"port": "3010-3000"}]}}, "firewall_allow[0].port", "is neither a port nor a range"),
    "opening for nobody": (
        {"variables": {"firewall_allow": [{"port": "9100", "from": ["monitroing"]}]}},
        "firewall_allow[0].from[0]",
        "is not a network",
    ),
    "database for everybody": ({"variables": {"firewall_allow": [{"port": "5430-5440"}]}}, "firewall_allow[0]", "opens postgres to everybody"),
    "database for the whole of IPv6": (
        {"variables": {"firewall_allow": [{"port": "5432", "from": ["::/0"]}]}},
        "firewall_allow[0]",
        "opens postgres to everybody",
    ),
    "SSH for everybody after all": (
        {"variables": {"firewall_ssh_allow": ["10.0.0.0/8"], "firewall_ssh_port": 22, "firewall_allow": [{"port": "22"}]}},
        "firewall_allow[0]",
        "opens SSH to everybody",
    ),
    "every interface for containers": (
        {"variables": {"firewall_container_interfaces": ["*"]}},
        "firewall_container_interfaces[0]",
        "is no name of interfaces",
    ),
    "trial without time": ({"variables": {"firewall_trial_seconds": 5}}, "firewall_trial_seconds", "is out of range"),
    "reboot at no time": ({"variables": {"base_reboot_window": "at night"}}, "base_reboot_window", "is not a window"),
    "two hosts that reboot together": (
        {"hosts": TWO_HOSTS, "variables": {"base_reboot_window": "23:55-00:10"}},
        "base_reboot_window",
        "is too short for 2 hosts",
    ),
    "reboot for no upgrade": (
        {"variables": {"base_reboot_window": "03:00-05:00", "base_upgrades": False}},
        "base_reboot_window",
        "needs base_upgrades",
    ),
    "swapping without end": ({"variables": {"base_swappiness": 500}}, "base_swappiness", "is out of range"),
    "setting of the kernel without a name": ({"variables": {"base_sysctl": {"swappiness": 1}}}, "base_sysctl.swappiness", "is no name of a setting"),
    "setting of the kernel as a list": ({"variables": {"base_sysctl": {"vm.x": [1]}}}, "base_sysctl.vm.x", "is not a single value"),
    "memory that Valkey cannot save in": (
        {"variables": {"base_sysctl": {"vm.overcommit_memory": 2}}},
        "base_sysctl.vm.overcommit_memory",
        "Valkey cannot save",
    ),
    "journal of any size": ({"variables": {"base_journal_size": "large"}}, "base_journal_size", "is not a memory size"),
    "journal of no day": ({"variables": {"base_journal_days": 0}}, "base_journal_days", "is out of range"),
    "time server with a port": ({"variables": {"base_time_servers": ["ntp.mycompany.net:123"]}}, "base_time_servers[0]", "is neither an address"),
    "image built on each host": (
        {"apps": [app(image_source="build", build={"context": "examples/fastapi"})], "base": DEV, "hosts": {**TWO_HOSTS, "more": ("app",)}},
        "stack_apps[shop].image_source",
        "would build another image on each of 2 hosts",
    ),
    "form of the name": ({"variables": {"stack_name": "My Shop"}}, "stack_name", "cannot start the name"),
    "names differ": ({"hosts": TWO_HOSTS, "host_variables": {"web": {"stack_name": "other"}}}, "stack_name", "differs between hosts"),
    "keeper that is no host": ({"variables": {"stack_keeper": "vault"}}, "stack_keeper", "is not a host of the inventory"),
    "keeper by chance": ({"hosts": TWO_HOSTS, "variables": {"stack_keeper": None}}, "stack_keeper", "is required where"),
    "prod without domain": ({"variables": {"stack_domain": ""}}, "stack_domain", "is missing"),
    "prod with example domain": ({"variables": {"stack_domain": "app.example.com"}}, "stack_domain", "is a placeholder"),
    "domain with scheme": ({"variables": {"stack_domain": "https://x.net"}}, "stack_domain", "is not a domain name"),
    "placeholder anywhere": ({"variables": {"my_own": {"deep": ["CHANGE_ME"]}}, "base": DEV}, "my_own.deep[0]", "still contains CHANGE_ME"),
    "placeholder address": ({"variables": {"ansible_host": "CHANGE_ME"}, "base": DEV}, "ansible_host of box", "still contains CHANGE_ME"),
    "address for documentation": ({"host_variables": {"box": {"ansible_host": "198.51.100.7"}}}, "ansible_host of box", "for documentation"),
    "address with port": ({"host_variables": {"box": {"stack_address": "10.0.0.1:22"}}}, "stack_address of box", "neither an IP address"),
    "short password": ({"variables": {"postgres_password": "x7-Kp"}}, "postgres_password", "shorter than 16"),
    "password with a line break": (
        {"variables": {"postgres_password": f"{GOOD_PASSWORD}\n"}, "base": DEV},
        "postgres_password",
        "has a space, a line break or a control character",
    ),
    "password of an app's user with a space": (
        {"apps": [app(credentials={"s3": f"{GOOD_PASSWORD} x"})], "base": DEV},
        "stack_apps[shop].credentials.s3",
        "has a space, a line break or a control character",
    ),
    "well-known password": ({"variables": {"rabbitmq_password": "password123"}}, "rabbitmq_password", "well-known password"),
    "filler as password": ({"variables": {"valkey_password": "<your password here>"}}, "valkey_password", "is a placeholder"),
    "password is the user": (
        {"apps": [app(name="the-keeper-of-files", credentials={"postgres": "the-keeper-of-files"})]},
        "stack_apps[the-keeper-of-files].credentials.postgres",
        "same as the user's name",
    ),
    "one password twice": (
        {"variables": {"postgres_password": GOOD_PASSWORD, "valkey_password": GOOD_PASSWORD}},
        "valkey_password",
        "is the same as postgres_password",
    ),
    "weak password of an app's user": ({"apps": [app(credentials={"postgres": "short"})]}, "stack_apps[shop].credentials.postgres", "shorter than 16"),
    "weak secret of an app": ({"apps": [app(secrets={"SECRET_KEY": "changeme"})]}, "stack_apps[shop].secrets.SECRET_KEY", "well-known password"),
    "two databases": ({"hosts": {**ONE_HOST, "two": ("postgres",)}}, "group postgres", "has 2 hosts"),
    "two kinds of S3": ({"hosts": {"box": (*ONE_HOST["box"], "seaweedfs")}}, "groups minio and seaweedfs", "both have hosts"),
    "need without host": ({"hosts": {"box": ("postgres", "rabbitmq", "minio", "proxy", "app")}}, "stack_apps[shop].needs", "nothing provides valkey"),
    "URL and hosts": (
        {"variables": {"postgres_external_url": "postgresql://db.mycompany.net/shop"}},
        "postgres_external_url",
        "although the group postgres has hosts",
    ),
    "URL of another kind": (
        {"variables": {"valkey_external_url": "http://cache.mycompany.net"}, "hosts": {"box": ("postgres", "rabbitmq", "minio", "proxy", "app")}},
        "valkey_external_url",
        "is not a URL of this service",
    ),
    "app without image": ({"apps": [app(image=None)]}, "stack_apps[shop].image", "is required"),
    "image with tag": ({"apps": [app(image="registry.mycompany.net:5000/shop:1.4")]}, "stack_apps[shop].image", "contains a tag"),
    "image without version": ({"apps": [app(version=None)]}, "stack_apps[shop].version", "is required by image_source: registry"),
    "release of an unknown app": ({"variables": {"app_name": "shpo", "app_version": "2.0"}}, "app_name", "is not an application of the stack"),
    "release of one of several apps": (
        {"variables": {"app_version": "2.0"}, "apps": [APP, app(name="second", processes=[])]},
        "app_name",
        "is required by app_version",
    ),
    "latest in prod": ({"apps": [app(version="latest")]}, "stack_apps[shop].version", "says nothing about what runs"),
    "service image without version": ({"variables": {"valkey_image": "valkey/valkey"}}, "valkey_image", "does not say which version"),
    "archive without file": ({"apps": [app(image_source="archive")]}, "stack_apps[shop].archive", "is required"),
    "archive that is not there": (
        {"apps": [app(image_source="archive", archive="no.tar")], "files": Files(is_file=lambda path: False)},
        "stack_apps[shop].archive",
        "not on the controller",
    ),
    "build without context": ({"apps": [app(image_source="build")]}, "stack_apps[shop].build", "is required by image_source: build"),
    "context that is not there": (
        {"apps": [app(image_source="build", build={"context": "nowhere"})], "files": Files(is_folder=lambda path: False)},
        "stack_apps[shop].build.context",
        "this folder is not on the controller",
    ),
    "context without Dockerfile": (
        {"apps": [app(image_source="build", build={"context": "src"})], "files": Files(is_file=lambda path: False)},
        "stack_apps[shop].build.context",
        "has no Dockerfile",
    ),
    "archive of a service without file": ({"variables": {"valkey_image_source": "archive"}}, "valkey_image_archive", "is required by valkey_image_source"),
    "archive of a service that is not there": (
        {"variables": {"valkey_image_archive": "no.tar"}, "files": Files(is_file=lambda path: False)},
        "valkey_image_archive",
        "not on the controller",
    ),
    "folder of archives that is not there": (
        {"variables": {"stack_image_archives": "no"}, "files": Files(is_folder=lambda path: False)},
        "stack_image_archives",
        "not on the controller",
    ),
    "certificate that is not there": (
        {"variables": {"stack_ca_certificates": ["ca.pem"]}, "files": Files(is_file=lambda path: False)},
        "stack_ca_certificates[0]",
        "not on the controller",
    ),
    "certificate in the inventory": (
        {"variables": {"stack_ca_certificates": ["-----BEGIN CERTIFICATE-----"]}, "files": Files(is_file=lambda path: False)},
        "stack_ca_certificates[0]",
        "not on the controller",
    ),
    "two certificates of one name": (
        {"variables": {"stack_ca_certificates": ["a/company.pem", "b/company.crt"]}},
        "stack_ca_certificates[1]",
        "would take the place of a/company.pem",
    ),
    "shared memory in words": ({"variables": {"postgres_shm_size": "some"}}, "postgres_shm_size", "is not a memory size"),
    "logs without a size": ({"variables": {"docker_log_max_size": "0"}}, "docker_log_max_size", "is too little"),
    "no log file": ({"variables": {"docker_log_max_file": 0}}, "docker_log_max_file", "is not above zero"),
    "part of a disk": ({"variables": {"rabbitmq_disk_free_limit": "1.5 GB"}}, "rabbitmq_disk_free_limit", "is not a size"),
    "unknown policy": ({"variables": {"valkey_maxmemory_policy": "lru"}}, "valkey_maxmemory_policy", "not one of the choices"),
    "volumes that SeaweedFS cannot count": (
        {"variables": {"seaweedfs_volume_size_limit_mb": 100_000}, "hosts": {"box": ("postgres", "valkey", "rabbitmq", "seaweedfs", "proxy", "app")}},
        "seaweedfs_volume_size_limit_mb",
        "is out of range",
    ),
    "memory in words": ({"apps": [web(memory="512 megs")]}, "stack_apps[shop].processes[web].memory", "is not a memory size"),
    "too little memory": ({"variables": {"postgres_memory": "64M"}}, "postgres_memory", "too little memory"),
    "too large buffers": ({"variables": {"postgres_config": {"shared_buffers": "9GB"}}}, "postgres_config.shared_buffers", "fit into postgres_memory (512M)"),
    "buffers in blocks": ({"variables": {"postgres_config": {"shared_buffers": 65536}}}, "postgres_config.shared_buffers", "does not fit into postgres_memory"),
    "sorting above memory": ({"variables": {"postgres_config": {"work_mem": "512MB"}}}, "postgres_config.work_mem", "does not fit into postgres_memory"),
    "buffers in words": ({"variables": {"postgres_config": {"shared_buffers": "a lot"}}}, "postgres_config.shared_buffers", "is not a memory size"),
    "cache above memory": ({"variables": {"valkey_config": {"maxmemory": "1gb"}}}, "valkey_config.maxmemory", "does not fit into valkey_memory (256M)"),
    "another port inside": ({"variables": {"postgres_config": {"port": 7}}}, "postgres_config.port", "is set by the role"),
    "another port inside, in capitals": ({"variables": {"valkey_config": {"Port": 7}}}, "valkey_config.Port", "is set by the role"),
    "users of another file": ({"variables": {"valkey_config": {"aclfile": "/x"}}}, "valkey_config.aclfile", "is set by the role"),
    "another listener": ({"variables": {"rabbitmq_config": {"listeners.tcp.default": 7}}}, "rabbitmq_config.listeners.tcp.default", "is set by the role"),
    "no cpu": ({"apps": [web(cpus=0)]}, "stack_apps[shop].processes[web].cpus", "is not above zero"),
    "same ports of the proxy": (
        {"variables": {"stack_http_port": 8443, "stack_https_port": 8443}, "base": DEV},
        "stack_https_port",
        "clashes with stack_http_port",
    ),
    "service at a port of the proxy": (
        {"variables": {"minio_port": 443}, "hosts": {"data": (*TWO_HOSTS["data"], "proxy"), "web": ("app",)}},
        "minio_port",
        "clashes with stack_https_port",
    ),
    "switch at a port of the proxy beside it": (
        {"apps": [web(switch_port=20001)], "variables": {"stack_http_port": 20001}, "base": DEV, "hosts": {**TWO_HOSTS, "edge": ("proxy",)}},
        "stack_apps[shop].processes[web].switch_port",
        "clashes with stack_http_port",
    ),
    "switch at a port of a service": (
        {"apps": [web(switch_port=20001)], "variables": {"postgres_port": 20001}, "hosts": {"box": (*TWO_HOSTS["data"], "app"), "web": TWO_HOSTS["web"]}},
        "stack_apps[shop].processes[web].switch_port",
        "clashes with postgres_port",
    ),
    "port out of range": ({"apps": [web(port=70000)]}, "stack_apps[shop].processes[web].port", "is not a port"),
    "service that others cannot reach": (
        {"hosts": {"data": TWO_HOSTS["data"], "web": TWO_HOSTS["web"]}, "host_variables": {"data": {"stack_address": "127.0.0.1"}}},
        "stack_address of data",
        "web cannot reach postgres, valkey, rabbitmq, minio there",
    ),
    "process name twice": ({"apps": [app(processes=[WEB, {"name": "web", "command": ["x"]}])]}, "stack_apps[shop].processes[web].name", "two processes"),
    "process named like the migration": ({"apps": [app(processes=[{"name": "migrate"}])]}, "stack_apps[shop].processes[migrate].name", "the stack's own"),
    "process named like a service": ({"apps": [app(processes=[{"name": "valkey"}])]}, "stack_apps[shop].processes[valkey].name", "the stack's own"),
    "web process named like the switch": (
        {"apps": [web(name="switch")]},
        "stack_apps[shop].processes[switch].name",
        "the stack's own",
    ),
    "web process named like a proxy": ({"apps": [web(name="nginx")]}, "stack_apps[shop].processes[nginx].name", "the stack's own"),
    "app named like the switch": ({"apps": [app(name="switch")]}, "stack_apps[switch].name", "is the name of a service"),
    "app named like a proxy": ({"apps": [app(name="traefik")]}, "stack_apps[traefik].name", "is the name of a service"),
    "app named like a service": ({"apps": [app(name="postgres", database="x")]}, "stack_apps[postgres].name", "is the name of a service"),
    "route twice": (
        {"apps": [APP, app(name="second", processes=[{**WEB, "name": "site"}])]},
        "stack_apps[second].processes[site].routes[0]",
        "leads to shop-web already",
    ),
    "route to no DNS name": ({"apps": [web(routes=[{"host": "http://x.net/"}])]}, "stack_apps[shop].processes[web].routes[0].host", "not a DNS name"),
    "route path without slash": (
        {"apps": [web(routes=[{"host": "x.mycompany.net", "path": "api"}])]},
        "stack_apps[shop].processes[web].routes[0].path",
        "does not start with /",
    ),
    "route without port": ({"apps": [web(port=None, health={})]}, "stack_apps[shop].processes[web].port", "is required by routes"),
    "routes without proxy": ({"hosts": {"box": ("postgres", "valkey", "rabbitmq", "minio", "app")}}, "group proxy", "has no host, and shop-web has routes"),
    "processes without host": ({"hosts": {"box": ("postgres", "valkey", "rabbitmq", "minio", "proxy")}}, "group app", "has no host"),
    "group under another name": ({"hosts": {**ONE_HOST, "two": ("redis",)}}, "group redis", "did you mean valkey?"),
    "network name twice": (
        {"apps": [app(name="a", needs=[], processes=[{"name": "b-c"}]), app(name="a-b", needs=[], processes=[{"name": "c"}])]},
        "stack_apps[a-b].processes[c].name",
        "gives the network name a-b-c",
    ),
    "bare name that is a network name": (
        {"apps": [APP, app(name="other", needs=[], processes=[{"name": "shop-web"}])]},
        "stack_apps[other].processes[shop-web].name",
        "is the network name of shop/web",
    ),
    "applications of one host alone": (
        {"hosts": TWO_HOSTS, "host_variables": {"data": {"stack_apps": []}}},
        "stack_apps[shop]",
        "is missing on data",
    ),
    "another database on one host": (
        {"hosts": TWO_HOSTS, "host_variables": {"data": {"stack_apps": [app(database="old")]}}},
        "stack_apps[shop].database",
        "differs between data and web",
    ),
    "another route on one host": (
        {"hosts": TWO_HOSTS, "host_variables": {"web": {"stack_apps": [app(processes=[{**WEB, "port": 9000}, APP["processes"][1]])]}}},
        "stack_apps[shop].processes",
        "differs between data and web",
    ),
    "two addresses of one service": (
        {
            "hosts": {"one": ("proxy", "app"), "two": ("app", "valkey", "rabbitmq", "minio")},
            "variables": {"postgres_external_url": "postgresql://db.mycompany.net/shop"},
            "host_variables": {"two": {"postgres_external_url": "postgresql://other.mycompany.net/shop"}},
        },
        "postgres_external_url",
        "differs between one and two",
    ),
    "name of a database": ({"apps": [app(database="my-shop")]}, "stack_apps[shop].database", "is not a name of a database"),
    "reserved database": ({"apps": [app(database="template1")]}, "stack_apps[shop].database", "reserved by PostgreSQL"),
    "shared database": (
        {"apps": [APP, app(name="second", database="shop", processes=[])]},
        "stack_apps[second].database",
        "is the database of shop too",
    ),
    "name of a bucket": ({"apps": [app(bucket="My_Files")]}, "stack_apps[shop].bucket", "is not a name of a bucket"),
    "extensions without database": ({"apps": [app(needs=["rabbitmq"], extensions=["vector"])]}, "stack_apps[shop].extensions", "does not need postgres"),
    "name of a variable": ({"apps": [app(env={"LOG-LEVEL": "x"})]}, "stack_apps[shop].env.LOG-LEVEL", "is not a name of a variable"),
    "variable and secret": ({"apps": [app(env={"SECRET_KEY": "x"})]}, "stack_apps[shop].env.SECRET_KEY", "is one of the application's secrets"),
    "variable of the stack": ({"apps": [app(env={"DATABASE_URL": "x"})]}, "stack_apps[shop].env.DATABASE_URL", "that the stack gives"),
    "variable of the stack under another name": (
        {"apps": [app(env={"BROKER": "x"}, env_names={"CELERY_BROKER_URL": "BROKER"})]},
        "stack_apps[shop].env.BROKER",
        "that the stack gives",
    ),
    "other name for nothing": ({"apps": [app(env_names={"MYSQL_URL": "X"})]}, "stack_apps[shop].env_names.MYSQL_URL", "gives no such variable"),
    "secret in the open": ({"apps": [app(env={"STRIPE_TOKEN": "abc"})]}, "stack_apps[shop].env.STRIPE_TOKEN", "looks like a secret"),
    "scheduler twice": ({"apps": [web(singleton=True, replicas=2)]}, "stack_apps[shop].processes[web].replicas", "singleton is true"),
    "root user": ({"apps": [app(user="0:0")]}, "stack_apps[shop].user", "is root"),
    "migration without command": ({"apps": [app(migration={"tool": "command"})]}, "stack_apps[shop].migration.command", "is required"),
    "negative time": ({"apps": [app(migration={"tool": "alembic", "timeout": -5})]}, "stack_apps[shop].migration.timeout", "out of range"),
    "endless stop": ({"apps": [web(stop_grace=7200)]}, "stack_apps[shop].processes[web].stop_grace", "out of range"),
    "health path without port": ({"apps": [web(port=None, routes=[])]}, "stack_apps[shop].processes[web].health.path", "needs a port"),
    "acme without address": ({"variables": {"stack_acme_email": ""}}, "stack_acme_email", "is required by stack_tls: acme"),
    "acme for a local domain": ({"variables": {"stack_domain": "shop.internal"}}, "stack_domain", "no public authority"),
    "acme at another port": ({"variables": {"stack_https_port": 8443}}, "stack_https_port", "asks at port 443"),
    "acme from nowhere": ({"variables": {"stack_acme_directory": "letsencrypt"}}, "stack_acme_directory", "is no authority"),
    "acme in the open": ({"variables": {"stack_acme_directory": "http://acme.mycompany.net/d"}}, "stack_acme_directory", "is no authority"),
    "key of an account with signs": ({"variables": {"stack_acme_eab": {"id": "a", "key": "b=="}}}, "stack_acme_eab.key", "is not what an authority gives"),
    "name of a key with a space": ({"variables": {"stack_acme_eab": {"id": "a b", "key": "b"}}}, "stack_acme_eab.id", "is not what an authority gives"),
    "challenge that nginx cannot answer": ({"variables": {"stack_proxy": "nginx", "stack_acme_challenge": "tls"}}, "stack_acme_challenge", "lego asks for"),
    "challenge in nobody's DNS": (
        {"variables": {"stack_proxy": "nginx", "stack_acme_challenge": "dns"}},
        "stack_acme_dns",
        "is required by stack_acme_challenge: dns",
    ),
    "provider that is none": (
        {"variables": {"stack_proxy": "nginx", "stack_acme_challenge": "dns", "stack_acme_dns": {"provider": "My DNS"}}},
        "stack_acme_dns.provider",
        "is no provider",
    ),
    "credential that is no variable": (
        {"variables": {"stack_proxy": "nginx", "stack_acme_challenge": "dns", "stack_acme_dns": {"provider": "a", "credentials": {"api-key": "b"}}}},
        "stack_acme_dns.credentials.api-key",
        "has a name that is no variable",
    ),
    "certificates for no time": ({"variables": {"stack_tls_min_days": -1}}, "stack_tls_min_days", "out of range"),
    "internal authority in prod": ({"variables": {"stack_tls": "internal"}}, "stack_tls", "browsers do not trust"),
    "wait for too long": ({"variables": {"stack_wait_timeout": 86400}}, "stack_wait_timeout", "out of range"),
    "relative folder": ({"variables": {"stack_root": "opt/shop"}}, "stack_root", "is not an absolute path"),
    "folder of the system": ({"variables": {"stack_root": "/"}}, "stack_root", "is a folder of the system"),
    "folder of a package": ({"variables": {"stack_data_root": "/var/lib/postgresql/"}}, "stack_data_root", "is a folder of the system"),
    "folder of the trust store": ({"variables": {"stack_secrets_root": "/etc/ssl"}}, "stack_secrets_root", "is a folder of the system"),
    "folders in each other": ({"variables": {"stack_data_root": "/opt/shop/data"}}, "stack_data_root", "overlaps with stack_root"),
    "relative mount": ({"apps": [web(mounts=[{"source": "media", "target": "/media"}])]}, "stack_apps[shop].processes[web].mounts[0].source", "absolute"),
    "mount twice": (
        {"apps": [web(mounts=[{"source": "/srv/a", "target": "/media"}, {"source": "/srv/b", "target": "/media/"}])]},
        "stack_apps[shop].processes[web].mounts[1].target",
        "used by another mount",
    ),
    "mount over the secrets": (
        {"apps": [web(mounts=[{"source": "/srv/a", "target": "/run/secrets"}])]},
        "stack_apps[shop].processes[web].mounts[0].target",
        "hide the secrets",
    ),
    "socket of the engine": (
        {"apps": [web(mounts=[{"source": "/var/run/docker.sock", "target": "/x.sock"}])]},
        "stack_apps[shop].processes[web].mounts[0].source",
        "control of the host",
    ),
    "source code in prod": (
        {"apps": [web(mounts=[{"source": "/srv/x", "target": "/app"}])]},
        "stack_apps[shop].processes[web].mounts[0]",
        "mounts source code",
    ),
    "reload in prod": ({"apps": [web(command=["uvicorn", "--reload"])]}, "stack_apps[shop].processes[web].command", "reloads source code"),
    "worker without broker": (
        {"apps": [app(needs=["postgres"])]},
        "stack_apps[shop].processes[worker].command",
        "has no broker",
    ),
}


# Nothing was given, or what is wrong is a name: its value is not shown, for a misspelt name may be that of a secret.
NO_VALUE = re.compile(
    "is required|is missing on|has no host|hosts|no role|unknown key|this variable is called|still contains|"
    "is a variable that the stack gives|is one of the application's secrets"
)


# Where a value is a secret, by the name of what is reported.
OF_A_SECRET = re.compile(r"_eab\.key$|_password$|_secret_key$|\.password$|\.secrets\b|\.credentials\b|\.env\.\w*(SECRET|TOKEN|API_?KEY)\w*$")


@pytest.mark.parametrize("case", [*TYPES, *MEANING])
def test_a_wrong_inventory_has_one_error_that_names_the_variable_and_what_is_wrong(case):
    change, variable, words = {**TYPES, **MEANING}[case]
    problems = problems_of(**change)
    assert [problem.name for problem in problems] == [variable], text_report(problems)
    assert words in problems[0].says
    assert problems[0].allowed
    assert problems[0].example
    assert problems[0].value or NO_VALUE.search(problems[0].says), "a wrong value is shown"
    assert problems[0].value != "(hidden)" or OF_A_SECRET.search(variable)


def paths_of(options, *above):
    for name, option in options.items():
        yield (*above, name)
        yield from paths_of(option.get("options") or {}, *above, name)


@pytest.mark.parametrize("role", sorted(SPECS))
def test_of_all_variables_only_passwords_and_secrets_are_not_shown(role):
    paths = list(paths_of(SPECS[role].options))
    hidden = {".".join(path) for path in paths if show(path, "wrong") == "(hidden)"}
    assert hidden == {".".join(path) for path in paths if OF_A_SECRET.search(".".join(path))}


@pytest.mark.parametrize(
    "name", ["API_KEY", "apikey", "STRIPE_APIKEY_2", "SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "KEY", "ssh_keys", "VALKEY_KEY", "valkey_password", "TOKEN_ID"]
)
def test_a_variable_that_is_called_a_key_or_a_secret_is_not_shown(name):
    assert show(("stack_apps", "[shop]", "env", name), "canary") == "(hidden)"


@pytest.mark.parametrize("name", ["VALKEY_HOST", "valkey", "KEYCLOAK_URL", "KEYBOARD", "MONKEYPATCH"])
def test_a_variable_that_has_the_letters_of_a_key_in_it_is_shown(name):
    assert show(("stack_apps", "[shop]", "env", name), "wrong") == "'wrong'"


@pytest.mark.parametrize("password", ["canary", "canary@canary", "canary/canary", "canary:can@ary/can@ary"])
def test_the_login_of_an_address_is_not_shown_however_it_is_written(password):
    assert show(("valkey_external_url",), f"rediss://shop:{password}@cache.mycompany.net:x") == "'rediss://***@cache.mycompany.net:x'"


@pytest.mark.parametrize("hosts", [ONE_HOST, TWO_HOSTS], ids=["one host", "two hosts"])
@pytest.mark.parametrize("base", [PROD, DEV], ids=["prod", "dev"])
def test_a_right_inventory_has_no_error(hosts, base):
    assert text_report(problems_of(hosts=hosts, base=base)).startswith("The inventory has 0 errors")


def test_a_role_alone_needs_nothing_but_the_name_of_the_stack():
    assert problems_of(base={"stack_name": "shop"}, apps=[], hosts={"box": ("valkey",)}) == []


def test_the_version_of_a_release_replaces_the_one_of_the_inventory():
    assert problems_of(variables={"app_version": "2.0"}, apps=[app(version=None)]) == []


def test_managed_services_replace_the_groups():
    urls = {
        "postgres_external_url": "postgresql://shop:x@db.mycompany.net/shop",
        "valkey_external_url": "rediss://cache.mycompany.net",
        "rabbitmq_external_url": "amqps://mq.mycompany.net",
        "s3_external_url": "https://s3.mycompany.net",
    }
    assert problems_of(variables=urls, hosts={"web": ("proxy", "app")}) == []


def test_what_the_stack_makes_itself_and_good_passwords_are_accepted_in_prod():
    given = {"postgres_password": GOOD_PASSWORD, "valkey_password": OTHER_PASSWORD, "rabbitmq_password": ""}
    assert problems_of(variables=given) == []


def test_development_options_and_weak_passwords_are_accepted_in_dev():
    source = {"name": "web", "command": ["uvicorn", "--reload"], "mounts": [{"source": "/srv/x", "target": "/app"}]}
    assert problems_of(variables={"postgres_password": "postgres"}, base=DEV, apps=[app(processes=[source])]) == []


def test_settings_that_fit_and_hosts_that_differ_in_what_is_their_own_are_accepted():
    postgres = {"shared_buffers": "128MB", "work_mem": 4096, "max_connections": 200}
    settings = {"postgres_config": postgres, "valkey_config": {"maxmemory": "100mb", "save": "900 1"}}
    smaller = app(env={"LOG_LEVEL": "debug"}, processes=[{**WEB, "memory": "256M", "replicas": 2}, APP["processes"][1]])
    assert problems_of(variables=settings, hosts=TWO_HOSTS, host_variables={"web": {"stack_apps": [smaller]}}) == []


@pytest.mark.parametrize("role", sorted(OWN_SETTINGS))
def test_what_a_role_writes_about_addresses_ports_and_files_is_its_own(role):
    """So that a new line of the template is not forgotten."""
    template = "".join(path.read_text() for path in (ROLES / role / "templates").glob("*.conf.j2") if "hba" not in path.name)
    settings = dict(re.findall(r"^([a-z][\w.-]*)(?: = | )(.+)$", template, re.MULTILINE))
    own = {name for name, value in settings.items() if re.search(r"^'?(/|\*|\d{4,5}'?$)", value)}
    assert own and own <= set(OWN_SETTINGS[role])


def test_settings_beside_those_of_the_role_and_of_a_service_without_a_host_are_accepted():
    settings = {"rabbitmq_config": {"listeners.tcp.local": "127.0.0.1:7"}, "valkey_config": {"databases": 4}, "postgres_config": {"ssl": True}}
    assert problems_of(variables=settings) == []
    elsewhere = {"valkey_external_url": "rediss://cache.mycompany.net", "valkey_config": {"port": 7}}
    assert problems_of(variables=elsewhere, hosts={"box": ("postgres", "rabbitmq", "minio", "proxy", "app")}) == []


def test_all_errors_of_an_inventory_come_together():
    wrong = {"stack_domain": "", "stack_wait_timeout": 0, "postgres_memory": "lots", "valkey_password": "valkey"}
    names = [problem.name for problem in problems_of(variables=wrong, apps=[app(image=None, proceses=[])])]
    assert sorted(names) == [
        "postgres_memory",
        "stack_apps[shop].image",
        "stack_apps[shop].proceses",
        "stack_domain",
        "stack_wait_timeout",
        "valkey_password",
    ]


def test_an_error_that_all_hosts_share_is_told_once_with_the_hosts():
    problems = problems_of(variables={"stack_wait_timeout": 0}, hosts=TWO_HOSTS)
    assert [problem.hosts for problem in problems] == [("data", "web")]


def test_a_value_that_is_not_filled_in_is_told_once_not_again_by_every_rule():
    problems = problems_of(variables={"stack_domain": "CHANGE_ME", "stack_acme_email": "CHANGE_ME", "postgres_password": "CHANGE_ME"})
    assert sorted((problem.name, problem.says) for problem in problems) == [
        ("postgres_password", "still contains CHANGE_ME"),
        ("stack_acme_email", "still contains CHANGE_ME"),
        ("stack_domain", "still contains CHANGE_ME"),
    ]


def test_what_is_said_to_write_in_place_of_a_placeholder_is_accepted():
    unfilled = [{**web(), "image": "CHANGE_ME", "version": "CHANGE_ME"}]
    problems = problems_of(variables={"stack_domain": "CHANGE_ME", "stack_acme_email": "CHANGE_ME", "vault_token": "CHANGE_ME"}, apps=unfilled)
    written = {problem.name: yaml.safe_load(problem.example) for problem in problems}
    assert written.pop("vault_token") == {"vault_token": "..."}, "of a variable that no role knows nobody knows an example"
    apps = [{**unfilled[0], **written.pop("stack_apps[shop].image"), **written.pop("stack_apps[shop].version")}]
    assert set(written) == {"stack_domain", "stack_acme_email"}
    assert problems_of(variables={name: value for line in written.values() for name, value in line.items()}, apps=apps) == []


def test_the_report_has_variable_value_allowed_and_example_of_each_error():
    text = text_report(problems_of(variables={"stack_tls": "letsencrypt"}))
    assert "1. stack_tls: is not one of the choices (value: 'letsencrypt')" in text
    assert "allowed: internal, acme, files, off; example: stack_tls: acme; at: box" in text


@pytest.mark.parametrize(
    "change",
    [
        {"variables": {"postgres_password": "canary"}},
        {"variables": {"postgres_pasword": "canary"}},
        {"variables": {"postgres_password": ["canary"]}},
        {"variables": {"postgres_external_url": "postgresql://shop:canary@db.mycompany.net/shop"}},
        {"variables": {"valkey_password": {"a": "canary"}}},
        {"apps": [app(credentials={"postgres": "canary", "mysql": "canary"})]},
        {"apps": [app(secrets={"A-B": "canary", "SECRET_KEY": "canary"})]},
        {"apps": [app(env={"API_TOKEN": "canary", "SECRET_KEY": "canary"})]},
        {"apps": [app(secret={"SECRET_KEY": "canary"})]},
    ],
)
def test_no_error_shows_a_secret(change):
    text = text_report(problems_of(**change))
    assert "0 errors" not in text
    assert "canary" not in text


@pytest.mark.parametrize("broken", [None, "text", 7, [], ["text", 7, None], [{}], [{"name": None}], [{"name": "a", "processes": "x", "needs": 5, "env": []}]])
def test_any_shape_of_the_applications_gives_errors_and_never_a_traceback(broken):
    assert isinstance(problems_of(apps=broken if broken is not None else [None]), list)


def test_a_wrong_type_does_not_bring_errors_that_follow_from_it():
    problems = problems_of(variables={"stack_image_source": "docker", "stack_tls": "none", "stack_apps": "shop"})
    assert sorted(problem.name for problem in problems) == ["stack_apps", "stack_image_source", "stack_tls"]


RIGHT_ROUTES = [
    {"host": "www.mycompany.net", "redirect": "https://mycompany.net", "redirect_code": 301},
    {"host": "site.mycompany.net", "static": {"folder": "/srv/site", "fallback": "/index.html", "immutable": ["/assets/*"]}, "max_body": ""},
    {"host": "old.mycompany.net", "upstream": "https://10.0.0.9:8443", "timeout": 60, "max_body": "10M"},
    {"host": "q.mycompany.net", "service": "rabbitmq", "allow": ["10.0.0.0/8", "203.0.113.7"]},
    {"host": "s3.mycompany.net", "service": "s3", "compress": False},
    {"host": "app.shop.mycompany.net", "path": "/ops", "upstream": "http://10.0.0.9", "basic_auth": [{"user": "ops", "password": GOOD_PASSWORD}]},
]


def test_routes_of_every_kind_are_right():
    assert problems_of(variables={"stack_routes": RIGHT_ROUTES}) == []


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("/opt/shop/shop", "stack_root (/opt/shop)"),
        ("/opt", "stack_root (/opt/shop)"),
        ("/etc/longshore/secrets/", "stack_secrets_root (/etc/longshore/secrets/shop)"),
        ("/etc", "stack_secrets_root (/etc/longshore/secrets/shop)"),
        ("/var/lib", "stack_data_root (/var/lib/shop)"),
        ("/var/lib/shop", "stack_data_root (/var/lib/shop)"),
        ("/var/lib/shop/caddy/data", "stack_data_root (/var/lib/shop)"),
        ("/var/lib/shop/nginx/lego/", "stack_data_root (/var/lib/shop)"),
        ("/var/lib/shop/authority", "stack_data_root (/var/lib/shop)"),
        ("/var/lib/shop/postgres", "stack_data_root (/var/lib/shop)"),
    ],
)
def test_files_that_the_stack_keeps_are_not_served_and_neither_is_a_folder_that_has_them_in_it(folder, root):
    (problem,) = problems_of(variables={"stack_routes": [{"host": "r.mycompany.net", "static": {"folder": folder}}]})
    assert (problem.name, problem.value) == ("stack_routes[0].static.folder", f"'{folder}'")
    assert problem.says == f"would show what the stack keeps in {root}"


@pytest.mark.parametrize("folder", ["/srv/site", "/var/lib/shop/shop/volumes/media", "/var/lib/shop/shop/static", "/var/lib/shopping", "/var/lib/shop/caddy-x"])
def test_volumes_of_applications_and_folders_beside_the_stacks_may_be_served(folder):
    assert problems_of(variables={"stack_routes": [{"host": "r.mycompany.net", "static": {"folder": folder}}]}) == []


def test_a_folder_is_not_written_so_that_it_is_taken_for_another():
    (problem,) = problems_of(variables={"stack_routes": [{"host": "r.mycompany.net", "static": {"folder": "//var/lib/shop"}}]})
    assert problem.says == "is not an absolute path"


def test_what_one_proxy_cannot_another_can():
    limited = web(routes=[{"host": "app.shop.mycompany.net", "rate_limit": {"requests": 10, "seconds": 60, "burst": 5}}])
    assert problems_of(variables={"stack_proxy": "nginx", "stack_tls": "off"}, apps=[limited]) == []
    (problem,) = problems_of(apps=[limited])
    assert "stack_proxy: traefik or nginx" in problem.allowed


@pytest.mark.parametrize(
    ("proxy", "hosts", "changes"),
    [
        ("traefik", {}, {}),
        ("traefik", {"web2": ("app",)}, {"health": {"path": "/health"}}),
        ("traefik", {"web2": ("app",)}, {"singleton": True}),
        ("traefik", {"web2": ("app",)}, {"routes": []}),
        ("caddy", {"web2": ("app",)}, {}),
    ],
    ids=["one host", "looked at", "on one host alone", "without routes", "another proxy"],
)
def test_a_process_without_a_health_path_is_right_where_traefik_does_not_spread_its_requests(proxy, hosts, changes):
    given = {"variables": {"stack_proxy": proxy}, "hosts": {**TWO_HOSTS, **hosts}}
    sticky = {"routes": [{"host": "app.shop.mycompany.net", "sticky": True}]}
    assert problems_of(**given, apps=[web(**{"health": None, **sticky, **changes})]) == []


def test_the_variables_of_a_proxy_that_is_not_chosen_ask_for_nothing():
    given = {"caddy_image_source": "archive", "nginx_image_source": "archive", "stack_proxy": "nginx", "stack_tls": "off"}
    assert [problem.name for problem in problems_of(variables=given)] == ["nginx_image_archive"]


def test_a_certificate_for_every_host_is_right():
    files = certified(["*.mycompany.net", "*.shop.mycompany.net"])
    given = {"stack_tls": "files", "stack_tls_files": [{"certificate": "a", "key": "b"}], "stack_routes": RIGHT_ROUTES}
    assert problems_of(variables=given, files=files) == []


def test_routes_that_hosts_read_in_two_ways_are_refused():
    (problem,) = problems_of(hosts=TWO_HOSTS, host_variables={"web": {"stack_routes": RIGHT_ROUTES[:1]}})
    assert (problem.name, problem.says) == ("stack_routes", "differs between data and web")
