"""An event: something that happened in the gateway."""

from typing import Any

import msgspec

from kong_eventhooks_plugin.model.scope import NOWHERE, EventScope
from kong_eventhooks_plugin.model.trace import Trace


class Event(msgspec.Struct, frozen=True, gc=False):
    """``id`` is a UUID, the same when Kong reports the same request again (``model.ids.event_id``).

    ``data`` is JSON-ready. ``time`` is Unix seconds. ``unique`` names the fields of ``data`` that a digest covers;
    empty means all of them. ``compared`` names what alone counts of a field that is an object; no queue stores it.
    ``trace`` is there where tracing is on; of the queue's answers ``claim`` alone has it.
    """

    id: str
    source: str
    event: str
    data: dict[str, Any]
    time: float
    scope: EventScope = NOWHERE
    unique: tuple[str, ...] = ()
    compared: dict[str, tuple[str, ...]] = {}
    trace: Trace | None = None
