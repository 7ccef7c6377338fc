"""The event of a finished request: its id, and how it names who asked for what."""

from typing import Any, Final
from uuid import uuid4

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.entry import SourceEntry
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

NOWHERE: Final = {"id": None, "hostname": None}
"""What ``node`` is where nothing says it."""


def request_event(source: SourceEntry, log: KongLog, seen: LogObservation, own: dict[str, Any], *parts: str) -> Event:
    """Build the only event of ``source``; see ``RequestSource.event``.

    The event's time is when we saw it: the end-to-end metric starts there, and with one clock for it and the
    delivery it cannot come out negative. Its id comes from when the request started and from Kong's request
    id, which stay the same when Kong reports the request again. Without Kong's id, two requests must not
    pass for one: the event's id is then random, and an event that is reported twice arrives twice.

    on_change compares what identifies a consumer and a service, not all that the data has of them: any DB-less reload
    renews their timestamps.
    """
    (entry,) = source.events
    request = log.request
    values = {
        "consumer": log.consumer_data,
        "ip": log.client_ip,
        "service": log.service_data,
        "route": log.route_data,
        "request": {"method": request.method, "path": request.path, "id": request.id},
        "node": NOWHERE if seen.node is None else seen.node.data(),
        **own,
    }
    return Event(
        id=event_id(log.started_seconds(seen.seen_at), request.id or uuid4().hex, source.name, entry.name, *parts),
        source=source.name,
        event=entry.name,
        data={field.name: values[field.name] for field in entry.fields},
        time=seen.seen_at,
        scope=log.scope,
        unique=entry.unique,
        compared=COMPARED,
    )


COMPARED: Final = {
    "consumer": ("id", "username", "custom_id"),
    "service": ("id", "name", "host", "port", "protocol", "path"),
}
"""What on_change compares of fields of a request event's data."""
