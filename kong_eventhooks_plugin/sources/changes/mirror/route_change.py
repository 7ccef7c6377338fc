"""One change that the Admin API's route saw, as the mirror applies it."""

from typing import Any

import msgspec

from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.sources.changes.model import Actor


class RouteChange(msgspec.Struct, frozen=True):
    """A request that Kong accepted (2xx). ``entity`` is its answer, None where there was none; times are Unix seconds.

    Kong made the change at some moment from ``started_at`` to ``seen_at``.
    """

    place: EntityPath
    method: str
    status: int
    entity: dict[str, Any] | None
    actor: Actor
    started_at: float
    seen_at: float
