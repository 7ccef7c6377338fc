"""A delivery worker with everything around it: queue, hooks, handlers, a clock, all in the test's hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.membership import Membership
from kong_eventhooks_plugin.delivery.reports import Incidents
from kong_eventhooks_plugin.delivery.worker import DeliveryWorker
from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler
from kong_eventhooks_plugin.hooks.contract import DeclarationError, HookChange
from kong_eventhooks_plugin.model.delivery import Delivered, Delivery, Outcome
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.model.operation import Operation
from kong_eventhooks_plugin.queue.contract import Candidate, Offer, Settlement, Taker
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.delivery_time import FakeTime
from tests.support.events import make_event, make_hook
from tests.support.memory_queue import MemoryQueue
from tests.support.waiting import SECONDS


class Noticed:
    """Something that happens, and a way to wait until enough of it has."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def tell(self) -> None:
        self._news.set()

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(SECONDS):
            while not true():
                self._news.clear()
                await self._news.wait()


class WatchedQueue(MemoryQueue):
    """The queue in memory; a test can wait for what is settled, and let the store fail."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.settlements: list[Settlement] = []
        self.news = Noticed()
        self.failing: Exception | None = None
        self.claims: list[tuple[str, int]] = []

    def _check_open(self) -> None:
        if self.failing is not None:
            raise self.failing
        super()._check_open()

    async def claim(self, hook_id: str, limit: int, lease_seconds: float) -> list[Delivery]:
        self.claims.append((hook_id, limit))
        return await super().claim(hook_id, limit, lease_seconds)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await super().settle(settlements)
        self.settlements += settlements
        self.news.tell()

    async def settled(self, count: int) -> list[Settlement]:
        """Wait until so many attempts have been settled; return their settlements."""
        await self.news.until(lambda: len(self.attempted) >= count)
        return self.attempted

    @property
    def attempted(self) -> list[Settlement]:
        return [settlement for settlement in self.settlements if settlement.attempt is not None]


class Book:
    """Hooks in force, as the test sets them; ``unresolved`` names hooks whose secret has no value."""

    def __init__(self, *hooks: Hook) -> None:
        self._hooks = {hook.id: hook for hook in hooks}
        self._listener: list[Callable[[list[HookChange]], None]] = []
        self.unresolved: set[str] = set()

    loaded = True

    def hooks(self) -> Mapping[str, Hook]:
        return dict(self._hooks)

    def get(self, hook_id: str) -> Hook | None:
        return self._hooks.get(hook_id)

    def resolved(self, hook: Hook) -> Mapping[str, Any]:
        if hook.name in self.unresolved:
            raise UnresolvedReference({"secret": "{vault://env/x}"})
        return hook.config

    async def refreshed(self, hook: Hook) -> Mapping[str, Any]:
        return self.resolved(hook)

    def errors(self) -> list[DeclarationError]:
        return []

    def on_change(self, heard: Callable[[list[HookChange]], None]) -> None:
        self._listener.append(heard)

    def set(self, *hooks: Hook) -> list[HookChange]:
        """Have these hooks in force, and tell of it."""
        before, self._hooks = self._hooks, {hook.id: hook for hook in hooks}
        ids = dict.fromkeys([*before, *self._hooks])
        pairs = [(before.get(each), self._hooks.get(each)) for each in ids]
        changes = [HookChange(old, new) for old, new in pairs if old != new]
        for heard in self._listener:
            heard(changes)
        return changes


class ScriptedHandler:
    """Gives the outcomes that a test scripts by hook name, the last one for ever; ``gate`` holds a hook's attempts."""

    name = "scripted"

    def __init__(self) -> None:
        self.outcomes: dict[str, list[Outcome | Exception]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.jobs: list[DeliveryJob] = []
        self.pings: list[tuple[str, Operation | None]] = []
        self.in_flight: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.news = Noticed()

    def endpoint(self, config: Mapping[str, Any]) -> str | None:
        endpoint = config.get("endpoint")
        return None if endpoint is None else str(endpoint)

    async def deliver(self, job: DeliveryJob) -> Outcome:
        hook = job.hook.name
        self.jobs.append(job)
        self.in_flight[hook] = self.in_flight.get(hook, 0) + 1
        self.most[hook] = max(self.most.get(hook, 0), self.in_flight[hook])
        self.news.tell()
        try:
            if hook in self.gates:
                await self.gates[hook].wait()
            return self._next(hook)
        finally:
            self.in_flight[hook] -= 1

    async def ping(
        self, hook: Hook, config: Mapping[str, Any], operation: Operation | None, now: float
    ) -> Outcome | None:
        self.pings.append((hook.name, operation))
        self.news.tell()
        return self._next(f"ping {hook.name}")

    async def close(self) -> None:
        """Nothing is open."""

    async def called(self, count: int, hook: str | None = None) -> list[DeliveryJob]:
        """Wait until so many attempts have begun."""
        await self.news.until(lambda: len(self.jobs_of(hook)) >= count)
        return self.jobs_of(hook)

    def jobs_of(self, hook: str | None) -> list[DeliveryJob]:
        return [job for job in self.jobs if hook is None or job.hook.name == hook]

    def _next(self, key: str) -> Outcome:
        script = self.outcomes.get(key, [Delivered()])
        outcome = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def scripted_hook(name: str, **fields: Any) -> Hook:
    """A hook of the scripted handler with an endpoint of its own."""
    return make_hook(name, **({"handler": "scripted", "config": {"endpoint": f"http://{name}:80"}} | fields))


class World:
    """``async with World(hooks...) as world``: a worker that runs."""

    def __init__(
        self,
        *hooks: Hook,
        limits: DeliveryLimits | None = None,
        handlers: Mapping[str, Handler] | None = None,
        queue: Any = None,
        time: FakeTime | None = None,
        holder: str = "one",
        membership: Membership | None = None,
        spans: DeliverySpans | None = None,
        incidents: Incidents | None = None,
        calls_waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        self.time = time or FakeTime()
        self.queue = queue or WatchedQueue(clock=self.time)
        self.registry = Book(*hooks)
        self.handler = ScriptedHandler()
        self.metrics = Metrics()
        self.worker = DeliveryWorker(
            self.queue,
            self.registry,
            handlers or {"scripted": self.handler},
            self.metrics,
            limits or DeliveryLimits(),
            holder=holder,
            membership=membership,
            clock=self.time,
            wait=self.time.wait,
            monotonic=self.time,
            random=lambda: 0.5,
            spans=spans,
            incidents=incidents,
            calls_waiting=calls_waiting,
        )

    @property
    def taker(self) -> Taker:
        """What the queue leases new deliveries to."""
        taker = self.queue._taker
        assert taker is not None
        return taker

    async def __aenter__(self) -> Self:
        await self.queue.open()
        self.running = asyncio.create_task(self.worker.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])

    async def offer(self, *hooks: Hook, count: int = 1, **fields: Any) -> list[str]:
        """Have ``count`` events accepted for hooks; return the deliveries' ids."""
        base = len(self.queue._events)
        defaults = {"time": self.time()} | fields
        events: list[Event] = [make_event(**({"id": f"e-{base}-{number}"} | defaults)) for number in range(count)]
        candidates = tuple(Candidate(hook.id, hook.source) for hook in hooks)
        await asyncio.gather(*[self.queue.offer(Offer(event, candidates)) for event in events])
        return [delivery_id(event.id, hook.id) for event in events for hook in hooks]

    def held(self) -> dict[str, str]:
        """Return hook id -> why its deliveries are held back."""
        reasons = {hook_id: self.worker.held_reason(hook_id) for hook_id in self.registry.hooks()}
        return {hook_id: reason for hook_id, reason in reasons.items() if reason is not None}

    async def turn(self, times: int = 30) -> None:
        """Let everything that can happen without time passing or a network happen."""
        for _ in range(times):
            await asyncio.sleep(0)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"kong_event_hooks_{name}", labels)


@asynccontextmanager
async def world(*hooks: Hook, **options: Any) -> AsyncIterator[World]:
    """A world in which the worker has the lease already."""
    async with World(*hooks, **options) as made:
        await made.turn()
        yield made
