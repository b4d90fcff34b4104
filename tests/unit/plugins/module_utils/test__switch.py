# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _files, _switch
from ansible_collections.longshore.stack.plugins.module_utils._switch import (
    Place,
    Switch,
    SwitchError,
    Upstream,
    over_socket,
    parse_counters,
    parse_places,
    switch_of,
)

# As HAProxy 3.0 said it.
STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
srv_agent_addr srv_agent_port
3 shop-web 1 a1 172.20.0.2 2 68 1 1 296 15 3 3 6 0 0 0 sa1 8000 - 0 0 - - 0
3 shop-web 5 b1 172.20.0.5 2 76 1 1 52 15 3 3 6 0 0 0 sb1 8000 - 0 0 - - 0
3 shop-web 4 a4 - 0 37 1 1 115 1 0 0 14 0 0 0 switch 8000 - 0 0 - - 0

"""


def test_places_are_read_as_haproxy_says_them():
    serving, draining, nobody = parse_places(STATES)
    assert serving == Place("shop-web", "a1", "172.20.0.2", True, 68, "sa1", 8000)
    assert [(place.used, place.ready, place.draining) for place in (serving, draining, nobody)] == [
        (True, True, False),
        (True, False, True),
        (False, False, False),
    ]
    assert (draining.group, nobody.address) == ("b", "")


@pytest.mark.parametrize(
    ("admin", "up", "ready"),
    [("68", "2", True), ("0", "2", True), ("68", "0", False), ("69", "2", False), ("76", "2", False), ("100", "0", False)],
    ids=["serving", "from the file", "down", "maintenance", "draining", "its name is not found"],
)
def test_only_a_place_that_is_up_and_in_service_takes_requests(admin, up, ready):
    (place,) = parse_places("\n".join([*STATES.splitlines()[:2], f"3 shop-web 1 a1 172.20.0.2 {up} {admin} 1 1 296 15 3 3 6 0 0 0 sa1 8000 - 0 0 - - 0"]))
    assert place.ready is ready


@pytest.mark.parametrize("text", ["", "\n", "1\n", "Unknown command.\n"])
def test_an_answer_without_servers_has_no_places(text):
    assert parse_places(text) == []


def test_counters_are_read_by_the_names_of_the_columns():
    text = "# pxname,svname,qcur,scur,stot,econ,eresp,hrsp_5xx,\nshop-web,FRONTEND,,4,90,,,1,\nshop-web,a1,0,2,80,1,2,3,\n\n"
    assert parse_counters(text)["shop-web", "a1"] == {"current": 2, "total": 80, "failed": 6}
    assert parse_counters(text)["shop-web", "FRONTEND"] == {"current": 4, "total": 90, "failed": 1}
    assert parse_counters("") == {}


# -- turning ----------------------------------------------------------------------------------------------------------


class Box:
    """A switch with its containers; time passes only when somebody sleeps."""

    def __init__(self, haproxy, state_path):
        self.haproxy, self.now, self.addresses = haproxy, 0.0, {"switch": "172.20.0.9"}
        self.born: dict[str, float] = {}  # when the name server knows a container
        haproxy.resolve = lambda name: self.addresses.get(name) if self.born.get(name, 0) <= self.now else None
        self.switch = Switch(haproxy, str(state_path), lambda: self.now, self.sleep)

    def sleep(self, seconds):
        self.now += seconds

    def containers(self, *names):
        for name in names:
            self.addresses.setdefault(name, f"172.20.0.{len(self.addresses) + 10}")
        return {"shop-web": [Upstream(name, self.addresses[name], 8000) for name in names]}

    def groups(self):
        """Who has which group, without the places that nobody has."""
        found = {"a": set(), "b": set()}
        for (_backend, slot), place in self.haproxy.places.items():
            found[slot[0]] |= {place["name"]} - {"switch"}
        return found


@pytest.fixture
def box(haproxy, tmp_path):
    return Box(haproxy, tmp_path / "servers")


def test_a_first_release_takes_the_requests(box):
    wanted = box.containers("one", "two")
    assert not box.switch.serves(wanted)
    box.switch.turn(wanted)
    assert box.haproxy.serving("shop-web") == ["one", "two"]
    assert box.switch.serves(wanted)


def test_the_next_release_gets_the_free_group_and_is_up_before_the_other_is_drained(box):
    box.switch.turn(box.containers("old"))
    box.haproxy.asked.clear()
    box.switch.turn(box.containers("new1", "new2"))
    assert box.haproxy.serving("shop-web") == ["new1", "new2"]
    assert box.groups() == {"a": {"old"}, "b": {"new1", "new2"}}
    told = [command for command in box.haproxy.asked if command.startswith("set")]
    assert told[-1] == "set server shop-web/a1 state drain", "what serves is given up last"
    assert not any("shutdown" in command for command in box.haproxy.asked), "requests in flight go on"


def test_the_group_that_has_the_containers_takes_them_again_without_another_name(box):
    box.switch.turn(box.containers("old"))
    box.switch.turn(box.containers("new"))
    box.haproxy.asked.clear()
    box.switch.turn(box.containers("old"))
    assert box.haproxy.serving("shop-web") == ["old"]
    assert box.groups() == {"a": {"old"}, "b": {"new"}}
    assert not any("fqdn" in command for command in box.haproxy.asked)


def test_turned_twice_nothing_changes(box):
    box.switch.turn(box.containers("one"))
    before = {key: dict(place) for key, place in box.haproxy.places.items()}
    box.switch.turn(box.containers("one"))
    assert box.haproxy.places == before


def test_a_third_release_takes_the_group_of_the_drained_one_and_its_requests_in_flight_go_on(box):
    for name in ("one", "two", "three"):
        box.switch.turn(box.containers(name))
        assert box.haproxy.serving("shop-web") == [name]
    assert box.groups() == {"a": {"one", "three"}, "b": {"two"}}
    box.switch.turn(box.containers("two"))
    box.switch.turn(box.containers("n1", "n2", "n3"))
    assert box.groups() == {"a": {"n1", "n2", "n3"}, "b": {"two"}}, "where all places are needed, what is drained leaves its own"


def test_a_release_with_fewer_replicas_leaves_nobody_behind_in_its_group(box):
    box.switch.turn(box.containers("live1", "live2"))
    box.switch.turn(box.containers("dead1", "dead2", "dead3"))
    # A run that died before it drained left both of them in service.
    for place in box.haproxy.places.values():
        place["admin"] &= ~8
    box.switch.turn(box.containers("new"))
    assert box.haproxy.serving("shop-web") == ["new"]


def test_a_switch_that_died_between_two_releases_is_turned_to_either(box):
    for wanted in ("old", "new"):
        box.switch.turn(box.containers("old"))
        box.switch.turn(box.containers("new"))
        for place in box.haproxy.places.values():
            place["admin"] &= ~8
        assert box.haproxy.serving("shop-web") == ["new", "old"]
        assert not box.switch.serves(box.containers(wanted))
        box.switch.turn(box.containers(wanted))
        assert box.haproxy.serving("shop-web") == [wanted]


def test_a_canary_gets_requests_beside_what_serves_and_then_the_rest_joins_it_in_its_group(box):
    box.switch.turn(box.containers("old1", "old2"))
    box.haproxy.asked.clear()
    box.switch.turn(box.containers("new1"), beside={"shop-web"})
    assert box.haproxy.serving("shop-web") == ["new1", "old1", "old2"]
    assert not any("drain" in command for command in box.haproxy.asked)
    box.switch.turn(box.containers("new1", "new2"))
    assert box.haproxy.serving("shop-web") == ["new1", "new2"]
    assert box.groups() == {"a": {"old1", "old2"}, "b": {"new1", "new2"}}


def test_a_canary_that_fails_is_drained_alone(box):
    box.switch.turn(box.containers("old"))
    box.switch.turn(box.containers("new1"), beside={"shop-web"})
    assert not box.switch.leads(box.containers("old"))
    box.haproxy.asked.clear()
    box.switch.turn(box.containers("old"))
    assert box.haproxy.serving("shop-web") == ["old"]
    assert [command for command in box.haproxy.asked if "drain" in command] == ["set server shop-web/b1 state drain"]


def test_a_container_more_takes_a_place_that_nobody_has(box):
    box.switch.turn(box.containers("one", "two"))
    box.haproxy.busy = {"two": 1}
    box.haproxy.asked.clear()
    box.switch.turn(box.containers("one", "three"))
    assert box.haproxy.serving("shop-web") == ["one", "three"]
    assert box.groups()["a"] == {"one", "two", "three"}, "what is drained keeps its place until it has ended"


def test_a_new_container_is_waited_for_until_the_name_server_knows_it(box):
    wanted = box.containers("slow")
    box.born["slow"] = 0.5
    assert 0.5 <= box.switch.turn(wanted) < 0.6
    assert box.haproxy.serving("shop-web") == ["slow"]


def test_a_container_that_came_back_with_another_address_is_waited_for_until_it_is_found_there(box):
    wanted = box.containers("one")
    box.switch.turn(wanted)
    stale = dict(box.addresses)
    moved = {"shop-web": [Upstream("one", "172.20.0.77", 8000)]}
    box.haproxy.resolve = lambda name: "172.20.0.77" if name == "one" and box.now >= 1 else stale[name]
    assert box.switch.turn(moved) >= 1


def test_a_container_that_does_not_answer_is_named_and_the_old_release_goes_on_serving_alone(box):
    box.switch.turn(box.containers("old"))
    box.haproxy.ill = {"new2"}
    with pytest.raises(SwitchError, match=r"does not reach new2 \(shop-web, 172.20.0.\d+:8000\): no answer on the health path, or no such name"):
        box.switch.turn(box.containers("new1", "new2"))
    assert box.now >= _switch.PATIENCE
    assert box.haproxy.serving("shop-web") == ["old"]
    box.switch.rest(["shop-web"])
    assert box.groups() == {"a": {"old"}, "b": set()}


def test_what_serves_already_is_not_taken_out_of_service_because_it_is_ill(box):
    box.switch.turn(box.containers("one"))
    box.haproxy.ill = {"one"}
    with pytest.raises(SwitchError, match="does not reach one"):
        box.switch.turn(box.containers("one"))
    box.haproxy.ill = set()
    assert box.haproxy.serving("shop-web") == ["one"]


def test_more_replicas_than_places_are_refused_before_anything_is_touched(box):
    box.switch.turn(box.containers("old"))
    before = {key: dict(place) for key, place in box.haproxy.places.items()}
    with pytest.raises(SwitchError, match=r"shop-web has 4 containers and the switch 3 places for them; site.yml gives it more"):
        box.switch.turn(box.containers("n1", "n2", "n3", "n4"))
    assert box.haproxy.places == before


def test_no_line_is_longer_than_what_haproxy_takes_however_many_replicas_there_are(box):
    box.haproxy.places = {("shop-web", f"{group}{number}"): {"admin": 5, "name": "switch", "port": 8000} for group in "ab" for number in range(200)}
    longest = []
    ask = box.switch.ask
    box.switch.ask = lambda commands: longest.append(len("; ".join(commands))) or ask(commands)
    for letter in "xy":
        names = [f"{letter}{number:011}" for number in range(200)]
        box.switch.turn(box.containers(*names))
        assert box.haproxy.serving("shop-web") == names
    assert max(longest) < 16_000


def test_a_process_that_the_switch_does_not_know_is_named(box):
    with pytest.raises(SwitchError, match="the switch does not know docs-web; site.yml gives it the processes"):
        box.switch.turn({"docs-web": [Upstream("x", "172.20.0.3", 80)]})


def test_who_is_led_to_is_known_also_while_it_is_ill(box):
    old, new = box.containers("old"), box.containers("new")
    box.switch.turn(old)
    box.haproxy.ill = {"old"}
    assert (box.switch.leads(old), box.switch.serves(old), box.switch.leads(new)) == (True, False, False)
    box.addresses.pop("old")
    assert box.switch.leads(old), "also while its container is stopped and so has no name"


# -- draining ---------------------------------------------------------------------------------------------------------


def test_in_flight_are_the_requests_of_what_is_drained_and_no_others(box):
    box.switch.turn(box.containers("old1", "old2"))
    box.haproxy.busy = {"old1": 3, "old2": 1}
    assert box.switch.in_flight(["shop-web"]) == 0
    box.switch.turn(box.containers("new"))
    box.haproxy.busy["new"] = 50
    assert box.switch.in_flight(["shop-web"]) == 4


def test_what_is_drained_leaves_its_places_and_what_was_cut_off_is_said(box):
    box.switch.turn(box.containers("old1", "old2"))
    box.switch.turn(box.containers("new"))
    box.haproxy.busy = {"old1": 3, "new": 50}
    assert box.switch.rest(["shop-web"]) == 3
    assert (box.haproxy.busy, box.groups()) == ({"new": 50}, {"a": set(), "b": {"new"}})
    assert box.haproxy.serving("shop-web") == ["new"]


def test_with_nothing_in_flight_no_connection_is_closed(box):
    box.switch.turn(box.containers("old"))
    box.switch.turn(box.containers("new"))
    box.haproxy.asked.clear()
    assert box.switch.rest(["shop-web"]) == 0
    assert not any("shutdown" in command for command in box.haproxy.asked)
    box.haproxy.asked.clear()
    assert box.switch.rest(["shop-web"]) == 0
    assert not any(command.startswith("set") for command in box.haproxy.asked), "the second time there is nothing to tell"


def test_health_counts_the_release_and_not_what_serves_beside_it(box):
    box.switch.turn(box.containers("old"))
    box.haproxy.counted = {"old": {"stot": 100, "hrsp_5xx": 50}, "new": {"stot": 40, "hrsp_5xx": 1, "econ": 2, "eresp": 3}}
    assert box.switch.health(["shop-web"], {"old"}) == (100, 50)
    box.switch.turn(box.containers("new"), beside={"shop-web"})
    assert box.switch.health(["shop-web"], {"new"}) == (40, 6)


# -- what a restart finds ---------------------------------------------------------------------------------------------


@pytest.fixture
def kept(box, tmp_path, monkeypatch):
    """Reads what a restart would find. The tests need not be root, so the owner of the file is left as it is."""
    monkeypatch.setattr(_files.os, "fchown", lambda *_owner: None)
    return lambda: {(place.backend, place.slot): (place.name, place.draining) for place in parse_places((tmp_path / "servers").read_text())}


def test_a_restart_finds_what_is_so_now(box, tmp_path, kept):
    box.switch.turn(box.containers("old"))
    box.switch.keep(["shop-web"])
    assert (kept()["shop-web", "a1"], kept()["shop-web", "b1"]) == (("old", False), ("switch", False))
    box.switch.turn(box.containers("new"))
    assert kept()["shop-web", "a1"] == ("old", False), "a release that is not live yet is forgotten by a restart"
    box.switch.keep(["shop-web"])
    assert (kept()["shop-web", "a1"], kept()["shop-web", "b1"]) == (("old", True), ("new", False))
    text = (tmp_path / "servers").read_text()
    assert (text.splitlines()[0], text[-1], (tmp_path / "servers").stat().st_mode & 0o777) == ("1", "\n", 0o644)


def test_a_release_of_another_application_that_is_not_live_yet_is_not_kept_with_it(box, tmp_path, kept):
    box.haproxy.places |= {("docs-web", slot): {"admin": 5, "name": "switch", "port": 80} for slot in ("a1", "b1")}
    docs = [{"docs-web": box.containers(name)["shop-web"]} for name in ("docs-old", "docs-new")]
    box.switch.turn(docs[0])
    box.switch.keep(["docs-web"])
    box.switch.turn(docs[1])
    box.switch.turn(box.containers("shop"))
    box.switch.keep(["shop-web"])
    assert (kept()["shop-web", "a1"], kept()["docs-web", "a1"], kept()["docs-web", "b1"]) == (("shop", False), ("docs-old", False), ("switch", False))


def test_the_kept_file_is_replaced_as_a_whole_or_not_at_all(box, tmp_path, kept, monkeypatch):
    box.switch.turn(box.containers("old"))
    box.switch.keep(["shop-web"])
    before = (tmp_path / "servers").read_bytes()

    def full_disk(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full_disk)
    box.switch.turn(box.containers("new"))
    with pytest.raises(OSError, match="No space left"):
        box.switch.keep(["shop-web"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"servers": before}


def test_an_answer_that_says_nothing_is_never_kept(tmp_path):
    switch = Switch(lambda commands: "Permission denied\n", str(tmp_path / "servers"), None, None)
    with pytest.raises(SwitchError, match="did not say what it serves: 'Permission denied"):
        switch.keep(["shop-web"])
    assert list(tmp_path.iterdir()) == []


# -- the socket -------------------------------------------------------------------------------------------------------


class Line:
    """A connection to the switch that answers in parts."""

    def __init__(self, *parts):
        self.parts, self.sent, self.path, self.timeout = list(parts), b"", "", None

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return False

    def settimeout(self, seconds):
        self.timeout = seconds

    def connect(self, path):
        self.path = path

    def sendall(self, data):
        self.sent += data

    def recv(self, _most):
        part = self.parts.pop(0)
        if isinstance(part, Exception):
            raise part
        return part


def test_commands_go_in_one_line_and_the_answer_is_read_to_its_end(monkeypatch):
    line = Line(b"first ", b"second\xff", b"")
    monkeypatch.setattr(_switch.socket, "socket", lambda _family: line)
    assert over_socket("/run/admin.sock")(["show stat", "show info"]) == "first second\ufffd"
    assert (line.sent, line.path, line.timeout) == (b"show stat; show info\n", "/run/admin.sock", 5.0)


@pytest.mark.parametrize("error", [ConnectionRefusedError("refused"), TimeoutError("timed out")])
def test_a_switch_that_does_not_answer_says_where_to_look(monkeypatch, error):
    monkeypatch.setattr(_switch.socket, "socket", lambda _family: Line(error))
    with pytest.raises(SwitchError, match=r"does not answer at /run/admin.sock \((refused|timed out)\); look at it with: docker logs of the service switch"):
        over_socket("/run/admin.sock")(["show stat"])


def test_a_host_without_a_switch_says_so(tmp_path):
    with pytest.raises(SwitchError, match=f"does not answer at {tmp_path}/run/admin.sock"):
        switch_of({"path": str(tmp_path)}, None, None).places(["shop-web"])
