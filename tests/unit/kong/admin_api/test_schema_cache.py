"""Knowledge of a Kong that answers with recorded schemas: what it is asked for, and what is kept when it is away."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.kong.admin_api import schema_cache as module
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.kong.admin_api.schema_cache import RECHECK_SECONDS, SCHEMA_NOTE, SchemaCache
from kong_eventhooks_plugin.storage.notes import NoteStore
from tests.support.kong_shape import CAPTURES, KEY, endpoint_paths, plugin, plugin_schemas, read, recorded, schemas

NONE = {"message": "Not found"}
WHICH_KONG = ["/status", "/plugins/enabled", "/endpoints"]
"""What each refresh asks for."""


class Time:
    """Seconds that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def without_its_own_name(_: web.Request, response: web.StreamResponse) -> None:
    """Send the header ``Server`` only where the test names one."""
    if response.headers["Server"].startswith("Python"):
        del response.headers["Server"]


class Kong:
    """Answers what distinguishes one Kong from another, and /schemas; not ``/``. ``broken`` is path -> status."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: dict[str, int] = {"/": 500}
        self.server_header: str | None = "kong/3.9.1"
        self.enabled: list[str] = list(read(CAPTURES / "pg-plugins_enabled.json")["enabled_plugins"])
        self.answers: dict[str, Any] = {"/endpoints": {"data": endpoint_paths()}}
        self.answers["/plugins/enabled"] = {"enabled_plugins": self.enabled}
        self.answers["/status"] = read(CAPTURES / "pg-status.json")
        self.answers |= {f"/schemas/{name}": schema for name, schema in schemas().items()}
        self.answers |= {f"/schemas/plugins/{name}": schema for name, schema in plugin_schemas().items()}
        app = web.Application()
        app.on_response_prepare.append(without_its_own_name)
        app.router.add_get("/{path:.*}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path in self.broken:
            return web.json_response(NONE, status=self.broken[request.path])
        answer = self.answers.get(request.path)
        headers = {} if self.server_header is None else {"Server": self.server_header}
        return web.json_response(answer or NONE, status=200 if answer else 404, headers=headers)

    def have_workers(self, *pids: int) -> None:
        """Run by these processes from now on."""
        self.answers["/status"]["memory"]["workers_lua_vms"] = [{"pid": pid} for pid in pids]

    def upgrade(self, plugin: str) -> None:
        """Give a plugin's config a secret that it did not have, under the same name and version of Kong."""
        path = f"/schemas/plugins/{plugin}"
        schema = json.loads(json.dumps(self.answers[path]))
        config = next(field["config"] for field in schema["fields"] if "config" in field)
        config["fields"].append({"fresh": {"type": "string", "encrypted": True}})
        self.answers[path] = schema


@pytest.fixture
async def kong() -> AsyncIterator[Kong]:
    kong = Kong()
    await kong.server.start_server()
    yield kong
    await kong.server.close()


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[NoteStore]:
    notes = NoteStore(tmp_path / "gateway.db")
    await notes.open()
    yield notes
    await notes.close()


@pytest.fixture
async def client(kong: Kong) -> AsyncIterator[AdminClient]:
    async with AdminClient(AdminSettings(url=str(kong.server.make_url("/")))) as client:
        yield client


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
async def knowledge(client: AdminClient, notes: NoteStore, clock: Time) -> SchemaCache:
    made = SchemaCache(client, notes, lambda: KEY, timer=clock)
    await made.open()
    return made


async def test_nothing_known_at_first(knowledge: SchemaCache) -> None:
    assert knowledge.endpoints().lists() == ()
    assert not knowledge.entities().has_schema("consumers", {})


async def test_the_first_refresh(kong: Kong, knowledge: SchemaCache) -> None:
    assert await knowledge.refresh()
    assert ("keyauth_credentials", "/key-auths") in knowledge.endpoints().lists()
    assert "tags" not in dict(knowledge.endpoints().lists())
    assert all(knowledge.entities().has_schema(schema, {}) for schema in schemas() if schema != "plugins")
    assert await knowledge.learn("plugins", plugin("http-log"))
    assert kong.asked.count("/schemas/key") == 1, "in braces too; Kong has no schema for it"
    assert len(kong.asked) == len(set(kong.asked)), "nothing is asked twice"
    assert "/" not in kong.asked, "where Kong starts the plugin server, it answers 500"


async def test_a_second_refresh_asks_which_kong_it_is(kong: Kong, knowledge: SchemaCache, clock: Time) -> None:
    await knowledge.refresh()
    await knowledge.learn("plugins", plugin("http-log"))
    kong.asked.clear()
    clock.now += RECHECK_SECONDS - 1
    assert not await knowledge.refresh()
    assert kong.asked == WHICH_KONG
    assert knowledge.entities().has_schema("plugins", plugin("http-log"))


async def test_kept_while_kong_is_away(
    kong: Kong, knowledge: SchemaCache, client: AdminClient, notes: NoteStore
) -> None:
    await knowledge.refresh()
    await knowledge.learn("plugins", plugin("http-log"))
    await kong.server.close()
    with pytest.raises(AdminApiError):
        await knowledge.refresh()
    other = SchemaCache(client, notes, lambda: KEY)
    await other.open()
    assert other.endpoints().lists() == knowledge.endpoints().lists() != ()
    entity = plugin("http-log")
    assert other.entities().mask("plugins", entity) == knowledge.entities().mask("plugins", entity)
    assert other.entities().rules("plugins", entity) == knowledge.entities().rules("plugins", entity)


@pytest.mark.parametrize("change", ["version", "edition", "no version", "plugin", "no plugin", "paths"])
async def test_from_another_kong_everything_is_fetched(kong: Kong, knowledge: SchemaCache, change: str) -> None:
    await knowledge.refresh()
    await knowledge.learn("plugins", plugin("http-log"))
    versions = {"version": "kong/3.10.0", "edition": "kong/3.9.1.0-enterprise-edition", "no version": None}
    kong.server_header = versions.get(change, kong.server_header)
    if change == "plugin":
        kong.enabled.append("home-made")
    if change == "no plugin":
        kong.enabled.remove("key-auth")
    kong.answers["/endpoints"] = {"data": [*endpoint_paths(), "/things", "/things/{things}"]}
    kong.answers["/schemas/things"] = {"fields": [{"id": {"type": "string", "uuid": True}}]}
    assert await knowledge.refresh()
    assert ("things", "/things") in knowledge.endpoints().lists()
    assert kong.asked.count("/schemas/consumers") == 2
    assert kong.asked.count("/schemas/plugins/http-log") == 2
    assert kong.asked.count("/schemas/plugins/session") == 0, "no entity of it was met"


async def test_what_another_kong_cannot_return_is_dropped(kong: Kong, knowledge: SchemaCache) -> None:
    await knowledge.refresh()
    await knowledge.learn("plugins", plugin("http-log"))
    kong.server_header = "kong/3.10.0"
    kong.broken |= {"/schemas/consumers": 500, "/schemas/plugins/http-log": 500}
    await knowledge.refresh()
    assert not knowledge.entities().has_schema("consumers", {})
    assert not knowledge.entities().has_schema("plugins", plugin("http-log"))
    kong.broken.clear()
    await knowledge.refresh()
    assert knowledge.entities().has_schema("consumers", {})
    assert await knowledge.learn("plugins", plugin("http-log"))


@pytest.mark.parametrize("header", [None, "nginx", "", "kong", "kong/"])
async def test_without_a_version_the_rest_identifies_the_kong(
    kong: Kong, knowledge: SchemaCache, header: str | None
) -> None:
    kong.server_header = header
    await knowledge.refresh()
    kong.asked.clear()
    assert not await knowledge.refresh()
    assert kong.asked == WHICH_KONG
    kong.enabled.append("home-made")
    assert await knowledge.refresh()
    assert "/schemas/consumers" in kong.asked


def shown(knowledge: SchemaCache, **config: Any) -> Any:
    """Return what is shown of the config of a http-log."""
    entity = plugin("http-log")
    entity["config"] |= config
    return knowledge.entities().mask("plugins", entity).shown["config"]


@pytest.mark.parametrize("sign", ["workers", "time", "start"])
async def test_a_plugin_upgraded_under_its_name_is_noticed(
    kong: Kong, client: AdminClient, notes: NoteStore, knowledge: SchemaCache, clock: Time, sign: str
) -> None:
    kong.have_workers(11, 12)
    await knowledge.refresh()
    await knowledge.learn("plugins", plugin("http-log"))
    rules = knowledge.entities().rules("plugins", plugin("http-log"))
    kong.upgrade("http-log")
    assert not await knowledge.refresh(), "nothing says so yet"
    assert shown(knowledge, fresh="x") == {**shown(knowledge), "fresh": "***"}, "and nothing leaks meanwhile"
    kong.asked.clear()
    if sign == "workers":
        kong.have_workers(12, 13)
    if sign == "time":
        clock.now += RECHECK_SECONDS
    if sign == "start":
        knowledge = SchemaCache(client, notes, lambda: KEY, timer=clock)
        await knowledge.open()
    assert await knowledge.refresh()
    assert knowledge.entities().rules("plugins", plugin("http-log")) != rules
    assert shown(knowledge, fresh="x") == {**shown(knowledge), "fresh": "***"}
    assert len(kong.asked) == len(set(kong.asked)) > 20, "everything, once"
    kong.asked.clear()
    assert not await knowledge.refresh()
    assert kong.asked == WHICH_KONG


async def test_an_open_field_that_became_a_secret_is_hidden_once_workers_are_others(
    kong: Kong, knowledge: SchemaCache
) -> None:
    await knowledge.refresh()
    await knowledge.learn("plugins", plugin("http-log"))
    assert shown(knowledge)["method"] == "POST"
    schema = json.loads(json.dumps(kong.answers["/schemas/plugins/http-log"]))
    config = next(field["config"] for field in schema["fields"] if "config" in field)
    next(field["method"] for field in config["fields"] if "method" in field)["encrypted"] = True
    kong.answers["/schemas/plugins/http-log"] = schema
    kong.have_workers(1)
    await knowledge.refresh()
    assert shown(knowledge)["method"] == "***"


async def test_what_a_restarted_kong_cannot_return_yet_is_known_as_before(kong: Kong, knowledge: SchemaCache) -> None:
    await knowledge.refresh()
    await knowledge.learn("plugins", plugin("http-log"))
    kong.have_workers(1)
    kong.broken |= {"/schemas/consumers": 500, "/schemas/plugins/http-log": 500}
    assert not await knowledge.refresh()
    assert knowledge.entities().has_schema("consumers", {})
    assert knowledge.entities().has_schema("plugins", plugin("http-log"))
    kong.broken, kong.asked[:] = {}, []
    assert not await knowledge.refresh()
    assert kong.asked == [*WHICH_KONG, "/schemas/consumers", "/schemas/plugins/http-log"]


async def test_a_schema_that_is_missing_after_a_restart_is_dropped(kong: Kong, knowledge: SchemaCache) -> None:
    await knowledge.refresh()
    await knowledge.learn("plugins", plugin("http-log"))
    kong.have_workers(1)
    del kong.answers["/schemas/plugins/http-log"]
    assert await knowledge.refresh()
    assert not knowledge.entities().has_schema("plugins", plugin("http-log"))


async def test_a_refresh_that_was_cut_short_is_begun_again(kong: Kong, knowledge: SchemaCache) -> None:
    await knowledge.refresh()
    kong.have_workers(1)
    kong.broken = {"/endpoints": 500}
    with pytest.raises(AdminApiError):
        await knowledge.refresh()
    kong.broken, kong.asked[:] = {}, []
    assert not await knowledge.refresh()
    assert "/schemas/consumers" in kong.asked


async def test_nodes_behind_one_address_each_answer_once(kong: Kong, knowledge: SchemaCache) -> None:
    for _ in range(3):
        for node in (1, 2, 3):
            kong.have_workers(node, node + 10)
            await knowledge.refresh()
    assert kong.asked.count("/schemas/consumers") == 3


async def test_workers_that_are_not_listed_yet_are_waited_for(kong: Kong, knowledge: SchemaCache) -> None:
    """Seen on a real Kong: for seconds after a reload /status lists no worker."""
    kong.have_workers(11, 12)
    await knowledge.refresh()
    for told, asked in (((), 1), ((13,), 2), ((13, 14), 3), ((14, 13), 3), ((), 3)):
        kong.have_workers(*told)
        await knowledge.refresh()
        assert kong.asked.count("/schemas/consumers") == asked


async def test_a_plugin_that_comes_into_use(kong: Kong, knowledge: SchemaCache) -> None:
    await knowledge.refresh()
    assert not knowledge.entities().has_schema("plugins", plugin("http-log"))
    kong.asked.clear()
    assert await knowledge.learn("plugins", plugin("http-log"))
    assert kong.asked == ["/schemas/plugins/http-log"]
    assert knowledge.entities().has_schema("plugins", plugin("http-log"))


async def test_learning_a_plugin(kong: Kong, knowledge: SchemaCache) -> None:
    await knowledge.refresh()
    kong.asked.clear()
    assert await knowledge.learn("plugins", plugin("http-log"))
    assert await knowledge.learn("plugins", plugin("http-log"))
    assert kong.asked == ["/schemas/plugins/http-log"]


async def test_learning_an_entity_before_any_refresh(kong: Kong, knowledge: SchemaCache) -> None:
    assert await knowledge.learn("consumers", recorded("consumers")[0])
    assert kong.asked == ["/schemas/consumers"]
    assert await knowledge.refresh(), "the rest is asked for"
    assert knowledge.endpoints().lists()


@pytest.mark.parametrize("name", ["home-made", "../../config", "a/b?c", "x" * 101, 5, None, "é"])
async def test_what_kong_lacks_is_fetched_once(kong: Kong, knowledge: SchemaCache, name: Any) -> None:
    await knowledge.refresh()
    kong.asked.clear()
    for _ in range(2):
        assert not await knowledge.learn("plugins", {"name": name})
    assert kong.asked == (["/schemas/plugins/home-made"] if name == "home-made" else [])
    kong.answers["/schemas/plugins/home-made"] = {"fields": []}
    kong.server_header = "kong/3.10.0"
    await knowledge.refresh()
    assert await knowledge.learn("plugins", {"name": name}) == (name == "home-made")


async def test_a_schema_that_kong_cannot_return_now(kong: Kong, knowledge: SchemaCache) -> None:
    kong.broken = {"/schemas/consumers": 500, "/schemas/plugins/http-log": 403}
    assert await knowledge.refresh()
    assert not knowledge.entities().has_schema("consumers", {})
    assert knowledge.entities().has_schema("services", {})
    assert not await knowledge.learn("plugins", plugin("http-log"))
    kong.broken, kong.asked[:] = {}, []
    assert await knowledge.refresh()
    assert await knowledge.learn("plugins", plugin("http-log"))
    assert kong.asked == [*WHICH_KONG, "/schemas/consumers", "/schemas/plugins/http-log"]
    assert knowledge.entities().has_schema("consumers", {})


async def test_no_more_schemas_than_there_may_be(
    kong: Kong, knowledge: SchemaCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SCHEMAS", 5)
    await knowledge.refresh()
    assert len(kong.asked) == len(WHICH_KONG) + 5
    assert not await knowledge.learn("plugins", plugin("http-log"))
    assert len(kong.asked) == len(WHICH_KONG) + 5


@pytest.mark.parametrize("path", WHICH_KONG)
async def test_without_its_paths_nothing_changes(kong: Kong, knowledge: SchemaCache, path: str) -> None:
    await knowledge.refresh()
    before = knowledge.endpoints().lists()
    kong.server_header = "kong/3.10.0"
    kong.broken = {path: 500}
    with pytest.raises(AdminApiError):
        await knowledge.refresh()
    assert knowledge.endpoints().lists() == before


@pytest.mark.parametrize("path", ["/status", "/plugins/enabled"])
@pytest.mark.parametrize("told", [5, None, {}, [], [5, None, {"pid": "x"}]])
async def test_answers_with_little_in_them(kong: Kong, knowledge: SchemaCache, path: str, told: Any) -> None:
    kong.answers[path] = {"memory": {"workers_lua_vms": told}, "enabled_plugins": told}
    assert await knowledge.refresh()
    assert knowledge.endpoints().lists()
    kong.asked.clear()
    assert not await knowledge.refresh()
    assert kong.asked == WHICH_KONG


async def test_a_status_without_its_memory(kong: Kong, knowledge: SchemaCache) -> None:
    kong.answers["/status"] = {"memory": 5}
    assert await knowledge.refresh()


async def test_notes_that_cannot_be_read(client: AdminClient, notes: NoteStore) -> None:
    await notes.put(SCHEMA_NOTE, b"{")
    made = SchemaCache(client, notes, lambda: KEY)
    await made.open()
    assert made.endpoints().lists() == ()
    assert await made.refresh()


async def test_notes_that_are_away(client: AdminClient, notes: NoteStore) -> None:
    await notes.close()
    made = SchemaCache(client, notes, lambda: KEY)
    await made.open()
    assert await made.refresh()
    assert made.endpoints().lists()


async def test_no_default_is_kept(knowledge: SchemaCache, notes: NoteStore) -> None:
    await knowledge.refresh()
    for name in plugin_schemas():
        assert await knowledge.learn("plugins", {"name": name})
    kept = await notes.get(SCHEMA_NOTE)
    assert kept is not None
    assert b'"default":' not in kept
    assert len(kept) < 60_000
