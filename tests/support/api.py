"""A running API for tests: real sockets, a real SQLite store, real handlers where a test brings none of its own."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from kong_eventhooks_plugin.api.rest.app import rest_app
from kong_eventhooks_plugin.api.rest.publish_lane import PUBLISHING
from kong_eventhooks_plugin.api.rest.serve import RestServer
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.feed import Feed
from kong_eventhooks_plugin.api.service.hook_states import HookStates
from kong_eventhooks_plugin.api.service.hook_store import ApiHookStore
from kong_eventhooks_plugin.api.service.hooks import Check
from kong_eventhooks_plugin.api.service.service import Service, make_service
from kong_eventhooks_plugin.api.transport.listener import Listener
from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler, Preview
from kong_eventhooks_plugin.hooks.contract import HookChange
from kong_eventhooks_plugin.hooks.declarations import kong_yml
from kong_eventhooks_plugin.hooks.in_force.registry import HookRegistry
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Outcome
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.operation import Operation
from kong_eventhooks_plugin.queue.contract import Queue
from kong_eventhooks_plugin.queue.sqlite.engine import SqliteQueue
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.hooks import validation_of
from tests.support.http import http_client
from tests.support.waiting import SECONDS

ALL = Known(
    sources={
        "custom": (),
        "crud": ("consumers", "consumers:create", "admins"),
        "balancer": ("health",),
        "rate-limiting": ("rate-limit-exceeded",),
        "rate-limiting-advanced": ("rate-limit-exceeded",),
    },
    handlers=("webhook", "webhook-custom", "log", "lambda"),
)
"""Every handler, and sources enough for the examples of Kong's documentation."""

RECORDED = Known(
    sources={
        "crud": ("consumers", "consumers:create"),
        "custom": (),
        "rate-limiting-advanced": ("rate-limit-exceeded",),
    },
    handlers=("webhook", "log", "webhook-custom", "lambda"),
)
"""What the answers in tests/captures/rest were recorded with."""

CAPTURES = Path(__file__).parents[1] / "captures" / "rest"


class Recorder:
    """A handler that remembers, and returns ``outcome``. ``pings`` None: it has no ping."""

    def __init__(self, name: str, *, pings: bool = True) -> None:
        self.name = name
        self.jobs: list[DeliveryJob] = []
        self.pinged: list[tuple[str, Operation | None]] = []
        self.outcome: Outcome = Delivered(
            Answer(200, b"ok", (("Content-Type", "text/plain"), ("X-A", "1"), ("X-A", "2")))
        )
        self._pings = pings
        self.gate: asyncio.Event | None = None
        self._news = asyncio.Condition()

    def endpoint(self, config: Mapping[str, Any]) -> str | None:
        return config.get("url")

    async def deliver(self, job: DeliveryJob) -> Outcome:
        async with self._news:
            self.jobs.append(job)
            self._news.notify_all()
        if self.gate is not None:
            await self.gate.wait()
        return self.outcome

    async def preview(self, job: DeliveryJob) -> Preview:
        return Preview(outcome=self.outcome)

    async def ping(
        self, hook: Hook, config: Mapping[str, Any], operation: Operation | None, now: float
    ) -> Outcome | None:
        if not self._pings:
            return None
        self.pinged.append((hook.name, operation))
        return self.outcome

    async def called(self, count: int, seconds: float = SECONDS) -> None:
        """Wait until so many jobs have come."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.jobs) >= count)

    async def close(self) -> None:
        pass


def recorders() -> dict[str, Recorder]:
    """One of each kind."""
    made = [Recorder("webhook"), *(Recorder(name, pings=False) for name in ("webhook-custom", "log", "lambda"))]
    return {one.name: one for one in made}


async def nothing_to_check(_: Hook) -> Mapping[str, Any]:
    return {}


class Api:
    """An API over a store. ``base`` is its address."""

    def __init__(
        self,
        folder: Path,
        *,
        known: Known = ALL,
        handlers: Mapping[str, Handler] | None = None,
        check: Check = nothing_to_check,
    ) -> None:
        self.known = known
        self.folder = folder
        self.queue: Queue = SqliteQueue(folder / "events.db")
        self.validation = validation_of(known)
        self.persisted: list[tuple[Sequence[Hook], Sequence[str]]] = []
        self.changes: list[HookChange] = []
        self.enabled: list[str] = []
        self.held: dict[str, str] = {}
        self.recorders = recorders()
        self.handlers: Mapping[str, Handler] = handlers or self.recorders
        self.check = check
        self.pool = Pool()
        self.base = ""

    async def open(self) -> None:
        """Open the store and make the use cases."""
        await self.queue.open()
        self.registry = HookRegistry(
            self.validation, lambda hooks, gone: self.persisted.append((hooks, gone)), environ={}
        )
        self.registry.on_change(self.changes.extend)
        self.hook_store = ApiHookStore(self.registry, self.queue)
        self.feed = Feed()
        self.dispatcher = Dispatcher(self.registry, self.queue, [], Metrics(), time.time, accepted=self.feed.publish)
        stored = await self.queue.definitions()
        self.registry.load(stored)
        self.hook_store.load(stored)
        self.serve_handlers()

    def serve_handlers(self) -> None:
        """Make the use cases of the handlers as they are now."""
        self.service: Service = make_service(
            registry=self.registry,
            hook_store=self.hook_store,
            queue=self.queue,
            feed=self.feed,
            handlers=self.handlers,
            validation=self.validation,
            pool=self.pool,
            publish=self.dispatcher.publish,
            check=self.check,
            enable=self._enable,
            states=HookStates(self.registry, self),
        )

    delivering = leading = True

    def held_reason(self, hook_id: str) -> str | None:
        """As the delivery worker: why a hook's deliveries are held back."""
        return self.held.get(hook_id)

    async def _enable(self, hook_id: str) -> bool:
        self.enabled.append(hook_id)
        return True

    async def close(self) -> None:
        """Let everything go."""
        await self.hook_store.close()
        await self.pool.close()
        await self.queue.close()

    def declare(self, *hooks: dict[str, Any], path: str = "/etc/kong/kong.yml") -> None:
        """Declare hooks in a file."""
        entry = {"name": "event-hooks", "config": {"hooks": list(hooks)}}
        document = {"_format_version": "3.0", "plugins": [entry]}
        self.registry.set_file(path, kong_yml.read(document, path, self.validation))

    @contextlib.asynccontextmanager
    async def served(
        self,
        *,
        access: Access | None = None,
        heartbeat: float = 15.0,
        health: Iterable[web.RouteDef] = (),
        listen: str = "127.0.0.1:0",
        limit: int = 64,
        tls: ssl.SSLContext | None = None,
        verify: ssl.SSLContext | None = None,
        lane: bool = True,
    ) -> AsyncIterator[httpx.AsyncClient]:
        """Serve it, on a free port where none is named; the client speaks to it, over TLS with ``verify``.

        Without ``lane`` aiohttp answers everything.
        """
        listener = Listener("listen", limit, tls)
        app = rest_app(
            self.service,
            access or Access(),
            self.feed,
            self.known,
            health=health,
            heartbeat=heartbeat,
            calling=listener.calling,
        )
        if not lane:
            del app[PUBLISHING]
        server = RestServer(app, listener)
        await server.open(listen)
        self.base = f"http{'' if tls is None else 's'}://127.0.0.1:{server.port}"
        try:
            async with http_client(self.base) if verify is None else http_client(self.base, verify) as client:
                yield client
        finally:
            await server.stop()


@contextlib.asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Api]:
    """An open API; ``served`` puts it on a port."""
    api = Api(folder, **options)
    await api.open()
    try:
        yield api
    finally:
        await api.close()
