"""A change of one of Kong's entities, whoever saw it: the Admin API's route at once, or a round later."""

from typing import Any, Literal

import msgspec

Operation = Literal["create", "update", "delete"]
SeenBy = Literal["route", "round"]


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who made a change, as far as the route knows. ``path`` is masked: a key in it is not shown.

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


class EntityChange(msgspec.Struct, frozen=True):
    """One change of one entity, with its secrets already hidden.

    ``identity`` is made once and kept with the change until it is told, so that telling it again after a crash gives
    the same events; ``at`` (Unix seconds) is kept with it. ``entity`` is the new state, of a delete the last one known;
    ``old_entity`` the last state known before, None for a create and where none was known, ``old_at`` when it was
    last known to hold. ``changed`` names the fields that differ, by dotted path, for an update. ``deleted_with`` is the
    entity whose delete took this one along, as ``schema:id``.
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
    seen_by: SeenBy = "round"
    actor: Actor | None = None
    workspace: str | None = None
    deleted_with: str | None = msgspec.field(default=None, name="went_with")
