"""The whole way of a change: a stand-in Admin API; the real mirror, reconciler, observer, dispatcher, SQLite queue."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.kong.admin_api.schema_cache import SchemaCache
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.observation import ChangeObservation
from kong_eventhooks_plugin.queue.contract import EventFilter, Publish, Receipt
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from kong_eventhooks_plugin.sources.catalogue import events_of
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.observer import ChangeObserver
from kong_eventhooks_plugin.sources.changes.reconciler import Reconciler, ReconcilerSettings
from kong_eventhooks_plugin.sources.poller_group import has_subscribers
from kong_eventhooks_plugin.storage.notes import NoteStore
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.admin_node import AdminNode
from tests.support.events import StandInBook, make_hook
from tests.support.http import http_client
from tests.support.waiting import SECONDS

CAPTURES = Path(__file__).resolve().parents[1] / "captures"
HOOKS = (
    make_hook("to-crud", source="crud"),
    *(make_hook(name, source="crud", event=name) for name in events_of("crud") if ":" in name),
    make_hook("to-dao", source="dao:crud"),
)
NO_ROUNDS = 3_600.0


class Request(NamedTuple):
    """One that the Admin API's route led on, and Kong's answer."""

    method: str
    path: str
    status: int
    body: bytes
    at: float
    more: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


def recorded_requests() -> Iterator[Request]:
    """Yield the requests that a real Kong's Admin API route saw, in order."""
    calls = map(json.loads, (CAPTURES / "admin-crud.jsonl").read_text().splitlines())
    at = 1_795_278_830.0
    for call in calls:
        if (call["call"], call.get("phase"), call.get("plugin")) != (
            "cmd_handle_event",
            "response",
            "event-hooks-crud",
        ):
            continue
        pdk, at = call["pdk"], at + 0.05
        body = (pdk["kong.service.response.get_raw_body"] or "").encode()
        more = {
            "consumer": pdk["kong.client.get_consumer"],
            "ip": pdk["kong.client.get_forwarded_ip"],
        }
        path = pdk["kong.nginx.get_var(upstream_uri)"]
        yield Request(pdk["kong.request.get_method"], path, pdk["kong.response.get_status"], body, at, more)


def shown(event: Event) -> str:
    """Return an event in short: ``consumers:update grace (custom_id)``, ``plugins:delete rl < routes``."""
    entity = event.data["entity"]
    names = (entity.get(field) for field in ("username", "name", "target", "group", "id"))
    text = f"{event.data['schema']}:{event.data['operation']} {next(name for name in names if name)}"
    if event.data["operation"] == "update":
        text += f" ({', '.join(event.data['changed'])})"
    if event.data["deleted_with"]:
        text += f" < {event.data['deleted_with'].partition(':')[0]}"
    return text


class CrudWorld:
    """Use it with ``async with``; over the same ``folder`` it goes on where another ended, or beside it.

    ``publish`` takes events in the dispatcher's place.
    """

    def __init__(
        self, folder: Path, node: AdminNode, *, hooks: tuple[Hook, ...] = HOOKS, interval: float = NO_ROUNDS,
        grace: float = 0.0,
        publish: Publish | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.node = folder, node
        self.metrics = Metrics()
        self.accepted: list[Event] = []
        self.committed_at: dict[str, float] = {}
        self._moved = asyncio.Condition()
        self._hooks = hooks
        self._publish = publish
        self._settings = ReconcilerSettings(admin_url=node.url, interval=interval, grace=grace, pause_factor=0.0)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        stack = self._stack
        self.client = client = await stack.enter_async_context(AdminClient(AdminSettings(url=self.node.url)))
        self.http = await stack.enter_async_context(http_client(self.node.url))
        notes = NoteStore(self.folder / "gateway.db")
        self.schema_cache = SchemaCache(client, notes, lambda: b"k" * 32)
        self.mirror = Mirror(self.folder / "gateway.db", self.schema_cache.entities)
        self.queue = SqliteQueue(self.folder / "queue.db")
        for each in (notes, self.queue, self.mirror):
            await each.open()
            stack.push_async_callback(each.close)
        await self.schema_cache.open()
        self.dispatcher = Dispatcher(
            StandInBook(*self._hooks), self.queue, [], self.metrics, time.time, accepted=self._listener
        )
        self.reconciler = Reconciler(
            self.mirror, client, self.schema_cache, self._settings, on_pending=lambda: self.observer.wake()
        )
        self.observer = ChangeObserver(
            self.schema_cache,
            self.mirror,
            self.reconciler,
            self._publish or self.dispatcher.publish,
            self.metrics.counts,
        )
        self.observer.set_active(has_subscribers(self._hooks, "crud", "dao:crud"))
        running = asyncio.create_task(self.observer.run())
        stack.push_async_callback(_ended, running)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _listener(self, event: Event, _receipt: Receipt) -> None:
        self.accepted.append(event)
        self.committed_at[event.id] = time.perf_counter()
        self._tasks = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def observe(self, request: Request) -> None:
        """Do as the response phase does with an answer of Kong's."""
        observer = self.observer
        target = observer.change_target(request.method, request.path)
        if request.status // 100 != 2 or target is None:
            return
        body = request.body if target.wants_answer else None
        observer.observe_change(
            ChangeObservation(
                request.method,
                request.path,
                request.status,
                body,
                request.at,
                request.at + 0.01,
                target=target,
                **request.more,
            )
        )

    async def route(self, method: str, path: str, **fields: Any) -> Request:
        """Send a request to the node as the route would, and observe the answer; ``fields`` are the JSON body."""
        at = time.time()
        answer = await self.http.request(method, path, json=fields or None)
        request = Request(method, path, answer.status_code, answer.content, at, {})
        self.observe(request)
        return request

    async def published(self, events: int) -> list[Event]:
        """Wait until so many events of all sources are committed, and return them in the order of their commits."""
        async with asyncio.timeout(SECONDS), self._moved:
            await self._moved.wait_for(lambda: len(self.accepted) >= events)
        return self.accepted

    async def reconcile(self) -> None:
        """Have a reconciliation run and wait for its end."""
        began = self.reconciler.state().ended_at
        self.reconciler.trigger()
        async with asyncio.timeout(SECONDS):
            while self.reconciler.state().ended_at in (None, began):  # noqa: ASYNC110  nothing signals its end
                await asyncio.sleep(0.005)

    async def stored(self) -> list[Event]:
        """Return every event that the queue has, in the order of acceptance."""
        found: list[Event] = []
        offset = None
        while True:
            page = await self.queue.events(EventFilter(), 1_000, offset)
            found.extend(each.event for each in page.events)
            offset = page.next_offset
            if offset is None:
                return found[::-1]


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
