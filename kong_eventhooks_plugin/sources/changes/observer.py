"""From changes of Kong's entities, seen by the Admin API's route or found by a reconciliation, to events.

::

    observe_change -> ObservationQueue -> Mirror.apply --> outbox -> OutboxPublisher -> publish
    Reconciler -------------------------------------------^

``observe_change`` never waits, since Kong's client does. One task processes the observations in the order of their
arrival, so two writes to one entity keep theirs.

A path means nothing before Kong has answered /endpoints once. Until then observations wait within the limits of
``observation_queue`` and /endpoints is requested again and again: the next reconciliation may be far away, and another
process may run it. What an earlier process learned is kept, so this concerns the first start only.

=====================  ======================================================================================
lost, by reason        what happens
=====================  ======================================================================================
changes_overflow       too many observations wait: a reconciliation starts at once and reports the change,
                       without its actor
change_unreadable      Kong gave no answer, or one that is no entity: the same
change_failed          our bug: the same, where the mirror does not fail on it too
=====================  ======================================================================================

Limits: those of ``observation_queue``, ``answer_body`` and ``outbox``. Kong has ``LEARN_SECONDS`` to answer with a
missing schema; past that everything that may be a secret is masked. While the store or /endpoints is unavailable, the
observation is tried again every ``PAUSE_SECONDS``.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from kong_eventhooks_plugin.errors import AdminApiError, ObservationError, QueueError
from kong_eventhooks_plugin.kong.admin_api.schema_cache import SchemaCache
from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.model.observation import ChangeObservation, ChangeTarget
from kong_eventhooks_plugin.queue.contract import Publish
from kong_eventhooks_plugin.sources.changes.answer_body import decode_entity
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.mirror_lifecycle import GRACE_SECONDS, MirrorLifecycle
from kong_eventhooks_plugin.sources.changes.model import RouteChange, actor_of
from kong_eventhooks_plugin.sources.changes.observation_queue import BYTES, OBSERVATIONS, ObservationQueue
from kong_eventhooks_plugin.sources.changes.outbox import OutboxPublisher
from kong_eventhooks_plugin.sources.changes.reconciler import Reconciler, ReconcilerState
from kong_eventhooks_plugin.sources.changes.targets import change_target, changed_place
from kong_eventhooks_plugin.telemetry.metrics import Counts
from kong_eventhooks_plugin.telemetry.raised import raised_at

LEARN_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 1.0

_log = structlog.get_logger()


class ChangeLimits(msgspec.Struct, frozen=True):
    """The defaults' files say what they limit; ``grace`` and ``pause`` are in seconds."""

    observations: int = OBSERVATIONS
    bytes: int = BYTES
    grace: float = GRACE_SECONDS
    pause: float = PAUSE_SECONDS


class ChangeState(msgspec.Struct, frozen=True):
    """For /readyz. ``active``: a hook subscribes to changes; ``lost`` counts since the start, by reason.

    ``endpoints_known`` False: no path can be resolved, everything waits. ``error`` says why observations cannot be
    processed, why the outbox cannot be emptied, or where the reconciler crashed.
    """

    active: bool
    pending_observations: int
    lost: dict[str, int]
    endpoints_known: bool
    error: str | None
    reconciler: ReconcilerState


LOSSES: Final = ("changes_overflow", "change_unreadable", "change_failed")


class ChangeObserver:
    """``run`` goes on until cancelled; the rest is called on the event loop and never waits.

    ``publish`` is the dispatcher's; ``leads`` says whether this process holds the delivery lease. The reconciler has to
    call ``wake`` when it has put something into the outbox.
    """

    def __init__(
        self,
        schema_cache: SchemaCache,
        mirror: Mirror,
        reconciler: Reconciler,
        publish: Publish,
        counts: Counts,
        limits: ChangeLimits | None = None,
        *,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        limits = limits or ChangeLimits()
        self._schema_cache = schema_cache
        self._mirror = mirror
        self._reconciler = reconciler
        self._counts = counts
        self._pause = limits.pause
        self._observations = ObservationQueue(limits.observations, limits.bytes)
        self._lifecycle = MirrorLifecycle(reconciler.run, self._forget, leads=leads, grace=limits.grace)
        self._outbox_publisher = OutboxPublisher(mirror, publish, counts, holds=lambda: self._lifecycle.holds)
        self._logged: set[str] = set()
        self._error: str | None = None

    @property
    def has_change_subscribers(self) -> bool:
        return self._lifecycle.active

    def set_active(self, active: bool) -> None:
        """Say whether a hook subscribes to changes; to be called at the start and when hooks change."""
        self._lifecycle.set_active(active)
        self._outbox_publisher.wake()

    def wake(self) -> None:
        """Have the outbox published: something was put into it."""
        self._outbox_publisher.wake()

    def change_target(self, method: str, path: str) -> ChangeTarget | None:
        """Return what a request that Kong took can have changed; None where no entity."""
        return change_target(self._schema_cache.endpoints(), method, path)

    def observe_change(self, seen: ChangeObservation) -> None:
        if seen.target.config:
            self._reconciler.trigger()
        elif not self._observations.put(seen):
            self.count_missed("changes_overflow")

    def state(self) -> ChangeState:
        return ChangeState(
            active=self._lifecycle.active,
            pending_observations=len(self._observations),
            lost={reason: count for reason in LOSSES if (count := self._counts.events_lost[reason,])},
            endpoints_known=bool(self._schema_cache.endpoints()),
            error=self._error or self._outbox_publisher.error or self._lifecycle.error,
            reconciler=self._reconciler.state(),
        )

    async def run(self) -> None:
        """Process observations, empty the outbox, and keep the mirror up to date while a hook subscribes to changes."""
        with self._observations.consumed():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._process_observations())
                tasks.create_task(self._outbox_publisher.run())
                tasks.create_task(self._lifecycle.run())

    async def drain(self, seconds: float) -> None:
        await self._observations.drain(seconds, self._outbox_publisher.flush)

    async def _forget(self) -> None:
        """Drop the mirror, and have what is in the outbox published to nobody."""
        self._outbox_publisher.wake()
        await self._mirror.forget()

    async def _process_observations(self) -> None:
        while True:
            seen = await self._observations.oldest()
            if await self._process(seen):
                self._observations.done()
            else:
                await asyncio.sleep(self._pause)

    async def _process(self, seen: ChangeObservation) -> bool:
        """Process one observation to its end; False where it has to wait."""
        place = seen.target.place
        if place is None:
            endpoints = self._schema_cache.endpoints()
            if not endpoints:
                await self._request_endpoints()
                return False
            place = changed_place(endpoints, seen.path)
        try:
            await self._apply(seen, place)
        except QueueError as error:
            self._log_once("store", "change_store_unavailable", error=type(error).__name__)
            self._error = f"changes wait for the mirror's store: {error}"
            return False
        except ObservationError as error:
            self.count_missed("change_unreadable", detail=str(error))
        except Exception as error:  # noqa: BLE001  one that our code fails on must not hold up the others
            self.count_missed("change_failed", kind=type(error).__name__, raised_at=raised_at(error))
        else:
            self._logged.clear()
        self._error = None
        return True

    async def _apply(self, seen: ChangeObservation, place: EntityPath | None) -> None:
        if place is None:
            return
        entity = None if seen.method == "DELETE" else _answered_entity(seen, place.schema)
        actor = actor_of(seen, place.masked)
        await self.apply(RouteChange(place, seen.method, entity, actor, seen.started_at, seen.seen_at))

    async def apply(self, change: RouteChange) -> None:
        """Apply a change of this node's route, or of another's. Raises ``QueueError`` and ``ObservationError``."""
        if change.entity is not None:
            await self._learn_schema(change.place.schema, change.entity)
        if await self._mirror.apply(change):
            self._outbox_publisher.wake()

    async def knows(self, schema: str, entity: str) -> bool:
        """Return whether the mirror has an entity. Raises ``QueueError``."""
        return await self._mirror.knows(schema, entity)

    async def published(self) -> None:
        """Wait until what was applied is published, or held for subscribers that may come back."""
        await self._outbox_publisher.flush()

    async def _request_endpoints(self) -> None:
        try:
            await self._schema_cache.refresh()
        except AdminApiError as error:
            self._log_once("no_endpoints", "admin_paths_unavailable", error=str(error))
        except Exception as error:  # noqa: BLE001  as above; it is tried again
            self._log_once("no_endpoints", "admin_paths_unavailable", raised_at=raised_at(error))

    async def _learn_schema(self, schema: str, entity: dict[str, Any]) -> None:
        if self._schema_cache.entities().has_schema(schema, entity):
            return
        try:
            async with asyncio.timeout(LEARN_SECONDS):
                await self._schema_cache.learn(schema, entity)
        except (TimeoutError, AdminApiError) as error:
            self._log_once("no_schema", "schema_unknown", schema=schema, error=str(error))

    def count_missed(self, reason: str, **fields: str | None) -> None:
        """Count what the route saw and cannot report, and have a reconciliation find it."""
        self._counts.events_lost[reason,] += 1
        self._log_once(reason, "change_deferred", reason=reason, **fields)
        self._reconciler.trigger()

    def _log_once(self, key: str, event: str, **fields: str | None) -> None:
        """Log an error once until an observation is applied again."""
        if key not in self._logged:
            self._logged.add(key)
            _log.warning(event, **fields)


def _answered_entity(seen: ChangeObservation, schema: str) -> dict[str, Any]:
    if seen.body is None:
        raise ObservationError("Kong gave no answer")
    entity = decode_entity(seen.body)
    # Enterprise answers an invitation with {"admin": {...}}.
    within = entity.get(schema.removesuffix("s"))
    if "id" not in entity and isinstance(within, dict):
        entity = within
    if not isinstance(entity.get("id"), str):
        raise ObservationError("the answer has no id")
    return entity
