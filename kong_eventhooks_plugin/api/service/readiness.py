"""What /readyz and the gauges of /metrics report, read when they are requested.

Limits: the store has ``STORE_SECONDS`` to answer. A loss degrades the state for ``RECENT_SECONDS``; its count stays.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from kong_eventhooks_plugin.api.service.hook_states import DISABLED, Delivering, HookStates
from kong_eventhooks_plugin.api.service.nodes import Members, NodeShare, node_shares
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.queue.contract import Queue, Stats
from kong_eventhooks_plugin.queue.forwarding.acceptor import SpoolAcceptor
from kong_eventhooks_plugin.queue.nodes import SpoolState
from kong_eventhooks_plugin.telemetry.metrics import Metrics

STORE_SECONDS = 2.0
RECENT_SECONDS = 300.0

OK = "ok"

SHARED_STORE = "the shared store: "
"""How the error begins that says why the store that nodes share cannot be reached."""


class Readiness(msgspec.Struct, frozen=True):
    """``unready`` (503): events cannot be accepted. ``degraded`` (200): they are, but something needs a person.

    That is an invalid declaration, a held hook, events lost to a limit, or a Kong that cannot be polled.
    ``sandbox`` has the kernel's features that protect from user code, each ``ok`` or why it is not used. ``spool`` has
    what waits for the store that nodes share; that this store is away degrades, since events are accepted all the same.
    ``delivering``: this process delivers, all hooks or its share; ``leading``: it does what one process is to do.
    ``nodes`` has those that share the store.
    """

    status: Literal["ready", "degraded", "unready"]
    store: str
    delivering: bool
    hooks: int
    errors: tuple[str, ...] = ()
    held: dict[str, str] = {}
    events_lost: dict[str, int] = {}
    queue: dict[str, Any] = {}
    pollers: dict[str, Any] = {}
    socket: dict[str, Any] = {}
    sandbox: dict[str, str] = {}
    spool: dict[str, Any] = {}
    leading: bool = False
    nodes: tuple[NodeShare, ...] = ()


class PollerStatus(msgspec.Struct, frozen=True):
    """``errors`` need a person, ``state`` and ``socket`` are shown as they are."""

    errors: tuple[str, ...] = ()
    state: dict[str, Any] = {}
    socket: dict[str, Any] = {}


class ReadinessCheck:
    def __init__(
        self,
        queue: Queue,
        registry: ActiveHooks,
        metrics: Metrics,
        delivery: Delivering,
        states: HookStates,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
        pollers: Callable[[], PollerStatus] = PollerStatus,
        sandbox: Mapping[str, str] = {},
        spool: SpoolAcceptor | None = None,
        members: Members | None = None,
    ) -> None:
        self._spool = spool
        self._members = members
        self._sandbox = dict(sandbox)
        self._queue = queue
        self._registry = registry
        self._metrics = metrics
        self._delivery = delivery
        self._states = states
        self._monotonic = monotonic
        self._clock = clock
        self._poller_status = pollers
        self._lost_total = 0
        self._shown: set[tuple[str, str]] = set()
        self._lost_at = -RECENT_SECONDS

    async def check(self) -> Readiness:
        stats, store = await self._stats()
        spooled = await self._spooled()
        hooks = self._registry.hooks()
        held = self._states.all_held()
        pollers = self._poller_status()
        errors = self._errors(pollers, store)
        if self._spool is not None:
            store = self._spool.error() or OK  # what counts is whether events are accepted
        degraded = bool(errors) or any(reason != DISABLED for reason in held.values()) or self._losing()
        return Readiness(
            status="unready" if store != OK else "degraded" if degraded else "ready",
            store=store,
            delivering=self._delivery.delivering,
            hooks=len(hooks),
            errors=errors,
            held=held,
            events_lost={labels[0]: count for labels, count in self._metrics.counts.events_lost.items()},
            queue={} if stats is None else _queue(stats, hooks),
            pollers=pollers.state,
            socket=pollers.socket,
            sandbox=self._sandbox,
            spool={} if spooled is None else _spool(spooled),
            leading=self._delivery.leading,
            nodes=node_shares(self._members, hooks),
        )

    def _errors(self, pollers: PollerStatus, store: str) -> tuple[str, ...]:
        return (*(str(error) for error in self._registry.errors()), *pollers.errors, *self._shared_store_errors(store))

    def _shared_store_errors(self, store: str) -> tuple[str, ...]:
        """Return why what is accepted does not get to the store that nodes share; ``store`` is that store's answer."""
        if self._spool is None:
            return ()
        away = self._spool.forwarding_error() if store == OK else store
        return () if away is None else (f"{SHARED_STORE}{away}",)

    async def refresh(self) -> None:
        self._show_held()
        stats, store = await self._stats()
        self._metrics.errors.set(len(self._errors(self._poller_status(), store)))
        spooled = await self._spooled()
        if spooled is not None:
            self._metrics.spooled_events.set(spooled.offers)
            self._metrics.spooled_age.set(self._age(spooled.oldest))
        if stats is None:
            return
        for state, count in stats.depth.items():
            self._metrics.depth.labels(state=state).set(count)
        self._metrics.unsettled_bytes.set(stats.unsettled_bytes)
        self._metrics.oldest_unsettled_age.set(self._age(stats.oldest_pending))

    def _show_held(self) -> None:
        """Set the gauge to what ``check`` reports; a reason's text is no label."""
        shown = {(hook, reason.partition(":")[0]) for hook, reason in self._states.all_held().items()}
        for labels in self._shown - shown:
            self._metrics.hook_held.remove(*labels)
        for labels in shown - self._shown:
            self._metrics.hook_held.labels(*labels).set(1)
        self._shown = shown

    def _age(self, oldest: float | None) -> float:
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest)

    async def _spooled(self) -> SpoolState | None:
        if self._spool is None:
            return None
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return await self._spool.spool.state()
        except (QueueError, TimeoutError):
            return None

    async def _stats(self) -> tuple[Stats | None, str]:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                stats = await self._queue.stats()
        except QueueError as error:
            return None, str(error)
        except TimeoutError:
            return None, f"no answer within {STORE_SECONDS:g} s"
        return stats, self._queue.error() or OK

    def _losing(self) -> bool:
        total = sum(self._metrics.counts.events_lost.values())
        if total != self._lost_total:
            self._lost_total, self._lost_at = total, self._monotonic()
        return self._monotonic() - self._lost_at < RECENT_SECONDS


def _spool(state: SpoolState) -> dict[str, object]:
    return {"events": state.offers, "bytes": state.bytes, "oldest_at": state.oldest}


def _queue(stats: Stats, hooks: Mapping[str, object]) -> dict[str, object]:
    return {
        "deliveries": dict(stats.depth),
        "unsettled_bytes": stats.unsettled_bytes,
        "oldest_unsettled_at": stats.oldest_pending,
        "per_hook": {getattr(hooks.get(hook_id), "name", hook_id): count for hook_id, count in stats.per_hook.items()},
    }
