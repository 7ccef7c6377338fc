"""A stand-in for the Admin API of one Kong node: a real HTTP server on loopback; it keeps entities and answers as one.

    async with AdminNode() as node:  # a Kong with a database; or AdminNode(dbless=True), AdminNode(enterprise=True)
        ada = node.behind.create("consumers", username="ada")  # as if somebody used another node
        node.behind.change("consumers", "ada", tags=["x"])
        node.behind.delete("consumers", "ada")
        ...  # AdminSettings(url=node.url): reads and writes over HTTP
        node.requests["GET /consumers"]  # how often

As a process: ``python -m tests.support.admin_node --consumers 100000`` prints its address, then serves until it is
killed; ``PUT /_faults`` with fields of ``SocketErrors`` sets faults from outside.

What it does is checked against recorded answers of a real Kong by tests/unit/kong/admin_api/test_admin_node.py. What no
recording shows (Enterprise) is written from the public documentation. Limits: entities in memory, 64 MiB a body.
"""

import argparse
import asyncio
import dataclasses
import inspect
import json
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import UUID, uuid4

import msgspec
from aiohttp import web

from tests.support import admin_declared, admin_enterprise
from tests.support.admin_answers import Answers
from tests.support.admin_forms import BadBody, decode
from tests.support.admin_health import Health
from tests.support.admin_paths import Ask, Paths
from tests.support.admin_schemas import CAPTURES, Schemas
from tests.support.admin_store import Clock, Entity, Refused, Store

MAX_BODY_BYTES = 64 << 20
NOT_FOUND = {"message": "Not found"}


class PageAsk(NamedTuple):
    """A page that is about to be read: the ``number``-th, from 1, of the list at ``path`` (no workspace, no query)."""

    path: str
    number: int
    size: int
    offset: str | None


BeforePage = Callable[[PageAsk], Awaitable[None] | None]


@dataclasses.dataclass
class Faults:
    """What goes wrong. ``only`` restricts all of it to paths that begin so (``/consumers``)."""

    status: int | None = None  # answer this instead
    after: int = 0  # how many answers are right before that
    page_seconds: float = 0.0  # so long before each answer to a GET
    cut_bytes: int | None = None  # so many bytes of the body, then the connection ends
    token: str | None = None  # 401 without it
    only: str = ""


class Behind:
    """Changes as somebody at another node makes them: no request, no counter. Raises ``Refused`` where Kong would."""

    def __init__(self, node: "AdminNode") -> None:
        self._node = node

    def store(self, workspace: str = "default") -> Store:
        """Return a workspace's entities."""
        return self._node.stores[workspace]

    def create(self, schema: str, /, workspace: str = "default", **fields: Any) -> Entity:
        """Create an entity; a reference is ``{"id": ...}`` or ``{"username": ...}``."""
        self._node.moved()
        store = self.store(workspace)
        return store.shown(schema, store.insert(schema, fields, fields.pop("id", None)))

    def change(self, schema: str, key: str, /, workspace: str = "default", **fields: Any) -> Entity:
        """Patch the entity that ``key`` (id or name) means."""
        self._node.moved()
        store = self.store(workspace)
        return store.shown(schema, store.update(schema, self._row(store, schema, key), fields))

    def delete(self, schema: str, key: str, /, workspace: str = "default") -> list[tuple[str, Entity]]:
        """Delete an entity; return it and what went along."""
        self._node.moved()
        store = self.store(workspace)
        return store.delete(schema, self._row(store, schema, key))

    def fill_consumers(self, count: int, prefix: str = "consumer-") -> None:
        """Put many consumers in, quickly: ``consumer-0`` and so on, their ids the same in every run."""
        self._node.moved()
        now = int(self._node.clock())
        self.store().fill("consumers", (_consumer(number, prefix, now) for number in range(count)))

    def load(self, document: dict[str, Any]) -> None:
        """Load a declarative document, as a DB-less Kong does at its start."""
        self._node.load(document)

    def _row(self, store: Store, schema: str, key: str) -> Entity:
        row = store.find(schema, key)
        assert row is not None, f"no {schema} {key}"
        return row


def _consumer(number: int, prefix: str, now: int) -> Entity:
    identity = str(UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC834) % (1 << 128), version=4))
    name = f"{prefix}{number}"
    return {
        "id": identity, "username": name, "custom_id": None, "tags": None, "created_at": now, "updated_at": now
    }  # fmt: skip


def _bound(port: int) -> socket.socket:
    """Return a socket that is bound and never listens: nobody else is given the port while the node is away."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


class AdminNode:
    """One node. Use it with ``async with``; between ``stop`` and ``start`` it is away, and the port stays its own."""

    def __init__(
        self,
        *,
        dbless: bool = False,
        enterprise: bool = False,
        starts_plugin_server: bool = False,
        clock: Clock = time.time,
    ) -> None:
        """Make one without entities; one that ``starts_plugin_server`` answers 500 to ``GET /``."""
        self.dbless, self.enterprise, self.clock = dbless, enterprise, clock
        self.starts_plugin_server = starts_plugin_server
        self.schemas = Schemas()
        self.paths = json.loads((CAPTURES / "admin-api" / "schemas" / "endpoints.json").read_text())["data"]
        if enterprise:
            for name, answer in admin_enterprise.SCHEMAS.items():
                self.schemas.add(name, answer)
            self.paths = sorted({*self.paths, *admin_enterprise.PATHS})
        self.lookup = Paths(self.paths, self.schemas.entities)
        self.stores = {"default": self._store()}
        if enterprise:
            self.stores["default"].insert("workspaces", {"name": "default"})
        self.health = Health()
        self.faults = Faults()
        self.behind = Behind(self)
        self.before_page: BeforePage | None = None
        self.requests: Counter[str] = Counter()  # "GET /consumers" -> how often, workspace and query left out
        self.entities_sent = 0
        self.node_id = str(uuid4())
        self.workers = [7651]  # their process ids; others after a reload
        self.empty_lists_as_objects = False
        self.error_log = "/srv/kong/no.log"
        self.configuration_hash = "0" * 32  # Kong's for no configuration
        self.plugins_enabled = sorted(self.schemas.plugin_answers)
        self.groups: dict[tuple[str, str], None] = {}  # Enterprise: (consumer group's id, consumer's id)
        self.port = 0
        self._address: socket.socket | None = None
        self._runner: web.AppRunner | None = None
        self._page_numbers: Counter[str] = Counter()
        self._right = 0

    def _store(self) -> Store:
        return Store(self.schemas, self.clock, full_pages=self.dbless)

    # --- being there and going away

    @property
    def url(self) -> str:
        """The Admin API's address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        if self._address is not None:
            self._address.close()

    async def start(self, port: int = 0) -> None:
        """Begin to listen; on the port that it had, if it had one."""
        if self._address is None:
            self._address = _bound(port)
            self.port = self._address.getsockname()[1]
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()

    async def stop(self) -> None:
        """Go away: connections end, new ones are refused. ``start`` comes back with everything."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    # --- state

    def moved(self) -> None:
        """Something changed: a DB-less node's configuration_hash moves."""
        if self.dbless:
            self.configuration_hash = uuid4().hex

    def load(self, document: dict[str, Any]) -> dict[str, dict[str, Entity]]:
        """Make a declarative document the node's entities; raises ``Refused``."""
        loaded = admin_declared.load(self.stores["default"], document)
        self.configuration_hash = admin_declared.digest(document)
        return loaded

    def store_of(self, schema: str, workspace: str) -> Store:
        """Return where the entities of a schema are kept."""
        return self.stores["default" if schema in admin_enterprise.GLOBAL else workspace]

    # --- answering

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/_faults":
            self.faults = Faults(**await request.json())
            return web.Response(status=204)
        path, workspace = self._split(request.rel_url.raw_path)
        self.requests[f"{request.method} {path}"] += 1
        faulty = path.startswith(self.faults.only)
        refusal = await self._refusal(request) if faulty else None
        if refusal is not None:
            return refusal
        status, body = await self._answer(request, path, workspace)
        data = b"" if body is None else msgspec.json.encode(body)
        if self.faults.cut_bytes is not None and faulty and status == 200:
            return await self._cut(request, data)
        return web.Response(
            status=status, body=data if body is not None else None,
            headers={"server": self.version}, content_type="application/json", charset="utf-8",
        )  # fmt: skip

    @property
    def version(self) -> str:
        """What the header ``Server`` says."""
        return "kong/3.9.1.0-enterprise-edition" if self.enterprise else "kong/3.9.1"

    def _split(self, path: str) -> tuple[str, str]:
        """Return the path without a workspace's name before it, and that workspace."""
        first, _, rest = path.lstrip("/").partition("/")
        is_workspace = self.enterprise and self.stores["default"].find("workspaces", first) is not None
        if not is_workspace:
            return path, "default"
        self.stores.setdefault(first, self._store())
        return "/" + rest, first

    async def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        faults = self.faults
        if faults.token and request.headers.get("Kong-Admin-Token") != faults.token:
            return web.json_response({"message": "Unauthorized"}, status=401)
        if faults.page_seconds and request.method == "GET":
            await asyncio.sleep(faults.page_seconds)
        if faults.status is not None:
            self._right += 1
            if self._right > faults.after:
                return web.json_response({"message": "An unexpected error occurred"}, status=faults.status)
        return None

    async def _cut(self, request: web.Request, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json; charset=utf-8"})
        response.content_length = len(data)
        await response.prepare(request)
        await response.write(data[: self.faults.cut_bytes])
        assert request.transport is not None
        request.transport.abort()
        return response

    async def _answer(self, request: web.Request, path: str, workspace: str) -> tuple[int, Any]:
        ask = self.lookup.find(path)
        if ask is None:
            return 404, NOT_FOUND
        try:
            given, is_form = decode(request.content_type, await request.read())
        except BadBody as bad:
            return 400, {"message": str(bad)}
        answers = Answers(self, request.method, ask, workspace, given, dict(request.query), is_form=is_form)
        if request.method == "GET":
            await self._tell_page(path, answers.query, ask)
        try:
            return answers.answer()
        except Refused as refused:
            return refused.status, refused.body

    async def _tell_page(self, path: str, query: dict[str, str], ask: Ask) -> None:
        if self.before_page is None or ask.meaning.kind not in ("collection", "nested"):
            return
        offset = query.get("offset")
        self._page_numbers[path] = self._page_numbers[path] + 1 if offset else 1
        size = query.get("size", "100")
        told = self.before_page(PageAsk(path, self._page_numbers[path], int(size), offset))
        if inspect.isawaitable(told):
            await told


async def _serve(node: AdminNode, arguments: argparse.Namespace) -> None:
    await node.start(arguments.port)
    print(node.url, flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve as a process of its own."""
    parser = argparse.ArgumentParser(description="a stand-in for Kong's Admin API")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--consumers", type=int, default=0, help="how many consumers it has")
    parser.add_argument("--dbless", action="store_true")
    parser.add_argument("--enterprise", action="store_true")
    parser.add_argument("--config", help="a declarative document in JSON to start with")
    arguments = parser.parse_args()
    node = AdminNode(dbless=arguments.dbless, enterprise=arguments.enterprise)
    if arguments.config:
        node.load(json.loads(Path(arguments.config).read_text()))
    node.behind.fill_consumers(arguments.consumers)
    asyncio.run(_serve(node, arguments))


if __name__ == "__main__":
    main()
