"""What the Admin API's route shows to a node without an Admin API, on its way to one that has it.

::

    observe_change -> ObservationQueue -> forwarded_change -> the store that nodes share -> forwarded.ForwardedChanges

As on any node, ``observe_change`` never waits: a change is in memory until it is in the shared store, and one that is
lost with the process is found by a reconciliation of another node, without its actor. Nothing is taken while no node
takes such changes, one with an Admin API whose hooks subscribe to them, and ``LINGER_SECONDS`` after: it may be about
to start again, or another in its place. It says which paths its Kong knows, since those say what is an entity, and what
in a path may be a secret.

=====================  =====================================================================================
lost, by reason        what happens
=====================  =====================================================================================
changes_overflow       too many wait here, or in the shared store, or one is too large: a reconciliation of
                       another node finds the change, without its actor
change_failed          our bug: the same
=====================  =====================================================================================

An answer that cannot be read is forwarded without its entity: who takes it counts that (``change_unreadable``).

Limits: those of ``observation_queue``, ``forwarded_change`` and ``queue.polling``; ``BATCH`` changes a transaction.
What cannot be sent is tried again every ``PAUSE_SECONDS``; paths are read again after ``PATHS_SECONDS``.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import structlog

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.model.observation import ChangeObservation, ChangeTarget
from kong_eventhooks_plugin.queue.polling import LeaseHolder, SharedPolling
from kong_eventhooks_plugin.sources.changes.catalogue import CRUD
from kong_eventhooks_plugin.sources.changes.forwarded_change import BYTES, forwarded_change
from kong_eventhooks_plugin.sources.changes.observation_queue import ObservationQueue
from kong_eventhooks_plugin.sources.changes.targets import change_target, changed_place
from kong_eventhooks_plugin.sources.pollers.lease_holders import LeaseHolders
from kong_eventhooks_plugin.telemetry.metrics import Counts
from kong_eventhooks_plugin.telemetry.raised import raised_at

BATCH: Final = 100
PAUSE_SECONDS: Final = 1.0
PATHS_SECONDS: Final = 60.0
LINGER_SECONDS: Final = 60.0

PATHS_NOTE: Final = "paths"
"""Under the lease of changes: what its holder's Kong knows, for those who forward."""

_log = structlog.get_logger()


class KongPaths(msgspec.Struct, frozen=True):
    """What ``AdminEndpoints`` is made of."""

    paths: tuple[str, ...]
    targets: Mapping[str, Mapping[str, str]]


class ChangeForwarder:
    """Implements ``kong.plugin_server.contract.ChangeObserver``. ``run`` goes on until cancelled.

    ``subscribed``: a hook of this node subscribes to changes; it counts before it is known who takes them.
    """

    def __init__(
        self,
        shared: SharedPolling,
        holders: LeaseHolders,
        subscribed: Callable[[], bool],
        counts: Counts,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._shared = shared
        self._holders = holders
        self._subscribed = subscribed
        self._counts = counts
        self._pause = pause
        self._observations = ObservationQueue()
        self._endpoints = AdminEndpoints()
        self._read_from: tuple[LeaseHolder, float] | None = None
        self._error: str | None = None

    @property
    def has_change_subscribers(self) -> bool:
        return self._holders.held_within(CRUD, LINGER_SECONDS) if self._holders.known else self._subscribed()

    def change_target(self, method: str, path: str) -> ChangeTarget | None:
        target = change_target(self._endpoints, method, path)
        # The whole configuration of a Kong without a database is that Kong's alone.
        return None if target is None or target.config else target

    def observe_change(self, seen: ChangeObservation) -> None:
        if not self._observations.put(seen):
            self._counts.events_lost["changes_overflow",] += 1

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows; ``forwarded_to`` is the node that takes changes now."""
        taker = self._taker()
        return {
            "forwarded_to": None if taker is None else taker.node,
            "pending_observations": len(self._observations),
            "error": self._error,
        }

    async def run(self) -> None:
        with self._observations.consumed():
            while True:
                await self._observations.oldest()
                if not await self._forward():
                    await asyncio.sleep(self._pause)

    async def drain(self, seconds: float) -> None:
        await self._observations.drain(seconds)

    def _taker(self) -> LeaseHolder | None:
        return self._holders.holder(CRUD)

    async def _forward(self) -> bool:
        """Forward what waits, up to a batch; False where it has to wait."""
        try:
            if not await self._know_paths():
                return False
            some = self._observations.first(BATCH)
            changes = [(seen.seen_at, encoded) for seen in some if (encoded := self._encoded(seen)) is not None]
            sent = await self._shared.send(changes) if changes else 0
        except QueueError as error:
            self._error = f"changes wait for the shared store: {error}"
            return False
        self._error = None
        self._count("changes_overflow", len(changes) - sent)
        self._observations.done(len(some))
        return True

    async def _know_paths(self) -> bool:
        """Read the paths where that is due; False where none are known. Forget what waits where nobody takes it."""
        taker = self._taker()
        now = time.monotonic()
        if taker is None:
            if self._holders.known and not self._endpoints:
                self._observations.done(len(self._observations))
            return bool(self._endpoints)
        if self._read_from is None or self._read_from[0] != taker or now - self._read_from[1] >= PATHS_SECONDS:
            content = await self._shared.note(CRUD, PATHS_NOTE)
            if content is not None:
                known = msgspec.json.decode(content, type=KongPaths)
                self._endpoints = AdminEndpoints(known.paths, known.targets)
                self._read_from = taker, now
        return bool(self._endpoints)

    def _encoded(self, seen: ChangeObservation) -> bytes | None:
        """Return a change of an entity, None where it is none, or where it is lost."""
        try:
            place = seen.target.place or changed_place(self._endpoints, seen.path)
            if place is None:
                return None
            encoded = msgspec.json.encode(forwarded_change(seen, place))
        except Exception as error:  # noqa: BLE001  one that our code fails on must not hold up the others
            self._count("change_failed", 1)
            _log.warning(
                "change_deferred", reason="change_failed", kind=type(error).__name__, raised_at=raised_at(error)
            )
            return None
        if len(encoded) <= BYTES:
            return encoded
        self._count("changes_overflow", 1)
        return None

    def _count(self, reason: str, changes: int) -> None:
        if changes:
            self._counts.events_lost[reason,] += changes
