"""The stand-in of the Admin API, against what a real Kong answered: the recorded requests, and probes of its own."""

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tests.support.admin_node import AdminNode, Faults, PageAsk
from tests.support.admin_schemas import CAPTURES
from tests.support.http import http_client
from tests.support.recordings import recording
from tests.support.waiting import SECONDS

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MADE = re.compile(r"[0-9A-Za-z]{32}")
CHANGING = {"created_at", "updated_at", "password", "offset", "next", "node_id"}


@pytest.fixture
async def node() -> AsyncIterator[AdminNode]:
    async with AdminNode() as node:
        yield node


@pytest.fixture
async def client(node: AdminNode) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(node.url) as client:
        yield client


def same(value: Any) -> Any:
    """Return what must be the same in two runs: without ids, times and hashes; a list's order is of ids."""
    if isinstance(value, dict):
        if isinstance(value.get("offset"), str):
            value = value | {"data": len(value["data"])}  # which entities come first, their ids decide
        kept = {name: what for name, what in value.items() if name != "request_id"}
        return {name: bool(what) if name in CHANGING else same(what) for name, what in kept.items()}
    if isinstance(value, list):
        return sorted((same(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return MADE.sub("<made>", UUID.sub("<id>", value)) if isinstance(value, str) else value


def requests_of_the_recording() -> list[tuple[str, str, dict[str, str], bytes]]:
    found = []
    for line in (CAPTURES / "admin-crud.requests.txt").read_text().splitlines():
        if line.startswith("r "):
            _, method, path, *options = shlex.split(line)
            values = [options[at + 1] for at, option in enumerate(options) if option == "-d"]
            headers = {"content-type": "application/json" if "-H" in options else "application/x-www-form-urlencoded"}
            found.append((method, path, headers if values else {}, "&".join(values).encode()))
    return found


def answers_of_the_recording() -> list[tuple[str, str, int, Any]]:
    answers = []
    for call in recording("admin-crud"):
        if call.phase == "response" and call.plugin == "event-hooks-crud":
            said = call.pdk
            body = said.get("kong.service.response.get_raw_body")
            path = unquote(str(said["kong.request.get_path_with_query"])).removeprefix("/admin")
            answers.append(
                (said["kong.request.get_method"], path, said["kong.response.get_status"], json.loads(body or "null"))
            )
    return answers


async def play(node: AdminNode, client: httpx.AsyncClient) -> list[tuple[str, str, int, Any]]:
    got = []
    for method, path, headers, body in requests_of_the_recording():
        answer = await client.request(method, path, headers=headers, content=body)
        got.append((method, unquote(path), answer.status_code, answer.json() if answer.content else None))
    return got


async def test_the_recorded_requests_get_the_recorded_answers(node: AdminNode, client: httpx.AsyncClient) -> None:
    node.health.new_are_unbalanced = True
    recorded = answers_of_the_recording()[1:-1]  # without a read before the list and a delete after it
    got = await play(node, client)
    assert len(got) == len(recorded) == 42
    for ours, kongs in zip(got, recorded, strict=True):
        assert ours[:3] == kongs[:3]
        if ours[1] == "/endpoints":
            assert set(kongs[3]["data"]) <= set(ours[3]["data"]), "more plugins, more entities"
        elif ours[1] != "/status":
            assert same(ours[3]) == same(kongs[3]), ours[:2]


def probes() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CAPTURES / "admin-node" / "probes.jsonl").read_text().splitlines()]


async def test_probes_get_what_a_real_kong_said(client: httpx.AsyncClient) -> None:
    for probe in probes():
        answer = await client.request(probe["method"], probe["path"], json=probe["body"])
        said = answer.json() if answer.content else None
        asked = (probe["method"], probe["path"], probe["body"])
        assert answer.status_code == probe["status"], (asked, said)
        assert same(said) == same(probe["answer"]), asked


def recorded(name: str) -> Any:
    return json.loads((CAPTURES / "admin-api" / name).read_text())


def shape(value: Any) -> Any:
    """Return the names of every field and the types of what is in them; null goes with anything."""
    if isinstance(value, dict):
        return {name: shape(what) for name, what in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None if value is None else type(value).__name__


LISTS = [
    "acls", "basic-auths", "ca_certificates", "certificates", "consumers", "key-auths", "key-sets", "keys", "plugins",
    "plugins_enabled", "routes", "services", "snis", "status", "tags", "targets", "upstreams", "vaults",
]  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
async def test_lists_have_the_recorded_shapes(node: AdminNode, client: httpx.AsyncClient, name: str) -> None:
    for row in recorded("pg-consumers.json")["data"]:
        node.behind.create("consumers", **row)
    service = node.behind.create("services", name="admin-api", host="127.0.0.1", port=8101)
    route = node.behind.create("routes", name="admin-api", paths=["/admin"], service={"id": service["id"]})
    node.behind.create("key_sets", name="ks")
    node.behind.create("vaults", name="env", prefix="myenv", config={"prefix": "X"})
    node.behind.create("plugins", name="cors", route={"id": route["id"]})
    if name in ("acls", "basic-auths", "certificates", "key-auths", "keys", "snis", "tags", "upstreams"):
        assert recorded(f"pg-{name}.json") == (await client.get(f"/{name}")).json()
        return
    ours = (await client.get("/" + name.replace("_enabled", "/enabled"))).json()
    kongs = recorded(f"pg-{name}.json")
    if name in ("plugins", "targets"):
        ours, kongs = (sorted(answer.get("data", [answer])[0]) for answer in (ours, kongs))
    assert same(shape(ours)) == same(shape(kongs))


async def test_a_page_looks_as_kongs(node: AdminNode, client: httpx.AsyncClient) -> None:
    for name in ("Ada Lovelace", "newbie"):
        node.behind.create("consumers", username=name)
    (first,) = (await client.get("/consumers?size=1")).json()["data"]
    page = (await client.get("/consumers?size=1")).json()
    kongs = recorded("pg-consumers-page1.json")
    assert page["next"] == f"/consumers?offset={page['offset']}&size=1"
    assert kongs["next"] == f"/consumers?offset={kongs['offset']}&size=1"
    (second,) = (await client.get(page["next"])).json()["data"]
    assert first["id"] < second["id"]
    assert (await client.get(page["next"])).json()["next"] is None


async def test_a_dbless_node_loads_a_document_and_renews_what_kong_renews() -> None:
    document = {
        "_format_version": "3.0",
        "consumers": [{"username": "j", "keyauth_credentials": [{"key": "k"}], "acls": [{"group": "g"}]}],
        "services": [{"name": "s", "host": "h", "routes": [{"name": "r", "paths": ["/"]}, {"paths": ["/nameless"]}]}],
        "upstreams": [{"name": "u", "targets": [{"target": "127.0.0.1:1"}]}],
        "plugins": [{"name": "cors", "service": "s"}],
    }
    async with (
        AdminNode(dbless=True) as node,
        http_client(node.url) as client,
    ):
        status = (await client.get("/status")).json()
        assert shape(status) == shape(recorded("dbless-status.json"))
        first = await client.post("/config", json=document)
        assert first.status_code == 201
        moved = (await client.get("/status")).json()["configuration_hash"]
        assert moved != status["configuration_hash"]
        document["consumers"][0]["tags"] = ["x"]  # type: ignore[index] # it is a list
        second = await client.post("/config", json={"config": json.dumps(document)})
        kept = {name for name, rows in first.json().items() if set(rows) == set(second.json()[name])}
        assert kept == {"consumers", "services", "upstreams", "targets", "acls", "plugins"}
        assert (await client.post("/config?check_hash=1", json=document)).status_code == 304
        credential = (await client.get("/key-auths")).json()["data"][0]
        assert set(credential) == {"id", "created_at", "consumer", "key", "tags"}, "no ttl without a database"
        refused = await client.post("/config", json={"_format_version": "3.0", "consumers": [{"foo": 1}]})
        assert (refused.status_code, refused.json()["code"]) == (400, recorded("dbless-post-config-400.json")["code"])
        assert (await client.get("/consumers/j")).status_code == 200, "a refused document changes nothing"
        kongs = {"code": 12, "name": "operation unsupported"}
        made = await client.post("/consumers", json={"username": "x"})
        assert made.json() == kongs | {"message": "cannot create 'consumers' entities when not using a database"}
        gone = await client.delete("/consumers/j")
        assert gone.status_code == 405
        assert gone.json()["message"] == "cannot remove 'consumers' entities by 'username' when not using a database"
        assert (await client.delete("/consumers/nobody")).status_code == 204
        full = (await client.get("/upstreams?size=1")).json()
        assert (await client.get(full["next"])).json()["data"] == [], "a full page is followed by another"
        names = {"upstreams", "targets"}
        kongs_answer = recorded("dbless-post-config-201.json")
        for name in names:
            ours, theirs = (next(iter(answer[name].values())) for answer in (second.json(), kongs_answer))
            assert set(ours) == set(theirs)


async def test_a_put_sets_created_at_anew_a_patch_and_a_targets_put_keep_it() -> None:
    """A put upserts the whole entity; a target's updates it, as the probes show (their times differ)."""
    times = iter(range(100, 1_000, 100))
    async with AdminNode(clock=lambda: float(next(times))) as node, http_client(node.url) as client:
        times_of = [
            [(answer := (await client.request(method, path, json=body)).json())["created_at"], answer["updated_at"]]
            for method, path, body in (
                ("PUT", "/consumers/ada", {}),
                ("PATCH", "/consumers/ada", {"tags": ["x"]}),
                ("PUT", "/consumers/ada", {}),
                ("POST", "/upstreams", {"name": "u.test"}),
                ("POST", "/upstreams/u.test/targets", {"target": "127.0.0.1:9"}),
                ("PUT", "/upstreams/u.test/targets/127.0.0.1:9", {"weight": 7}),
            )
        ]
    assert [made < changed for made, changed in times_of] == [False, True, False, False, False, True]


async def test_health_is_what_the_test_sets(node: AdminNode, client: httpx.AsyncClient) -> None:
    checked = {"passive": {"unhealthy": {"tcp_failures": 1}}}
    upstream = node.behind.create("upstreams", name="up.local", healthchecks=checked)
    for target in ("127.0.0.1:9190", "127.0.0.1:9", "nowhere.invalid:9", "many.test:80"):
        node.behind.create("targets", upstream={"id": upstream["id"]}, target=target)
    node.health.set("up.local", "127.0.0.1", 9, "UNHEALTHY")
    node.health.resolve("up.local", "nowhere.invalid:9")
    node.health.resolve("up.local", "many.test:80", ("10.0.0.1", 80), ("10.0.0.2", 80))
    node.health.set("up.local", "10.0.0.2", 80, "UNHEALTHY")
    answer = (await client.get("/upstreams/up.local/health")).json()
    entries = {entry["target"]: entry for entry in answer["data"]}
    assert {name: entry["health"] for name, entry in entries.items()} == {
        "127.0.0.1:9190": "HEALTHY",
        "127.0.0.1:9": "UNHEALTHY",
        "nowhere.invalid:9": "DNS_ERROR",
        "many.test:80": "HEALTHY",
    }
    assert entries["nowhere.invalid:9"]["data"]["addresses"] == {}
    assert [at["health"] for at in entries["many.test:80"]["data"]["addresses"]] == ["HEALTHY", "UNHEALTHY"]
    for entry in recorded("dbless-upstreams_up.local_health.json")["data"]:
        assert shape(entries[entry["target"]]) == shape(entry)
    path = "/upstreams/up.local/targets/127.0.0.1:9190"
    assert (await client.put(f"{path}/unhealthy")).status_code == 204
    assert (await client.put(f"{path}/127.0.0.1:9190/healthy")).status_code == 204
    assert (await client.get("/upstreams/nowhere/health")).status_code == 404
    node.health.unbalanced.add("up.local")
    new = (await client.get("/upstreams/up.local/health")).json()["data"]
    assert all("health" not in entry and "data" not in entry for entry in new)


async def test_what_happens_behind_is_seen_and_not_counted(node: AdminNode, client: httpx.AsyncClient) -> None:
    ada = node.behind.create("consumers", username="ada")
    node.behind.create("keyauth_credentials", key="k", consumer={"id": ada["id"]})
    node.behind.change("consumers", "ada", custom_id="a1")
    assert (await client.get("/consumers/ada")).json()["custom_id"] == "a1"
    gone = node.behind.delete("consumers", "ada")
    assert [schema for schema, _ in gone] == ["keyauth_credentials", "consumers"]
    assert (await client.get("/key-auths")).json()["data"] == []
    assert node.requests == {"GET /consumers/ada": 1, "GET /key-auths": 1}


async def test_a_certificate_is_deleted_with_its_names(node: AdminNode, client: httpx.AsyncClient) -> None:
    given = {"cert": "c", "key": "k", "snis": ["x.test"]}
    made = (await client.post("/certificates", json=given)).json()
    assert made["snis"] == ["x.test"]
    assert (await client.get("/certificates/x.test")).json() == made
    assert (await client.delete(f"/certificates/{made['id']}")).status_code == 204
    assert (await client.get("/snis")).json()["data"] == []


async def test_a_hook_before_each_page_changes_what_comes_after(node: AdminNode, client: httpx.AsyncClient) -> None:
    node.behind.fill_consumers(3)
    asked: list[PageAsk] = []

    async def change(page: PageAsk) -> None:
        asked.append(page)
        if page.number == 2:
            node.behind.delete("consumers", last)

    last = (await client.get("/consumers")).json()["data"][-1]["id"]
    node.before_page = change
    page = (await client.get("/consumers?size=2")).json()
    assert (await client.get(page["next"])).json() == {"data": [], "next": None}
    assert asked == [PageAsk("/consumers", 1, 2, None), PageAsk("/consumers", 2, 2, page["offset"])]


async def test_faults(node: AdminNode, client: httpx.AsyncClient) -> None:
    node.faults = Faults(status=500, after=1, only="/consumers")
    statuses = [(await client.get(path)).status_code for path in ("/consumers", "/consumers", "/services")]
    assert statuses == [200, 500, 200]
    node.faults = Faults(token="t")
    assert (await client.get("/")).status_code == 401
    assert (await client.get("/", headers={"Kong-Admin-Token": "t"})).status_code == 200
    node.faults = Faults(cut_bytes=10)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/consumers")
    await client.put("/_faults", json={"page_seconds": 5.0})
    with pytest.raises(httpx.TimeoutException):
        await client.get("/consumers", timeout=0.05)
    node.faults = Faults()
    node.empty_lists_as_objects = True
    assert (await client.get("/consumers")).json() == {"data": {}, "next": None}


async def test_one_that_starts_the_plugin_server_answers_as_such_a_kong_does() -> None:
    async with (
        AdminNode(starts_plugin_server=True) as node,
        http_client(node.url) as client,
    ):
        answers = {path: await client.get(path) for path in ("/", "/status", "/plugins/enabled", "/endpoints")}
        assert [answer.status_code for answer in answers.values()] == [500, 200, 200, 200]
        assert {answer.headers["server"] for answer in answers.values()} == {"kong/3.9.1"}
        node.workers = [5, 6]
        workers = (await client.get("/status")).json()["memory"]["workers_lua_vms"]
        assert [worker["pid"] for worker in workers] == [5, 6]


async def test_it_stops_and_comes_back_with_everything(node: AdminNode, client: httpx.AsyncClient) -> None:
    node.behind.create("consumers", username="ada")
    await node.stop()
    with pytest.raises(httpx.ConnectError):
        await client.get("/consumers/ada")
    await node.start()
    assert (await client.get("/consumers/ada")).status_code == 200


async def test_enterprise_has_workspaces_admins_and_groups() -> None:
    async with (
        AdminNode(enterprise=True) as node,
        http_client(node.url) as client,
    ):
        assert (await client.post("/workspaces", json={"name": "team"})).status_code == 201
        assert (await client.post("/team/consumers", json={"username": "ada"})).status_code == 201
        assert (await client.get("/consumers/ada")).status_code == 404
        assert (await client.get("/team/consumers/ada")).status_code == 200
        assert (await client.get("/nowhere/consumers")).status_code == 404
        invited = await client.post("/admins", json={"username": "root", "email": "r@x.test"})
        assert invited.json()["admin"]["username"] == "root"
        await client.post("/consumer_groups", json={"name": "gold"})
        await client.post("/consumers", json={"username": "bob"})
        added = await client.post("/consumer_groups/gold/consumers", json={"consumer": "bob"})
        assert added.status_code == 201
        assert (await client.delete("/consumer_groups/gold/consumers/bob")).status_code == 204
        assert "/admins/{admins}" in (await client.get("/endpoints")).json()["data"]


@pytest.mark.long
async def test_a_hundred_thousand_consumers_are_there_at_once(node: AdminNode, client: httpx.AsyncClient) -> None:
    began = time.monotonic()
    node.behind.fill_consumers(100_000)
    page = (await client.get("/consumers?size=1000")).json()
    assert time.monotonic() - began < SECONDS
    assert len(page["data"]) == 1_000
    assert (await client.get("/consumers/consumer-99999")).status_code == 200


def test_it_runs_as_a_process() -> None:
    command = [sys.executable, "-m", "tests.support.admin_node", "--consumers", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert len(httpx.get(f"{url}/consumers", trust_env=False, timeout=SECONDS).json()["data"]) == 3
        finally:
            process.terminate()
