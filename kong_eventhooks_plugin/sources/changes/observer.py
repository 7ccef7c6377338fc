"""Changes of Kong's entities, from the Admin API's route at once and from the mirror's rounds, to events.

::

    observe_change -> Waiting -> path and answer -> Mirror.apply --> outbox -> Pump -> publish
    rounds --------------------------------------------------------^

``observe_change`` never waits: Kong's client does. One task works the observations in the order of their arrival, so
that two writes to one entity are told in theirs.

No path means anything before Kong was once asked for its /endpoints. Until then observations wait within the limits of
``crud_waiting``, and Kong is asked again and again: rounds, which ask it too, may be far apart, and are run by the
process that leads alone. What an earlier process learnt is kept, so this is the first start only.

=====================  =====================================================================================
lost, by reason        what is done about it
=====================  =====================================================================================
changes_overflow       too many observations wait: the mirror looks at once and tells the change, without who
change_unreadable      Kong gave no answer, or one that is no entity: the same
change_failed          our bug: the same, where the mirror does not trip over it as well
=====================  =====================================================================================

Limits: those of ``crud_waiting``, ``crud_answers`` and ``crud_pump``. Kong is given ``LEARN_SECONDS`` to tell a schema
that is missing; past that all that may be a secret of the entity is hidden. While the store or /endpoints is away it is
tried again every ``PAUSE_SECONDS``.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import msgspec
import structlog

from kong_eventhooks_plugin.errors import AdminApiError, ObservationError, QueueError
from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules
from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.observation import ChangeObservation, ChangeTarget
from kong_eventhooks_plugin.queue.contract import Publish
from kong_eventhooks_plugin.sources.changes.answer_body import decode_entity
from kong_eventhooks_plugin.sources.changes.catalogue import CRUD, DAO_CRUD
from kong_eventhooks_plugin.sources.changes.mirror.route_change import RouteChange
from kong_eventhooks_plugin.sources.changes.model import Actor, EntityChange
from kong_eventhooks_plugin.sources.changes.observation_queue import BYTES, OBSERVATIONS, ObservationQueue
from kong_eventhooks_plugin.sources.changes.outbox import Outbox, OutboxPublisher
from kong_eventhooks_plugin.sources.changes.reconciler import ReconcilerState
from kong_eventhooks_plugin.sources.changes.upkeep import GRACE_SECONDS, MirrorLifecycle
from kong_eventhooks_plugin.sources.pollers.subscribers import has_subscribers
from kong_eventhooks_plugin.telemetry.metrics import Counts
from kong_eventhooks_plugin.telemetry.raised import raised_at

LEARN_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 1.0

_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_CONFIG: Final = ChangeTarget(config=True)

_log = structlog.get_logger()


class SchemaLookup(Protocol):
    """What is needed of ``kong.admin_api.schema_cache.SchemaCache``."""

    def endpoints(self) -> AdminEndpoints:
        """Return the paths as last known."""

    def entities(self) -> EntityRules:
        """Return the rules as last known."""

    async def refresh(self) -> bool:
        """Ask Kong for what is missing; raises ``AdminApiError``."""

    async def learn(self, schema: str, entity: dict[str, Any]) -> bool:
        """Ask Kong for a schema that is missing; raises ``AdminApiError``."""


class MirrorStore(Outbox, Protocol):
    """What is needed of ``sources.changes.mirror.mirror.Mirror``."""

    async def apply(self, seen: RouteChange) -> list[EntityChange]:
        """Take what the route saw; return what is in the outbox now because of it."""

    async def forget(self) -> None:
        """Drop what is known, not the outbox: the next round is silent."""


class ReconcilerLoop(Protocol):
    """What is needed of ``sources.changes.reconciler.Reconciler``."""

    async def run(self) -> None:
        """Run rounds until cancelled."""

    def trigger(self) -> None:
        """Ask for a round at once."""

    def state(self) -> ReconcilerState:
        """Return how it stands."""


class ChangeLimits(msgspec.Struct, frozen=True):
    """See the heads of the files that these are from; ``grace`` and ``pause`` in seconds."""

    observations: int = OBSERVATIONS
    bytes: int = BYTES
    grace: float = GRACE_SECONDS
    pause: float = PAUSE_SECONDS


class ChangeState(msgspec.Struct, frozen=True):
    """For /readyz. ``active``: a hook subscribes to changes; ``lost`` counts since the start, by reason.

    ``endpoints_known`` False: no path can be read, everything waits. ``error`` says why observations cannot be
    processed, why the outbox cannot be emptied, or where the reconciler crashed.
    """

    active: bool
    pending_observations: int
    lost: dict[str, int]
    endpoints_known: bool
    error: str | None
    reconciler: ReconcilerState


LOSSES: Final = ("changes_overflow", "change_unreadable", "change_failed")


def subscribes_to_changes(hooks: Iterable[Hook]) -> bool:
    """Tell whether a hook that is not switched off hears ``crud`` or ``dao:crud``."""
    return has_subscribers(hooks, CRUD, DAO_CRUD)


class ChangeObserver:
    """See the file's head. ``run`` goes on until cancelled; the rest is called on the event loop and never waits.

    ``publish`` is the dispatcher's; ``leads`` tells whether this process holds the delivery lease. Rounds are to call
    ``wake`` when they put something into the outbox.
    """

    def __init__(
        self,
        knowledge: SchemaLookup,
        mirror: MirrorStore,
        rounds: ReconcilerLoop,
        publish: Publish,
        counts: Counts,
        limits: ChangeLimits | None = None,
        *,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        limits = limits or ChangeLimits()
        self._schema_cache = knowledge
        self._mirror = mirror
        self._reconciler = rounds
        self._counts = counts
        self._pause = limits.pause
        self._observations = ObservationQueue(limits.observations, limits.bytes)
        self._upkeep = MirrorLifecycle(rounds.run, self._forget, leads=leads, grace=limits.grace)
        self._outbox_publisher = OutboxPublisher(mirror, publish, counts, holds=lambda: self._upkeep.holds)
        self._logged: set[str] = set()
        self._error: str | None = None
        self._last_endpoints: AdminEndpoints | None = None
        self._known = False

    @property
    def has_change_subscribers(self) -> bool:
        """Whether somebody wants to know of changes."""
        return self._upkeep.wanted

    def set_wanted(self, wanted: bool) -> None:
        """Say whether a hook hears changes (``subscribes_to_changes``); asked at the start and when hooks change."""
        self._upkeep.set_wanted(wanted)
        self._outbox_publisher.wake()

    def wake(self) -> None:
        """Hear that something was put into the outbox."""
        self._outbox_publisher.wake()

    def change_target(self, method: str, path: str) -> ChangeTarget | None:
        """Return what a request that Kong took can have changed; None where no entity."""
        if method not in _CHANGING:
            return None
        endpoints = self._endpoints()
        place = None if endpoints is None else _changed_place(endpoints, path)
        if place is None and method == "POST" and _is_config(endpoints, path):
            return _CONFIG
        if place is None and endpoints is not None:
            return None
        return ChangeTarget(place, wants_answer=method != "DELETE")

    def observe_change(self, seen: ChangeObservation) -> None:
        """Queue what the route saw; never waits."""
        if seen.target.config:
            self._reconciler.trigger()
        elif not self._observations.put(seen):
            self._count_missed("changes_overflow")

    def state(self) -> ChangeState:
        """Return how it stands."""
        return ChangeState(
            active=self._upkeep.wanted,
            pending_observations=len(self._observations),
            lost={reason: count for reason in LOSSES if (count := self._counts.events_lost[reason,])},
            endpoints_known=self._endpoints() is not None,
            error=self._error or self._outbox_publisher.error or self._upkeep.error,
            reconciler=self._reconciler.state(),
        )

    async def run(self) -> None:
        """Work observations, empty the outbox and keep the mirror up, as long as that is wanted."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work())
            tasks.create_task(self._outbox_publisher.run())
            tasks.create_task(self._upkeep.run())

    async def _forget(self) -> None:
        """Drop the mirror, and have what is in the outbox told to nobody."""
        self._outbox_publisher.wake()
        await self._mirror.forget()

    async def _work(self) -> None:
        while True:
            seen = await self._observations.oldest()
            if await self._processed(seen):
                self._observations.done()
            else:
                await asyncio.sleep(self._pause)

    async def _processed(self, seen: ChangeObservation) -> bool:
        """Take one observation to its end; False where it has to wait."""
        place = seen.target.place
        if place is None:
            endpoints = self._endpoints()
            if endpoints is None:
                await self._ask_for_paths()
                return False
            place = _changed_place(endpoints, seen.path)
        try:
            await self._apply(seen, place)
        except QueueError as error:
            self._log_once("store", "change_store_unavailable", error=type(error).__name__)
            self._error = f"changes wait for the mirror's store: {error}"
            return False
        except ObservationError as error:
            self._count_missed("change_unreadable", detail=str(error))
        except Exception as error:  # noqa: BLE001  one that trips our code must not hold up the others
            self._count_missed("change_failed", kind=type(error).__name__, raised_at=raised_at(error))
        else:
            self._logged.clear()
        self._error = None
        return True

    async def _apply(self, seen: ChangeObservation, place: EntityPath | None) -> None:
        if place is None:
            return
        entity = None if seen.method == "DELETE" else _answered(seen, place.schema)
        if entity is not None:
            await self._learn(place.schema, entity)
        change = RouteChange(
            place, seen.method, seen.status, entity, _actor(seen, place.masked), seen.started_at, seen.seen_at
        )
        if await self._mirror.apply(change):
            self._outbox_publisher.wake()

    async def _ask_for_paths(self) -> None:
        try:
            await self._schema_cache.refresh()
        except AdminApiError as error:
            self._log_once("no_endpoints", "admin_paths_unavailable", error=str(error))
        except Exception as error:  # noqa: BLE001  as above; it is tried again
            self._log_once("no_endpoints", "admin_paths_unavailable", raised_at=raised_at(error))

    async def _learn(self, schema: str, entity: dict[str, Any]) -> None:
        if self._schema_cache.entities().has_schema(schema, entity):
            return
        try:
            async with asyncio.timeout(LEARN_SECONDS):
                await self._schema_cache.learn(schema, entity)
        except (TimeoutError, AdminApiError) as error:
            self._log_once("no_schema", "schema_unknown", schema=schema, error=str(error))

    def _endpoints(self) -> AdminEndpoints | None:
        """Return the paths as last known; None where none are."""
        endpoints = self._schema_cache.endpoints()
        if endpoints is not self._last_endpoints:
            self._last_endpoints, self._known = endpoints, bool(endpoints.lists())
        return endpoints if self._known else None

    def _count_missed(self, reason: str, **fields: str | None) -> None:
        """Count what the route saw and cannot tell, and have the mirror look for it."""
        self._counts.events_lost[reason,] += 1
        self._log_once(reason, "change_deferred", reason=reason, **fields)
        self._reconciler.trigger()

    def _log_once(self, key: str, text: str, **fields: str | None) -> None:
        """Log a trouble once until an observation is worked again."""
        if key not in self._logged:
            self._logged.add(key)
            _log.warning(text, **fields)


def _is_config(endpoints: AdminEndpoints | None, path: str) -> bool:
    if endpoints is None:
        return path.partition("?")[0].rstrip("/").endswith("/config")
    return endpoints.is_config(path)


def _changed_place(endpoints: AdminEndpoints, path: str) -> EntityPath | None:
    """Return the place of a request that changes an entity; what ends in an action changes none."""
    place = endpoints.resolve(path)
    return None if place is None or place.action is not None else place


def _answered(seen: ChangeObservation, schema: str) -> dict[str, Any]:
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


def _actor(seen: ChangeObservation, masked: str) -> Actor:
    return Actor(
        method=seen.method,
        path=masked,
        consumer=seen.consumer or None,
        credential=seen.credential,
        ip=seen.ip,
        user_agent=seen.user_agent,
        request_id=seen.request_id,
    )
