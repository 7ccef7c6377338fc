"""Two Kong nodes over one database, each with its sidecar, over one shared store: what happens once is told once."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.conftest import HttpServer, Kong, Sidecar
from tests.integration.test_crud_real_kong import ask, begin, put_route, send_recorded, short, told_events
from tests.support.admin_route import OPERATORS, WITH_KEY
from tests.support.kong_postgres import Postgres
from tests.support.waiting import until
from tests.unit.sources.changes.test_observer import CHANGES

SETTINGS = {"crud_reconcile_seconds": 0.5, "crud_grace_seconds": 1.0}
"""The grace is long enough for the route's report on a busy machine."""

pytestmark = [pytest.mark.kong, pytest.mark.timeout(300)]


class Node(NamedTuple):
    kong: Kong
    sidecar: Sidecar


@pytest.fixture
def nodes(kong_bin: str, postgres: Postgres, bootstrapped: str, tmp_path: Path) -> Iterator[list[Node]]:
    """Both run; the Admin API's route is there, in the one database."""
    with postgres.database(bootstrapped) as database, postgres.database() as store:
        made = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir(mode=0o755)
            sidecar = Sidecar(folder)
            kong = Kong(kong_bin, folder, sidecar.socket_path)
            kong.extra_conf |= postgres.conf(database)
            made.append(Node(kong, sidecar))
        try:
            for kong, sidecar in made:
                sidecar.start()
                kong.start()
            put_route(made[0].kong, made[0].sidecar)
            until(lambda: ask(made[1].kong, "GET", "/status")[0] == 200, "the other node has the route too")
            url = postgres.url.rpartition("/")[0] + f"/{store}"
            for _, sidecar in made:
                sidecar.store = url  # from its next start on
            yield made
        finally:
            for kong, sidecar in made:
                kong.stop()
                sidecar.close()
                print(sidecar.log.read_text()[-6000:])


def test_the_recorded_list_through_one_nodes_route_is_told_once(nodes: list[Node], receiver: HttpServer) -> None:
    (kong, sidecar), (other_kong, other) = nodes
    begin(sidecar, kong, receiver, **SETTINGS)
    watch(other, other_kong)

    def send(method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        return kong.send(method, f"/admin{path}", body, {**headers, **WITH_KEY}, admin=False)

    send_recorded(send)
    for each in (sidecar, other, sidecar, other):
        each.reconciliations()
    until(lambda: settled(sidecar, other), "all is in the shared store")
    reported = sidecar.events("dao:crud")
    # Ids are new each time.
    assert Counter(each.split()[0] for each in short(reported)) == Counter(each.split()[0] for each in CHANGES)
    assert {event["data"]["seen_by"] for event in reported} == {"route"}, "it comes first, and knows who"
    assert len(sidecar.events("crud")) == len(CHANGES)
    assert [event["id"] for event in other.events("crud")] == [event["id"] for event in sidecar.events("crud")]
    until(lambda: len(told_events(receiver)) >= 2 * len(CHANGES), "each is delivered")
    assert len(told_events(receiver)) == 2 * len(CHANGES), "and delivered once"


def test_both_routes_and_what_goes_past_them(nodes: list[Node], receiver: HttpServer) -> None:
    (kong, sidecar), (other_kong, other) = nodes
    begin(sidecar, kong, receiver, **SETTINGS)
    watch(other, other_kong)
    wanted = []
    for number in range(10):
        first, second = (kong, other_kong) if number % 2 else (other_kong, kong)
        assert ask(first, "PUT", f"/consumers/c{number}", {"tags": ["a"]})[0] == 200
        assert ask(second, "PATCH", f"/consumers/c{number}", {"tags": ["b"]})[0] == 200
        wanted += ["create", "update"]
        if number % 3 == 0:
            assert ask(first, "DELETE", f"/consumers/c{number}")[0] == 204
            wanted += ["delete"]
        body = f'{{"username": "straight-{number}"}}'
        assert kong.send("POST", "/consumers", body, {"content-type": "application/json"}, admin=True)[0] == 201
        wanted += ["create"]
    for each in (sidecar, other, sidecar, other):
        each.reconciliations()
    until(lambda: settled(sidecar, other), "all is in the shared store")
    reported = sidecar.events("dao:crud")
    assert Counter(event["event"] for event in reported) == Counter(wanted), short(reported)


def test_a_sidecar_without_admin_url_hands_on_what_its_route_sees(nodes: list[Node], receiver: HttpServer) -> None:
    (kong, sidecar), (other_kong, other) = nodes
    begin(sidecar, kong, receiver, crud_reconcile_seconds=0.5, crud_grace_seconds=5.0)
    other.stop()
    other.start()
    until(lambda: other.poller("crud").get("forwarded_to"), "it knows who takes what it sees")
    until(lambda: json.loads(other.get("/readyz")[1])["errors"] == [], "and that is no error")
    wanted: list[str] = []

    def reported_so_far() -> bool:
        return len(sidecar.events("dao:crud")) >= len(wanted)

    for method, path, body, told in (
        ("POST", "/consumers", {"username": "grace"}, ["consumers:create grace"]),
        ("PATCH", "/consumers/grace", {"custom_id": "g1"}, ["consumers:update grace (custom_id)"]),
        ("PUT", "/consumers/newbie", {"tags": ["a"]}, ["consumers:create newbie"]),
        ("POST", "/consumers/grace/acls", {"group": "admins"}, ["acls:create admins"]),
        ("POST", "/upstreams", {"name": "up"}, ["upstreams:create up"]),
        ("POST", "/upstreams/up/targets", {"target": "127.0.0.1:9"}, ["targets:create 127.0.0.1:9"]),
        ("PATCH", "/upstreams/up/targets/127.0.0.1:9", {"weight": 7}, ["targets:update 127.0.0.1:9 (weight)"]),
        ("DELETE", "/upstreams/up", None, ["upstreams:delete up", "targets:delete 127.0.0.1:9 < upstreams"]),
        ("DELETE", "/consumers/newbie", None, ["consumers:delete newbie"]),
    ):
        assert ask(other_kong, method, path, body)[0] // 100 == 2
        wanted += told
        until(reported_so_far, f"{method} {path} is reported")
    for each in (sidecar, sidecar):
        each.reconciliations()
    until(lambda: settled(sidecar, other), "all is in the shared store")
    reported = sidecar.events("dao:crud")
    assert sorted(short(reported)) == sorted(wanted)
    assert {event["data"]["seen_by"] for event in reported} == {"route"}
    assert {event["data"]["actor"]["consumer"]["username"] for event in reported} == {OPERATORS}
    until(lambda: len(told_events(receiver)) == 2 * len(wanted), "each is delivered once to each hook")
    sidecar.stop()
    until(lambda: any("to-crud" in error for error in json.loads(other.get("/readyz")[1])["errors"]), "now it is one")


def watch(sidecar: Sidecar, kong: Kong) -> None:
    """Have the other sidecar read its own Kong; the hooks are in the store."""
    sidecar.stop()
    sidecar.watch(kong, **SETTINGS)
    sidecar.start()
    until(lambda: sidecar.poller("crud").get("active"), "it has the hooks")
    until(lambda: sidecar.poller("crud")["reconciler"]["ended_at"] is not None, "it knows what is there")


def settled(*sidecars: Sidecar) -> bool:
    return all(sidecar.spooled() == 0 for sidecar in sidecars)
