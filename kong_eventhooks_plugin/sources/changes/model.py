"""A change of one of Kong's entities, found by the Admin API's route at once or by a reconciliation later."""

from typing import Any, Literal

import msgspec

from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.model.observation import ChangeObservation
from kong_eventhooks_plugin.model.operation import Operation

SeenBy = Literal["route", "reconciliation"]


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who made a change, as far as the route knows. Keys in ``path`` are masked.

    ``consumer`` has ``id``, ``username`` and ``custom_id``; it and ``credential`` (an id) are None for an anonymous
    client. ``request_id`` is Kong's.
    """

    method: str
    path: str
    consumer: dict[str, Any] | None = None
    credential: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


def actor_of(seen: ChangeObservation, masked_path: str) -> Actor:
    return Actor(
        method=seen.method,
        path=masked_path,
        consumer=seen.consumer or None,
        credential=seen.credential,
        ip=seen.ip,
        user_agent=seen.user_agent,
        request_id=seen.request_id,
    )


class RouteChange(msgspec.Struct, frozen=True):
    """A request that Kong accepted (2xx). ``entity`` is its answer, None where there was none; times are Unix seconds.

    Kong made the change at some moment from ``started_at`` to ``seen_at``.
    """

    place: EntityPath
    method: str
    entity: dict[str, Any] | None
    actor: Actor
    started_at: float
    seen_at: float


class EntityChange(msgspec.Struct, frozen=True):
    """One change of one entity, with its secrets masked.

    ``identity`` and ``at`` (Unix seconds) stay with the change until it is published, so that publishing it again after
    a crash gives the same events. ``shared``: it comes from what changed (``mirror.identity``), and ``at`` is no part
    of the ids; where it is false, a release before that made it. ``of_operation`` stands for it in the events that name
    the operation, where it is another. ``entity`` is the new state, of a delete the last known one; ``old_entity`` is
    the last known state before, None for a create and where none is known; ``old_at`` is when it last held.
    ``changed`` names the fields of an update that differ, by dotted path. ``actor`` is None where a reconciliation
    found the change. ``deleted_with`` is the entity whose delete removed this one too, as ``schema:id``.
    """

    identity: str
    at: float
    schema: str
    operation: Operation
    id: str
    entity: dict[str, Any]
    old_entity: dict[str, Any] | None = None
    old_at: float | None = None
    changed: tuple[str, ...] = ()
    actor: Actor | None = None
    workspace: str | None = None
    deleted_with: str | None = msgspec.field(default=None, name="went_with")
    shared: bool = False
    of_operation: str | None = None

    @property
    def seen_by(self) -> SeenBy:
        return "route" if self.actor is not None else "reconciliation"
