"""A change on the Admin API's route as a node without an Admin API hands it to one that has it.

No secret is in it: of Kong's answer it has the entity's id and when it was updated, since only Kong's schemas say which
other fields are secret; a key in the path that is or may be a secret is hidden, as in what people are shown. Who takes
it reads the entity itself.

Limit: ``BYTES`` once it is encoded.
"""

from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.errors import ObservationError
from kong_eventhooks_plugin.kong.admin_api.endpoints import is_open_key
from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.model.masking import MASK
from kong_eventhooks_plugin.model.observation import ChangeObservation
from kong_eventhooks_plugin.sources.changes.answer_body import decode_entity
from kong_eventhooks_plugin.sources.changes.model import Actor, actor_of

BYTES: Final = 64 << 10


class ForwardedChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """``id`` is the entity's as Kong answered it, None of a delete, and where no answer could be read.

    ``seconds`` is how long Kong took. ``hidden``: a key in the path is not in it.
    """

    method: str
    place: EntityPath
    actor: Actor
    seconds: float
    id: str | None = None
    updated_at: float | None = None
    hidden: bool = False

    @property
    def is_delete(self) -> bool:
        return self.method == "DELETE"


def forwarded_change(seen: ChangeObservation, place: EntityPath) -> ForwardedChange:
    open_place = _without_secrets(place)
    answered = {} if seen.method == "DELETE" else _answered(seen.body)
    updated_at = answered.get("updated_at")
    return ForwardedChange(
        method=seen.method,
        place=open_place,
        actor=actor_of(seen, place.masked),
        seconds=max(0.0, seen.seen_at - seen.started_at),
        id=answered.get("id"),
        updated_at=updated_at if isinstance(updated_at, int | float) else None,
        hidden=open_place != place,
    )


def _without_secrets(place: EntityPath) -> EntityPath:
    parents = tuple((schema, key if is_open_key(schema, key) else MASK) for schema, key in place.parents)
    key = place.key
    return place._replace(key=MASK if key is not None and not is_open_key(place.schema, key) else key, parents=parents)


def _answered(body: bytes | None) -> dict[str, Any]:
    """Return the entity of an answer, or what it is within (Enterprise's ``{"admin": {...}}``); empty without an id."""
    if body is None:
        return {}
    try:
        answer = decode_entity(body)
    except ObservationError:
        return {}
    found = (each for each in (answer, *answer.values()) if isinstance(each, dict) and isinstance(each.get("id"), str))
    return answer if isinstance(answer.get("id"), str) else next(found, {})
