"""crud and dao:crud on a real Kong with PostgreSQL: through the Admin API's route, straight at the port, and mixed."""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.conftest import HttpServer, Kong, Sidecar
from tests.support.admin_route import KEY, OPERATORS, WITH_KEY, Sent, filled_in, put_into_database, recorded_list
from tests.support.crud_world import shown
from tests.support.published import folded, same
from tests.support.waiting import until
from tests.unit.sources.changes.test_observer import CHANGES, REQUESTS

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

RECONCILING = {"crud_reconcile_seconds": 0.5, "crud_grace_seconds": 0.3}
RECORDED_CREDENTIAL = "33bc34f8-e273-4b3e-907a-a56f5ffff87e"
NOBODYS_CERTIFICATE = "/certificates/630188fa-d753-4058-8331-aece6ebc5408"
LISTED = {
    "acls": "acls", "basic-auths": "basicauth_credentials", "key-auths": "keyauth_credentials", "key-sets": "key_sets",
    **{name: name for name in ("consumers", "plugins", "routes", "services", "upstreams", "vaults")},
}  # fmt: skip
JSON = {"content-type": "application/json"}

Change = Callable[..., tuple[int, Any, dict[str, str]]]


@pytest.fixture
def routed(pg_kong: Kong, sidecar: Sidecar) -> Kong:
    """A Kong with the Admin API's route; ``begin`` has the sidecar look at it."""
    sidecar.start()  # Kong asks it for its plugins when it starts
    pg_kong.start()
    put_route(pg_kong, sidecar)
    return pg_kong


def put_route(kong: Kong, sidecar: Sidecar) -> None:
    def create(path: str, entity: dict[str, Any]) -> None:
        status, answer, _ = straight(kong, "POST", path, entity)
        assert status == 201, answer

    put_into_database(filled_in(kong.admin, sidecar.port), create)
    # A worker knows all of it from its start on; one that runs learns of it seconds after the other, which may answer.
    done = kong.run("restart", "-c", str(kong.conf), "-p", str(kong.prefix))
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: ask(kong, "GET", "/status")[0] == 200, "the route is there, with all that is on it")


def ask(kong: Kong, method: str, path: str, body: Any = None) -> tuple[int, Any, dict[str, str]]:
    """Send a request through the Admin API's route."""
    return kong.send(method, f"/admin{path}", body and json.dumps(body), {**JSON, **WITH_KEY}, admin=False)


def straight(kong: Kong, method: str, path: str, body: Any = None) -> tuple[int, Any, dict[str, str]]:
    """Send a request straight to the admin port."""
    return kong.send(method, path, body and json.dumps(body), JSON, admin=True)


def begin(sidecar: Sidecar, kong: Kong, receiver: HttpServer, **settings: object) -> None:
    """Have the sidecar poll Kong, make hooks for both sources, wait for the first reconciliation, which is silent."""
    sidecar.stop()
    sidecar.watch(kong, **settings)
    sidecar.start()
    hooks = [
        {"name": name, "source": source, "handler": "webhook", "config": {"url": f"http://127.0.0.1:{receiver.port}/"}}
        for name, source in (("to-crud", "crud"), ("to-dao", "dao:crud"))
    ]
    sidecar.make_hooks(*hooks)
    sidecar.reconciliations(1)


def listed(kong: Kong) -> list[tuple[str, dict[str, Any]]]:
    """Return every entity of the lists that matter here, with its schema; of a certificate there is none."""
    found = []
    for path, schema in LISTED.items():
        found += [(schema, entity) for entity in kong.admin_get(f"/{path}?size=1000")["data"]]
    upstreams = [entity["id"] for schema, entity in found if schema == "upstreams"]
    for upstream in upstreams:
        found += [("targets", entity) for entity in kong.admin_get(f"/upstreams/{upstream}/targets")["data"]]
    return found


def short(events: list[dict[str, Any]]) -> list[str]:
    return [shown(SimpleNamespace(data=event["data"])) for event in events]  # type: ignore[arg-type]


def send_recorded(send: Callable[..., tuple[int, Any, dict[str, str]]]) -> list[str]:
    """Send the recorded list, with the two requests around it; return each with Kong's status, as it was recorded."""
    requests = [Sent("GET", "/consumers", None, {}), *recorded_list(), Sent("DELETE", NOBODYS_CERTIFICATE, None, {})]
    return [f"{request.method} {request.path} {send(*request)[0]}" for request in requests]


def told_events(receiver: HttpServer) -> list[dict[str, Any]]:
    bodies = [json.loads(got["body"]) for got in list(receiver.requests)]
    return [body for body in bodies if body["event"] != "ping"]


def test_the_recorded_list_through_the_route_is_told_at_once_with_who_did_it(
    routed: Kong, sidecar: Sidecar, receiver: HttpServer
) -> None:
    begin(sidecar, routed, receiver, **RECONCILING)

    def send(method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        return routed.send(method, f"/admin{path}", body, {**headers, **WITH_KEY}, admin=False)

    said = send_recorded(send)
    # On the way through Kong, /event-hooks is the sidecar's own.
    assert [line for line in said if "/event-hooks" not in line] == [
        line for line in REQUESTS if "/event-hooks" not in line
    ]
    sidecar.reconciliations()
    reported = sidecar.events("dao:crud")
    credential = next(event["data"]["entity"]["id"] for event in reported if "key" in event["data"]["entity"])
    assert [line.replace(credential, RECORDED_CREDENTIAL) for line in short(reported)] == CHANGES
    assert [event["event"] for event in reported] == [change.split(":")[1].split()[0] for change in CHANGES]
    assert [event["event"] for event in sidecar.events("crud")] == [change.partition(":")[0] for change in CHANGES]
    for event in reported:
        actor = event["data"]["actor"]
        assert event["data"]["seen_by"] == "route"
        assert actor["consumer"]["username"] == OPERATORS
        assert actor["ip"] == "127.0.0.1"
        assert actor["user_agent"].startswith("Python-urllib")
        assert actor["credential"]
        assert actor["request_id"]
        assert "k1" not in actor["path"]
    until(lambda: len(told_events(receiver)) >= 2 * len(CHANGES), "each is delivered")
    assert len(told_events(receiver)) == 2 * len(CHANGES), "and delivered once"
    bodies = b"".join(got["body"] for got in receiver.requests)
    assert KEY.encode() not in bodies
    assert b'"k1"' not in bodies
    assert sidecar.poller("crud")["lost"] == {}


def test_straight_at_the_admin_port_rounds_tell_the_difference_once(
    routed: Kong, sidecar: Sidecar, receiver: HttpServer
) -> None:
    begin(sidecar, routed, receiver, **RECONCILING)
    before = known(routed, sidecar)
    said = send_recorded(lambda *request: routed.send(*request, admin=True))
    assert said == REQUESTS
    sidecar.reconciliations()
    reported = sidecar.events("dao:crud")
    assert {"consumers:create Ada Lovelace", "consumers:create newbie", "key_sets:create ks"} <= set(short(reported))
    assert {event["data"]["seen_by"] for event in reported} == {"reconciliation"}
    assert {event["data"]["actor"] for event in reported} == {None}
    same(folded(reported, before), listed(routed))
    sidecar.reconciliations()
    assert len(sidecar.events("dao:crud")) == len(reported), "nothing more"


def known(kong: Kong, sidecar: Sidecar) -> list[tuple[str, dict[str, Any]]]:
    """Return what Kong has before the test begins, secrets hidden as events would hide them."""
    return [
        (schema, {**entity, "key": "***"} if schema == "keyauth_credentials" else entity)
        for schema, entity in listed(kong)
    ]


def test_while_rounds_run_and_workers_change_what_the_route_tells_is_told_once(
    routed: Kong, sidecar: Sidecar, receiver: HttpServer
) -> None:
    begin(sidecar, routed, receiver, **RECONCILING)
    before = known(routed, sidecar)
    written: list[str] = []

    def write(method: str, path: str, body: Any = None) -> None:
        status, answer, headers = ask(routed, method, path, body)
        assert status < 300, answer
        written.append(headers["X-Kong-Request-Id"])

    began = sidecar.poller("crud")["reconciler"]["ended_at"]
    for number in range(25):
        name = f"mixed-{number}"
        if number in (8, 16):
            assert sidecar.process is not None
            sidecar.process.send_signal(signal.SIGHUP)  # old and new worker overlap over one mirror
        write("POST", "/consumers", {"username": name})
        write("PATCH", f"/consumers/{name}", {"custom_id": name})
        assert straight(routed, "POST", "/consumers", {"username": f"straight-{number}"})[0] == 201
        write("POST", f"/consumers/{name}/key-auth", {"key": f"{name}-key"})
        write("PUT", f"/consumers/{name}/key-auth/{name}-key", {"tags": ["put"]})
        if number % 3 == 0:
            write("DELETE", f"/consumers/{name}")
            assert straight(routed, "DELETE", f"/consumers/straight-{number}")[0] == 204
        else:
            assert straight(routed, "PATCH", f"/consumers/straight-{number}", {"custom_id": f"s{number}"})[0] == 200
    until(sidecar.ready, "the last worker is ready")
    sidecar.reconciliations()
    assert sidecar.poller("crud")["reconciler"]["ended_at"] > began
    reported = sidecar.events("dao:crud")
    by_route = [event for event in reported if event["data"]["seen_by"] == "route"]
    own = [event["data"]["actor"]["request_id"] for event in by_route if event["data"]["deleted_with"] is None]
    assert own == written
    assert Counter(event["data"]["deleted_with"] is None for event in by_route)[False] == 9, (
        "a credential with each delete"
    )
    same(folded(reported, before), listed(routed))
    mixed = [event for event in reported if event["data"]["entity"].get("username", "").startswith("mixed-")]
    assert {event["data"]["seen_by"] for event in mixed} == {"route"}


def test_a_sidecar_that_was_there_before_kong_tells_the_first_change_at_once(
    pg_kong: Kong, sidecar: Sidecar, tmp_path: Path
) -> None:
    """As it is at a first start: Kong asks the sidecar for its plugins, so that one is there first."""
    hook = {"name": "declared", "source": "dao:crud", "handler": "log"}
    file = tmp_path / "hooks.yml"
    file.write_text(
        json.dumps({"_format_version": "3.0", "plugins": [{"name": "event-hooks", "config": {"hooks": [hook]}}]})
    )
    sidecar.watch(pg_kong, kong_yml=file, crud_reconcile_seconds=3600)
    sidecar.start()
    until(lambda: sidecar.poller("crud")["reconciler"]["error"], "the first reconciliation fails: there is no Kong")
    pg_kong.start()
    put_route(pg_kong, sidecar)
    assert ask(pg_kong, "POST", "/consumers", {"username": "first"})[0] == 201
    until(lambda: "consumers:create first" in short(sidecar.events("dao:crud")), "it is reported before the next hour")


def test_what_changed_while_the_sidecar_was_away_is_told_once_after_its_start(
    routed: Kong, sidecar: Sidecar, receiver: HttpServer
) -> None:
    begin(sidecar, routed, receiver, **RECONCILING)
    assert ask(routed, "POST", "/consumers", {"username": "reported-before"})[0] == 201
    until(lambda: len(sidecar.events("dao:crud")) == 1, "the first change is reported")
    assert sidecar.stop() == 0
    send_recorded(lambda *request: routed.send(*request, admin=True))
    assert straight(routed, "PATCH", "/consumers/reported-before", {"custom_id": "away"})[0] == 200
    assert ask(routed, "POST", "/consumers", {"username": "answered-500"})[0] == 500, "made all the same"
    sidecar.start()
    sidecar.reconciliations()
    wanted = [
        "consumers:create Ada Lovelace", "consumers:create answered-500", "consumers:create newbie",
        "consumers:update reported-before (custom_id)", "key_sets:create ks", "vaults:create env",
    ]  # fmt: skip
    reported = sidecar.events("dao:crud")[1:]
    assert sorted(short(reported)) == wanted
    assert sidecar.stop() == 0
    sidecar.start()
    sidecar.reconciliations()
    assert len(sidecar.events("dao:crud")) == 1 + len(wanted), "nothing more"


def test_killed_in_a_burst_every_create_is_told_once(routed: Kong, sidecar: Sidecar, receiver: HttpServer) -> None:
    begin(sidecar, routed, receiver, crud_reconcile_seconds=1, crud_grace_seconds=0.5)
    creates, answers, lock = 200, dict[str, tuple[int, str | None]](), threading.Lock()

    def create(number: int) -> None:
        name = f"burst-{number}"
        status, _, headers = ask(routed, "POST", "/consumers", {"username": name})
        with lock:
            answers[name] = (status, headers.get("X-Kong-Request-Id"))

    with ThreadPoolExecutor(4) as pool:
        for number in range(creates):
            pool.submit(create, number)
        until(lambda: len(answers) >= 50, "a part of the burst", pace=0.002)
        os.kill(sidecar.worker_pid(), signal.SIGKILL)
        until(lambda: len(answers) >= 110, "more of the burst", pace=0.002)
        kill_all_of(sidecar)
        sidecar.start()
    assert len(answers) == creates
    assert {status for status, _ in answers.values()} <= {201, 500}, "made, though answered 500 while nobody listened"
    sidecar.reconciliations()
    reported = sidecar.events("dao:crud")
    counts = Counter(event["data"]["entity"]["username"] for event in reported)
    assert counts == dict.fromkeys(answers, 1)
    assert {event["event"] for event in reported} == {"create"}
    who = {event["data"]["entity"]["username"]: event["data"]["actor"] for event in reported}
    seen = [name for name, (status, _) in answers.items() if status == 201 and who[name] is not None]
    assert [who[name]["request_id"] for name in seen] == [answers[name][1] for name in seen]
    answered = [name for name, (status, _) in answers.items() if status == 201]
    print(f"{len(answered)} of {creates} answered 201, {len(seen)} of them reported with who did it")
    # Answered means that the sidecar has it in memory: what two kills caught there a reconciliation reports.
    assert len(seen) >= len(answered) - 20
    assert sorted(event["data"]["entity"]["username"] for event in sidecar.events("crud")) == sorted(counts)


def kill_all_of(sidecar: Sidecar) -> None:
    """End supervisor and worker as a machine's reset would."""
    assert sidecar.process is not None
    worker = sidecar.worker_pid()
    sidecar.process.kill()
    os.kill(worker, signal.SIGKILL)
    sidecar.process.wait()
