"""Changes, observations of the Admin API's route, and stand-ins for the mirror and its rounds."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import ChangeObservation
from kong_eventhooks_plugin.queue.contract import Receipt
from kong_eventhooks_plugin.sources.changes.model import EntityChange, RouteChange
from kong_eventhooks_plugin.sources.changes.reconciler import ReconcilerState
from tests.support.waiting import SECONDS

AT = 1_795_278_830.5

PATHS = (
    "/", "/config", "/endpoints", "/consumers", "/consumers/{consumers}", "/consumers/{consumers}/key-auth",
    "/consumers/{consumers}/key-auth/{keyauth_credentials}", "/key-auths", "/key-auths/{keyauth_credentials}",
    "/schemas/plugins/validate", "/upstreams", "/upstreams/{upstreams}", "/upstreams/{upstreams}/targets",
    "/upstreams/{upstreams}/targets/{targets}", "/upstreams/{upstreams}/targets/{targets}/healthy", "/cache/{key}",
    "/targets", "/targets/{targets}",
)  # fmt: skip


def make_change(identity: str = "c-1", **fields: Any) -> EntityChange:
    """A consumer that was created; ``fields`` replace what is given here."""
    given: dict[str, Any] = {
        "at": AT,
        "schema": "consumers",
        "operation": "create",
        "id": "84cc",
        "entity": {"id": "84cc", "username": "grace", "custom_id": None},
    }
    return EntityChange(identity=identity, **(given | fields))


def saw(method: str = "POST", path: str = "/consumers", answer: Any = None, **fields: Any) -> ChangeObservation:
    """What the route saw; ``answer`` becomes the body as JSON, bytes stay as they are, None is no body."""
    body = answer if answer is None or isinstance(answer, bytes) else json.dumps(answer).encode()
    given: dict[str, Any] = {"status": 201, "started_at": AT - 0.01, "seen_at": AT}
    return ChangeObservation(method=method, path=path, body=body, **(given | fields))


class StandInEntities:
    """Rules that know each schema but those in ``unknown``."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()

    def has_schema(self, schema: str, entity: Mapping[str, Any]) -> bool:
        return schema not in self.unknown


class StandInSchemaCache:
    """Knows ``PATHS``, or nothing with ``known`` False. ``refreshing`` is what happens when Kong is asked anew."""

    def __init__(self, *, known: bool = True) -> None:
        self.rules = StandInEntities()
        self.known = known
        self.asked: list[str] = []
        self.learning: Callable[[], Any] | None = None
        self.refreshed = 0
        self.refreshing: Callable[[], Any] | None = None

    def endpoints(self) -> AdminEndpoints:
        return AdminEndpoints(PATHS if self.known else ())

    def entities(self) -> Any:
        return self.rules

    async def refresh(self) -> bool:
        self.refreshed += 1
        if self.refreshing is not None:
            self.refreshing()
        return True

    async def learn(self, schema: str, entity: Mapping[str, Any]) -> bool:
        self.asked.append(schema)
        if self.learning is not None:
            await self.learning()
        return True


class StandInMirror:
    """Takes each observation for the creation of an entity; an outbox in memory. ``errors`` are raised in turn."""

    def __init__(self, *changes: EntityChange) -> None:
        self.outbox = {change.identity: change for change in changes}
        self.applied: list[RouteChange] = []
        self.errors: list[Exception] = []
        self.forgotten = 0
        self.moved = asyncio.Condition()

    def _error(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    async def apply(self, seen: RouteChange) -> list[EntityChange]:
        self._error()
        self.applied.append(seen)
        change = make_change(f"c-{len(self.applied)}", actor=seen.actor, entity=seen.entity or {})
        self.outbox[change.identity] = change
        await self._notify()
        return [change]

    async def pending(self, limit: int) -> list[EntityChange]:
        self._error()
        return list(self.outbox.values())[:limit]

    async def mark_published(self, identities: Sequence[str]) -> None:
        for identity in identities:
            self.outbox.pop(identity, None)
        await self._notify()

    async def forget(self) -> None:
        self._error()
        self.forgotten += 1
        await self._notify()

    async def _notify(self) -> None:
        async with self.moved:
            self.moved.notify_all()

    async def until(self, holds: Callable[["StandInMirror"], bool]) -> None:
        """Wait until it is as it should be; fails after five seconds."""
        async with asyncio.timeout(SECONDS), self.moved:
            await self.moved.wait_for(lambda: holds(self))


class StandInReconciler:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.triggered = 0
        self.running = 0
        self.runs = 0
        self.began = asyncio.Event()

    async def run(self) -> None:
        self.running += 1
        self.runs += 1
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1
            self.began.clear()

    def trigger(self) -> None:
        self.triggered += 1

    def state(self) -> ReconcilerState:
        return ReconcilerState(
            ended_at=None, seconds=None, entities={}, skipped_lists={}, pending=0, outbox=0, error=None
        )


class Publisher:
    """Takes events as the dispatcher does. Commits at once, or when told to; ``subscribed`` False: no hook is."""

    def __init__(self, *, subscribed: bool = True, at_once: bool = True) -> None:
        self.events: list[Event] = []
        self.futures: list[asyncio.Future[Receipt]] = []
        self.refusals: list[Exception] = []
        self.failures: list[Exception] = []
        self._listener = subscribed
        self._at_once = at_once
        self._moved = asyncio.Event()

    def __call__(self, event: Event) -> "asyncio.Future[Receipt] | None":
        if self.refusals:
            raise self.refusals.pop(0)
        self.events.append(event)
        self._moved.set()
        if not self._listener:
            return None
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        if self.failures:
            future.set_exception(self.failures.pop(0))
        elif self._at_once:
            future.set_result(Receipt(event.id, duplicate=False, fired=("h",), held_back={}))
        return future

    async def until(self, events: int) -> None:
        """Wait until so many events came; fails after ten seconds."""
        async with asyncio.timeout(SECONDS):
            while len(self.events) < events:
                self._moved.clear()
                await self._moved.wait()

    def names(self) -> list[tuple[str, str]]:
        return [(event.source, event.event) for event in self.events]


async def settled(holds: Callable[[], bool] = lambda: True) -> None:
    """Let the loop turn some times, and then on until it is so; fails where it does not come to be."""
    for _ in range(20):
        await asyncio.sleep(0)
    async with asyncio.timeout(SECONDS):
        for _ in range(1_000_000):
            if holds():
                return
            await asyncio.sleep(0)
    raise AssertionError("it did not come to be so")
