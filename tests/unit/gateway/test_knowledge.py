"""Knowledge of a Kong that answers with recorded schemas: what it is asked for, and what is kept when it is away."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.gateway.admin_client import AdminClient, AdminSettings
from kong_eventhooks_plugin.gateway.knowledge import NOTE, Knowledge
from kong_eventhooks_plugin.gateway.notes import Notes
from tests.support.kong_shape import KEY, SHAPE, endpoint_paths, plugin, plugin_schemas, read, recorded, schemas

NONE = {"message": "Not found"}


class Kong:
    """Answers /, /endpoints and /schemas; ``broken`` is path -> status."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: dict[str, int] = {}
        self.root: Any = read(SHAPE / "root.json")
        self.answers: dict[str, Any] = {"/endpoints": {"data": endpoint_paths()}}
        self.answers |= {f"/schemas/{name}": schema for name, schema in schemas().items()}
        self.answers |= {f"/schemas/plugins/{name}": schema for name, schema in plugin_schemas().items()}
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path in self.broken:
            return web.json_response(NONE, status=self.broken[request.path])
        answer = self.root if request.path == "/" else self.answers.get(request.path)
        return web.json_response(answer or NONE, status=200 if answer else 404)


@pytest.fixture
async def kong() -> AsyncIterator[Kong]:
    kong = Kong()
    await kong.server.start_server()
    yield kong
    await kong.server.close()


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[Notes]:
    notes = Notes(tmp_path / "gateway.db")
    await notes.open()
    yield notes
    await notes.close()


@pytest.fixture
async def client(kong: Kong) -> AsyncIterator[AdminClient]:
    async with AdminClient(AdminSettings(url=str(kong.server.make_url("/")))) as client:
        yield client


@pytest.fixture
async def knowledge(client: AdminClient, notes: Notes) -> Knowledge:
    made = Knowledge(client, notes, lambda: KEY)
    await made.open()
    return made


async def test_nothing_known_at_first(knowledge: Knowledge) -> None:
    assert knowledge.endpoints().lists() == ()
    assert not knowledge.entities().knows("consumers", {})


async def test_the_first_refresh(kong: Kong, knowledge: Knowledge) -> None:
    assert await knowledge.refresh()
    assert ("keyauth_credentials", "/key-auths") in knowledge.endpoints().lists()
    assert "tags" not in dict(knowledge.endpoints().lists())
    assert all(knowledge.entities().knows(schema, {}) for schema in schemas() if schema != "plugins")
    assert knowledge.entities().knows("plugins", plugin("http-log"))
    assert kong.asked.count("/schemas/key") == 1, "in braces too; Kong has no schema for it"
    assert len(kong.asked) == len(set(kong.asked)), "nothing is asked twice"


async def test_a_second_refresh_asks_one_thing(kong: Kong, knowledge: Knowledge) -> None:
    await knowledge.refresh()
    kong.asked.clear()
    assert not await knowledge.refresh()
    assert kong.asked == ["/"]


async def test_kept_while_kong_is_away(kong: Kong, knowledge: Knowledge, client: AdminClient, notes: Notes) -> None:
    await knowledge.refresh()
    await kong.server.close()
    with pytest.raises(AdminApiError):
        await knowledge.refresh()
    other = Knowledge(client, notes, lambda: KEY)
    await other.open()
    assert other.endpoints().lists() == knowledge.endpoints().lists() != ()
    entity = plugin("http-log")
    assert other.entities().hide("plugins", entity) == knowledge.entities().hide("plugins", entity)
    assert other.entities().rules("plugins", entity) == knowledge.entities().rules("plugins", entity)


@pytest.mark.parametrize("change", ["version", "plugin", "plugin's version"])
async def test_another_kong_is_asked_for_everything(kong: Kong, knowledge: Knowledge, change: str) -> None:
    await knowledge.refresh()
    available = kong.root["plugins"]["available_on_server"]
    if change == "version":
        kong.root["version"] = "3.10.0"
    else:
        available["home-made" if change == "plugin" else "key-auth"] = {"version": "9", "priority": 1}
    kong.answers["/endpoints"] = {"data": [*endpoint_paths(), "/things", "/things/{things}"]}
    kong.answers["/schemas/things"] = {"fields": [{"id": {"type": "string", "uuid": True}}]}
    assert await knowledge.refresh()
    assert ("things", "/things") in knowledge.endpoints().lists()
    assert kong.asked.count("/schemas/consumers") == 2


async def test_a_plugin_that_comes_into_use(kong: Kong, knowledge: Knowledge) -> None:
    kong.root["plugins"]["enabled_in_cluster"] = ["key-auth"]
    await knowledge.refresh()
    assert not knowledge.entities().knows("plugins", plugin("http-log"))
    kong.root["plugins"]["enabled_in_cluster"] = ["key-auth", "http-log"]
    kong.asked.clear()
    assert await knowledge.refresh()
    assert kong.asked == ["/", "/schemas/plugins/http-log"]
    assert knowledge.entities().knows("plugins", plugin("http-log"))


async def test_learning_a_plugin(kong: Kong, knowledge: Knowledge) -> None:
    kong.root["plugins"]["enabled_in_cluster"] = []
    await knowledge.refresh()
    kong.asked.clear()
    assert await knowledge.learn("plugins", plugin("http-log"))
    assert await knowledge.learn("plugins", plugin("http-log"))
    assert kong.asked == ["/schemas/plugins/http-log"]


async def test_learning_an_entity_before_any_refresh(kong: Kong, knowledge: Knowledge) -> None:
    assert await knowledge.learn("consumers", recorded("consumers")[0])
    assert kong.asked == ["/schemas/consumers"]
    assert await knowledge.refresh(), "the rest is asked for"
    assert knowledge.endpoints().lists()


@pytest.mark.parametrize("name", ["home-made", "../../config", "a/b?c", "x" * 101, 5, None, "é"])
async def test_what_kong_does_not_know_is_asked_for_once(kong: Kong, knowledge: Knowledge, name: Any) -> None:
    await knowledge.refresh()
    kong.asked.clear()
    for _ in range(2):
        assert not await knowledge.learn("plugins", {"name": name})
    assert kong.asked == (["/schemas/plugins/home-made"] if name == "home-made" else [])
    kong.answers["/schemas/plugins/home-made"] = {"fields": []}
    kong.root["version"] = "3.10.0"
    await knowledge.refresh()
    assert await knowledge.learn("plugins", {"name": name}) == (name == "home-made")


async def test_a_schema_that_kong_cannot_give_now(kong: Kong, knowledge: Knowledge) -> None:
    kong.broken = {"/schemas/consumers": 500, "/schemas/plugins/http-log": 403}
    assert await knowledge.refresh()
    assert not knowledge.entities().knows("consumers", {})
    assert knowledge.entities().knows("services", {})
    kong.broken, kong.asked[:] = {}, []
    assert await knowledge.refresh()
    assert sorted(kong.asked) == ["/", "/schemas/consumers", "/schemas/plugins/http-log"]
    assert knowledge.entities().knows("consumers", {})


@pytest.mark.parametrize("path", ["/", "/endpoints"])
async def test_without_its_paths_nothing_changes(kong: Kong, knowledge: Knowledge, path: str) -> None:
    await knowledge.refresh()
    before = knowledge.endpoints().lists()
    kong.root["version"] = "3.10.0"
    kong.broken = {path: 500}
    with pytest.raises(AdminApiError):
        await knowledge.refresh()
    assert knowledge.endpoints().lists() == before


@pytest.mark.parametrize("root", [{"version": None}, {"plugins": 5}, {"plugins": {"enabled_in_cluster": {}}}])
async def test_a_root_that_tells_little(kong: Kong, knowledge: Knowledge, root: Any) -> None:
    kong.root = root
    assert await knowledge.refresh()
    assert knowledge.endpoints().lists()


async def test_notes_that_cannot_be_read(client: AdminClient, notes: Notes) -> None:
    await notes.put(NOTE, b"{")
    made = Knowledge(client, notes, lambda: KEY)
    await made.open()
    assert made.endpoints().lists() == ()
    assert await made.refresh()


async def test_notes_that_are_away(client: AdminClient, notes: Notes) -> None:
    await notes.close()
    made = Knowledge(client, notes, lambda: KEY)
    await made.open()
    assert await made.refresh()
    assert made.endpoints().lists()


async def test_no_default_is_kept(knowledge: Knowledge, notes: Notes) -> None:
    await knowledge.refresh()
    kept = await notes.get(NOTE)
    assert kept is not None
    assert b'"default":' not in kept
    assert len(kept) < 60_000
