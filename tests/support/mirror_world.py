"""A Kong in memory beside a mirror of it: requests that take their time, observations that come late, paused rounds.

The Kong is the stand-in's store of entities (``admin_store``, checked against recordings) without HTTP. Time is a
number that the test moves; every request and every page takes some of it. A reconciliation runs as a task and stops in
the pause behind each page until it may go on, or in the middle of a page.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.kong.admin_api.client import AdminPage
from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules
from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.model import Actor, EntityChange, RouteChange
from kong_eventhooks_plugin.sources.changes.reconciler import Reconciler, ReconcilerSettings
from tests.support import kong_shape
from tests.support.admin_schemas import Schemas
from tests.support.admin_store import Store
from tests.support.clock import FakeClock

RULES: Final = kong_shape.rules()
SCHEMAS: Final = Schemas()
ENDPOINTS: Final = AdminEndpoints(kong_shape.endpoint_paths(), RULES.targets())
BEGAN: Final = 1_795_278_830.0
"""Unix seconds at which a world begins: a moment of the recordings."""
LISTED: Final = ("consumers", "keyauth_credentials", "acls")


class Shape:
    """What Knowledge knows, of the schemas that a test lists."""

    def __init__(self, schemas: tuple[str, ...] = LISTED, rules: EntityRules = RULES) -> None:
        self.rules = rules
        self.learnt: list[tuple[str, str | None]] = []
        self._schemas = schemas

    def endpoints(self) -> "Shape":
        return self

    def lists(self) -> tuple[tuple[str, str], ...]:
        return tuple(each for each in ENDPOINTS.lists() if each[0] in self._schemas)

    def nested(self, schema: str) -> tuple[tuple[str, str], ...]:
        return ENDPOINTS.nested(schema)

    def entities(self) -> EntityRules:
        return self.rules

    async def refresh(self) -> bool:
        return False

    async def learn(self, schema: str, entity: Mapping[str, Any]) -> bool:
        self.learnt.append((schema, entity.get("name")))
        return False


class Kong:
    """Answers from the store; ``at_page`` is called before a page is read and may wait or raise.

    The ids that it gives, which are the order of its pages, are the same in every run.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        bits = Random(0).getrandbits
        self.store = Store(SCHEMAS, clock, new_id=lambda: UUID(int=bits(128), version=4))
        self.configuration_hash: str | None = None
        self.asked: list[str] = []
        self.at_page: Callable[[str], Any] | None = None
        self._paths = {path: schema for schema, path in ENDPOINTS.lists()}

    async def get(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        assert path == "/status"
        return {} if self.configuration_hash is None else {"configuration_hash": self.configuration_hash}

    async def page(self, path: str, size: int, offset: str | None = None) -> AdminPage:
        self.asked.append(path)
        if self.at_page is not None:
            await self.at_page(path)
        schema = self._paths.get(path)
        if schema is None:
            raise AdminApiError(f"{path}: answered 404", 404)
        found = self.store.page(schema, size, offset or "")
        return AdminPage([self.store.shown(schema, row) for row in found.entities], found.last)

    def shown(self, schema: str, key: str) -> dict[str, Any] | None:
        row = self.store.find(schema, key)
        return None if row is None else self.store.shown(schema, row)


class Request(NamedTuple):
    """One request through the route that Kong took: what the observation of it is made of."""

    method: str
    path: str
    entity: dict[str, Any] | None
    started_at: float
    seen_at: float
    number: int = 0


def place_of(path: str) -> EntityPath:
    place = ENDPOINTS.resolve(path)
    assert place is not None, path
    return place


def observation(request: Request) -> RouteChange:
    place = place_of(request.path)
    actor = Actor(request.method, place.masked, request_id=f"request-{request.number}" if request.number else None)
    return RouteChange(place, request.method, request.entity, actor, request.started_at, request.seen_at)


class Gate:
    """Where a reconciliation waits until it is let go on."""

    def __init__(self) -> None:
        self._open: asyncio.Future[None] | None = None
        self._arrived: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._open = loop.create_future()
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
        await self._open

    async def next(self, task: "asyncio.Task[Any]") -> bool:
        """Let the reconciliation go on to where it waits next; False: it ended."""
        self._arrived = asyncio.get_running_loop().create_future()
        if self._open is not None and not self._open.done():
            self._open.set_result(None)
        await asyncio.wait([task, self._arrived], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            self._open = None
            task.result()
            return False
        return True


class World:
    """A Kong, a mirror of it, and reconciliations that wait in their pauses while ``held``."""

    def __init__(self, folder: Path, *, schemas: tuple[str, ...] = LISTED, page_size: int = 2) -> None:
        self.path = folder / "gateway.db"
        self.time = FakeClock(BEGAN)
        self.kong = Kong(self.time)
        self.shape = Shape(schemas)
        self.gate = Gate()
        self.held = False
        self.page_size = page_size
        self.published: list[EntityChange] = []
        self.requests = 0
        self.wakes = 0

    async def open(self) -> None:
        self.mirror = Mirror(self.path, self.shape.entities, self.time)
        await self.mirror.open()
        settings = ReconcilerSettings("http://kong:8001", page_size=self.page_size, grace=0.5)
        self.reconciler = Reconciler(
            self.mirror, self.kong, self.shape, settings,
            on_pending=self._count_wake, clock=self.time, timer=self.time, sleep=self._sleep,
        )  # fmt: skip

    def _count_wake(self) -> None:
        self.wakes += 1

    async def _sleep(self, seconds: float) -> None:
        self.time.advance(0.125)
        if self.held:
            await self.gate.wait()

    async def close(self) -> None:
        await self.mirror.close()

    async def reopen(self) -> None:
        """Begin anew over the same file, as after a crash: nothing but the file is left."""
        await self.close()
        await self.open()

    async def publish(self) -> list[EntityChange]:
        """Publish all that is pending, and return it."""
        changes: list[EntityChange] = []
        while some := await self.mirror.pending(100):
            changes += some
            await self.mirror.mark_published([change.identity for change in some])
        self.published += changes
        return changes

    async def reconcile(self) -> list[EntityChange]:
        """Run one whole reconciliation and publish what it found."""
        self.time.advance(10)
        assert await self.reconciler.run_once() == "done", self.reconciler.state()
        return await self.publish()

    async def see(self, method: str, path: str, entity: dict[str, Any] | None = None) -> list[EntityChange]:
        """Have the route see a request that takes a second, now."""
        self.time.advance()
        self.requests += 1
        request = Request(method, path, entity, self.time(), self.time.advance(), self.requests)
        await self.mirror.apply(observation(request))
        return await self.publish()

    def known(self, schema: str) -> list[dict[str, Any]]:
        return known_entities(self.path, schema)

    def all_known(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what the mirror knows, by schema and id."""
        return {schema: {each["id"]: each for each in self.known(schema)} for schema, _ in self.shape.lists()}


def known_entities(path: Path, schema: str) -> list[dict[str, Any]]:
    """Read a mirror's entities of a schema from its file, in the order in which they became known."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        rows = file.execute("SELECT shown FROM mirror_entities WHERE schema = ? ORDER BY n", (schema,))
        return [json.loads(shown) for (shown,) in rows]


def brief(change: EntityChange) -> tuple[str, str, str]:
    """Return what tells changes apart for people."""
    entity = change.entity
    name = entity.get("username") or entity.get("group") or entity.get("name") or entity.get("target") or change.id
    return change.schema, change.operation, str(name)
