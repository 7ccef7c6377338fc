"""An event: something that happened in the gateway, as hooks hear of it."""

from typing import Any

import msgspec

from kong_eventhooks_plugin.model.scope import NOWHERE, EventScope


class Event(msgspec.Struct, frozen=True):
    """One thing that happened.

    ``id`` is a UUID that is the same when Kong tells of the same request again (see
    ``model.ids.event_id``). ``data`` is JSON-ready. ``time`` is Unix seconds. ``unique`` names the
    fields of ``data`` that a digest is taken of; empty means all of them.
    """

    id: str
    source: str
    event: str
    data: dict[str, Any]
    time: float
    scope: EventScope = NOWHERE
    unique: tuple[str, ...] = ()
