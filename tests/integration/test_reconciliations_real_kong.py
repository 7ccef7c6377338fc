"""Reconciliations on a real Kong without a database: what a load of its configuration makes, what traffic notices."""

import json
from typing import Any

import pytest

from tests.integration.conftest import HttpServer, Kong, Sidecar, traffic
from tests.support.admin_route import WITH_KEY, filled_in
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

RECONCILING = {"crud_reconcile_seconds": 0.5, "crud_grace_seconds": 0.2, "log_level": "debug"}
HOOKS = ("crud", "dao:crud")
CONSUMERS = 3_000


def ended(sidecar: Sidecar) -> list[str]:
    """Return the outcomes so far: ``done``, or ``same`` where the configuration's hash did not move."""
    lines = map(json.loads, sidecar.log.read_text().splitlines())
    return [line["outcome"] for line in lines if line["event"] == "reconciliation_finished"]


def reconciliation_done(sidecar: Sidecar, reconciliations: int) -> None:
    """Wait until a reconciliation is done that began after there were so many, and nothing is left to publish."""

    def done() -> bool:
        state = sidecar.poller("crud")
        return bool("done" in ended(sidecar)[reconciliations:] and state and not state["reconciler"]["outbox"])

    until(done, "a reconciliation is done, and what it found is reported")


def quiet(sidecar: Sidecar) -> None:
    """Wait until two more reconciliations had nothing to do: the configuration is the one that was listed last."""
    reconciliations = len(ended(sidecar))
    until(
        lambda: ended(sidecar)[reconciliations:].count("same") >= 2,
        "some find the configuration unmoved",
    )


def document(kong: Kong, sidecar: Sidecar, tag: str, **more: Any) -> dict[str, Any]:
    """Return kong-admin.yml beside two consumers with keys of which none has an id; one of the keys has the tag."""
    found = filled_in(kong.admin, sidecar.port)
    found["consumers"] += [
        {"username": "ada", "keyauth_credentials": [{"key": "ada-1", "tags": [tag]}, {"key": "ada-2"}]},
        {"username": "grace", "keyauth_credentials": [{"key": "grace-1"}], "acls": [{"group": "navy"}]},
    ]
    return found | more


def load(kong: Kong, name: str) -> tuple[int, Any, dict[str, str]]:
    """POST the declared file to /config through the Admin API's route."""
    body = json.dumps({"config": kong.declarative.read_text(), "name": name})
    return kong.send("POST", "/admin/config", body, {"content-type": "application/json", **WITH_KEY}, admin=False)


@pytest.fixture
def watched(kong: Kong, sidecar: Sidecar) -> Kong:
    sidecar.watch(kong, **RECONCILING)
    return kong


def start(kong: Kong, sidecar: Sidecar) -> None:
    """Start both and wait for the first reconciliation, which is silent."""
    sidecar.start()
    kong.start()
    sidecar.make_hooks(*({"name": f"to-{name[:3]}", "source": name, "handler": "log"} for name in HOOKS))
    reconciliation_done(sidecar, 0)
    quiet(sidecar)
    assert sidecar.events("dao:crud") == []


def test_a_new_configuration_with_one_tag_changed_is_one_update(watched: Kong, sidecar: Sidecar) -> None:
    kong = watched
    kong.declare(document(kong, sidecar, "one"))
    start(kong, sidecar)
    before = {each["id"] for each in kong.admin_get("/key-auths")["data"]}

    kong.declare(document(kong, sidecar, "two"))
    reconciliations = len(ended(sidecar))
    assert load(kong, "by-route")[0] == 201
    reconciliation_done(sidecar, reconciliations)
    quiet(sidecar)
    credentials = kong.admin_get("/key-auths")["data"]
    assert len(credentials) == 4
    (reported,) = sidecar.events("dao:crud")
    data = reported["data"]
    assert (reported["event"], data["schema"], data["changed"]) == ("update", "keyauth_credentials", ["tags"])
    assert (data["old_entity"]["tags"], data["entity"]["tags"]) == (["one"], ["two"])
    assert data["seen_by"] == "reconciliation"
    assert data["entity"]["id"] in {each["id"] for each in credentials}
    assert [event["event"] for event in sidecar.events("crud")] == ["keyauth_credentials"]

    kong.declare({"services": [{"name": "broken"}]})
    assert load(kong, "refused")[0] == 400
    quiet(sidecar)
    assert len(sidecar.events("dao:crud")) == 1, "nothing of a refused one"

    kong.declare(document(kong, sidecar, "two"))
    reconciliations = len(ended(sidecar))
    kong.reload()
    until(lambda: not {each["id"] for each in keys(kong)} & {each["id"] for each in credentials}, "every id is new")
    quiet(sidecar)
    assert len(sidecar.events("dao:crud")) == 1, "the same file read again is no change, though its ids are new"
    assert not before & {each["id"] for each in keys(kong)}

    changed = document(kong, sidecar, "three")
    changed["consumers"] = [each for each in changed["consumers"] if each["username"] != "grace"]
    kong.declare(changed)
    assert kong.post_config() == 201, "straight at the admin port"
    until(lambda: len(sidecar.events("dao:crud")) >= 5, "what differs from before the reload")
    quiet(sidecar)
    told_last = [event["data"] for event in sidecar.events("dao:crud")[1:]]
    assert sorted(f"{data['schema']}:{data['operation']}" for data in told_last) == [
        "acls:delete", "consumers:delete", "keyauth_credentials:delete", "keyauth_credentials:update",
    ]  # fmt: skip
    assert {(data["deleted_with"] or "").partition(":")[0] for data in told_last} == {"", "consumers"}


def keys(kong: Kong) -> list[dict[str, Any]]:
    try:
        return list(kong.admin_get("/key-auths")["data"])
    except OSError:  # it is reloading
        return []


def test_a_round_of_many_finds_nothing_and_traffic_goes_on(
    watched: Kong, sidecar: Sidecar, upstream: HttpServer
) -> None:
    kong = watched
    many = [{"username": f"c{number}", "keyauth_credentials": [{"key": f"k{number}"}]} for number in range(CONSUMERS)]
    service = {"name": "s", "url": f"http://127.0.0.1:{upstream.port}", "routes": [{"name": "r", "paths": ["/r"]}]}
    kong.declare({"consumers": many, "services": [service]})
    start(kong, sidecar)
    # The same entities from another text: the hash moves, every credential has a new id, nothing is different.
    kong.declarative.write_text(kong.declarative.read_text() + "\n# once more\n")
    reconciliations = len(ended(sidecar))
    with traffic(kong, "/r", per_second=50) as seen:
        assert kong.post_config() == 201
        reconciliation_done(sidecar, reconciliations)
    assert set(seen) == {200}
    assert seen[200] >= 10
    state = sidecar.poller("crud")["reconciler"]
    assert state["entities"]["consumers"] == state["entities"]["keyauth_credentials"] == CONSUMERS
    quiet(sidecar)
    assert sidecar.events("dao:crud") == []
