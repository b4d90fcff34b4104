# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only a proxy in its container shows, the same for each: certificates of every origin on a test host, and what its end costs.

How authorities fail is tested in tests/edge.
"""

from __future__ import annotations

import re
import ssl
import subprocess
import threading
import time
from dataclasses import replace

import pytest
from edge_client import Edge

KEY = {"id": "kid-1", "key": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
SETTINGS = """{"pebble": {"listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000", "certificate": "/srv/authority/own.pem",
 "privateKey": "/srv/authority/own.key", "httpPort": 80, "tlsPort": 443, "externalAccountBindingRequired": true,
 "externalAccountMACKeys": {"%(id)s": "%(key)s"}}}"""
# Every name leads to the host itself, and what it trusts is what its proxy trusts.
START = """set -e
command -v pebble >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends pebble; } >/dev/null 2>&1
mkdir -p /srv/authority && cd /srv/authority
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -addext subjectAltName=IP:%(address)s,IP:127.0.0.1 \
    -keyout own.key -out own.pem 2>/dev/null
cp own.pem /usr/local/share/ca-certificates/authority.crt && update-ca-certificates >/dev/null 2>&1
cat > pebble.json <<'END'
%(settings)s
END
systemctl stop authority authority-names 2>/dev/null || true
systemd-run --quiet --unit authority-names pebble-challtestsrv -defaultIPv4 %(address)s -defaultIPv6 '' \
    -http01 '' -https01 '' -tlsalpn01 '' -dns01 127.0.0.1:8053
systemd-run --quiet --unit authority --setenv PEBBLE_VA_NOSLEEP=1 pebble -config /srv/authority/pebble.json -dnsserver 127.0.0.1:8053
for _ in $(seq 50); do curl -fs --cacert own.pem https://127.0.0.1:15000/roots/0 > root.pem && exit 0; sleep 0.2; done
exit 1
"""


@pytest.fixture
def acme(host, tmp_path):
    """What the inventory says of the authority, and the file with what a client has to trust."""
    address = re.search(r"src (\S+)", host.check_output("ip -4 -o route get 192.0.2.1"))[1]
    host.check_output("bash -c %s", START % {"address": address, "settings": SETTINGS % KEY})
    root = tmp_path / "root.pem"
    root.write_text(host.file("/srv/authority/root.pem").content_string, encoding="ascii")
    given = {"stack_tls": "acme", "stack_acme_email": "ops@shop.test", "stack_acme_directory": f"https://{address}:14000/dir", "stack_acme_eab": KEY}
    yield given, Edge(address, 80, 443, str(root), lambda _number: None, lambda _text: None)
    host.check_output("systemctl stop authority authority-names; rm /usr/local/share/ca-certificates/authority.crt; update-ca-certificates >/dev/null 2>&1")


def test_names_get_certificates_from_an_authority_and_a_second_run_changes_nothing(host, acme, converge, name, role, figure):
    given, client = acme
    run = converge(**given)
    assert run.rc == 0, run.output
    begin = time.monotonic()
    for route in ("app.shop.test", "plain.shop.test"):
        while True:
            try:
                assert client.ask("/hello", route).text.endswith("/hello")
                break
            except OSError as error:
                assert time.monotonic() - begin < 60, error
                time.sleep(0.5)
    figure(f"{role}: after the end of the run two names had certificates of an authority within {time.monotonic() - begin:.1f} s")
    assert converge(**given).changed(name) == 0
    said = host.check_output("docker inspect $(docker ps -q); grep -rs . /opt/molecule")
    assert KEY["key"] not in said
    assert converge().rc == 0


def test_names_have_certificates_of_the_stacks_own_authority(host, converge, name, role, tmp_path):
    assert converge(stack_tls="internal").rc == 0
    place = "caddy/data/caddy/pki/authorities/local" if role == "caddy" else "authority"
    root = tmp_path / "root.crt"
    root.write_text(host.file(f"/var/lib/molecule/{place}/root.crt").content_string, encoding="ascii")
    address = re.search(r"src (\S+)", host.check_output("ip -4 -o route get 192.0.2.1"))[1]
    client = Edge(address, 80, 443, str(root), lambda _number: None, lambda _text: None)
    assert client.ask("/hello").text == "web /hello"
    assert client.ask("/hello", "plain.shop.test").text == "plain /hello"
    assert converge(stack_tls="internal").changed(name) == 0
    assert converge().rc == 0


def test_a_given_certificate_that_was_renewed_with_its_key_is_served_without_a_new_container(edge, converge, role, service, tmp_path):
    certificate, key = tmp_path / "given.pem", tmp_path / "given.key"
    names = ",".join(f"DNS:{name}.shop.test" for name in ("app", "part", "guarded", "www", "old", "plain", "site"))
    make = f"openssl req -x509 -days 2 -subj /CN=edge -addext subjectAltName={names} -out {certificate}".split()
    given = {"stack_tls": "files", "stack_tls_files": [{"certificate": str(certificate), "key": str(key)}]}
    client = Edge(edge.address, 80, 443, str(certificate), lambda _number: None, lambda _text: None)

    def served() -> bytes:
        with client.connect(context=ssl._create_unverified_context()) as connection:
            return connection.getpeercert(binary_form=True)

    def there() -> bytes:
        return ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))

    subprocess.run([*make, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key)], check=True, capture_output=True)
    assert converge(**given).rc == 0
    first, before = there(), service(role).inspect("{{.Id}} {{.State.StartedAt}}")
    assert served() == first
    subprocess.run([*make, "-key", str(key)], check=True, capture_output=True)
    assert converge(**given).rc == 0
    assert there() != first and served() == there()
    assert service(role).inspect("{{.Id}} {{.State.StartedAt}}") == before
    assert converge().rc == 0


def test_what_a_new_container_would_refuse_leaves_the_one_that_runs(edge, converge, name, role, service):
    if role == "traefik":
        pytest.skip("traefik knows no lines of a user's, and looks at nothing beforehand")
    before = service(role).inspect("{{.Id}} {{.State.StartedAt}}")
    run = converge(**{f"{role}_memory": "300M", f"{role}_config": "no_such_option on;"})
    assert run.rc != 0 and f"{role} would refuse its new configuration" in run.output and "no_such_option" in run.output, run.output
    assert service(role).inspect("{{.Id}} {{.State.StartedAt}}") == before
    assert edge.ask("/hello").text == "web /hello"
    assert converge().changed(name) == 0


def test_a_proxy_that_dies_is_back_within_seconds(host, edge, role, service, figure):
    before = service(role).inspect("{{.State.StartedAt}}")
    begin = time.monotonic()
    host.check_output("kill -KILL " + service(role).inspect("{{.State.Pid}}"))
    while True:
        try:
            if edge.ask("/hello").text == "web /hello" and service(role).inspect("{{.State.StartedAt}}") != before:
                break
        except OSError as error:
            assert time.monotonic() - begin < 20, error
        time.sleep(0.1)
    figure(f"{role}: killed, it answered again after {time.monotonic() - begin:.1f} s")


def test_a_proxy_whose_container_is_made_again_as_by_an_upgrade_is_back_within_seconds(edge, converge, name, role, figure):
    gaps, over = Gaps(edge), threading.Event()
    asking = threading.Thread(target=gaps.ask, args=(over,))
    asking.start()
    try:
        assert converge(**{f"{role}_memory": "300M"}).changed(name) > 0
    finally:
        over.set()
        asking.join()
        assert converge().rc == 0
    figure(f"{role}: made again, as by an upgrade, {gaps.failed} of {gaps.asked} requests one after the other failed, in {gaps.longest:.1f} s")
    # Before, after and in between, however slow the machine is.
    assert gaps.asked > 20 and gaps.longest < 15, vars(gaps)


class Gaps:
    """One request on a connection of its own after the other, and how long none of them had an answer."""

    def __init__(self, edge: Edge):
        self.edge, self.asked, self.failed, self.longest = edge, 0, 0, 0.0

    def ask(self, over: threading.Event) -> None:
        answered = time.monotonic()
        while not over.is_set():
            self.asked += 1
            try:
                # What was asked of a container that goes may never be answered; whoever asks again is.
                assert self.edge.ask("/hello", timeout=2).text == "web /hello"
                answered = time.monotonic()
            except (OSError, AssertionError):
                self.failed += 1
                self.longest = max(self.longest, time.monotonic() - answered)
            time.sleep(0.05)


def test_over_ipv6_a_visitor_keeps_his_own_address(host, edge, converge, name, role):
    refused = converge(stack_edge_ipv6=True)
    assert refused.rc != 0 and "the network molecule_edge has no IPv6, and stack_edge_ipv6 wants it" in refused.output
    assert edge.ask("/hello").text == "web /hello"
    host.check_output(f"docker compose -p molecule-{role} down && docker network disconnect molecule_edge switch && docker network rm molecule_edge")
    assert converge(stack_edge_ipv6=True).rc == 0
    host.check_output("docker network connect molecule_edge switch")
    visitor = replace(edge, address=host.ansible.get_variables()["host_ipv6"])
    deadline = time.monotonic() + 10
    while visitor.ask("/hello").status == 502 and time.monotonic() < deadline:
        time.sleep(0.2)
    with visitor.connect() as connection:
        own = connection.getsockname()[0]
    assert ":" in own
    assert visitor.ask("/headers").json["headers"]["x-real-ip"] == own
    assert visitor.ask("/open/a", "guarded.shop.test").status == 200
    assert visitor.ask("/closed/a", "guarded.shop.test").status == 403
    assert edge.ask("/hello").text == "web /hello", "and over IPv4 as before"
    assert converge(stack_edge_ipv6=True).changed(name) == 0
    assert converge().rc == 0
