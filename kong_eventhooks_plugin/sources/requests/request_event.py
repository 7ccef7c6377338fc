"""The event of a finished request: its id, and how it names who asked for what."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.entry import SourceEntry
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

NOWHERE: Final = {"id": None, "hostname": None}
"""What ``node`` is where nothing says it."""


class RequestEvents:
    """Builds the only event of a source; see ``RequestSource.event``.

    The event's time is when we saw it: the end-to-end metric starts there, and with one clock for it and the
    delivery it cannot come out negative. Its id comes from when the request started and from Kong's request
    id, which stay the same when Kong reports the request again. Without Kong's id, two requests must not
    pass for one: the event's id is then random, and an event that is reported twice arrives twice.

    on_change compares what identifies a consumer and a service, not all that the data has of them: any DB-less reload
    renews their timestamps.
    """

    def __init__(self, source: SourceEntry) -> None:
        (entry,) = source.events
        self._source = source.name
        self._event = entry.name
        self._unique = entry.unique
        self._blank = dict.fromkeys(field.name for field in entry.fields)

    def build(self, log: KongLog, seen: LogObservation, own: Mapping[str, Any], *parts: str) -> Event:
        request = log.request
        data: dict[str, Any] = self._blank.copy()  # in the fields' order, at a fifth of a comprehension's cost
        data["consumer"] = log.consumer_data
        data["ip"] = log.client_ip
        data["service"] = log.service_data
        data["route"] = log.route_data
        data["request"] = {"method": request.method, "path": request.path, "id": request.id}
        data["node"] = NOWHERE if seen.node is None else seen.node.data()
        data.update(own)
        if len(data) > len(self._blank):  # not every source has all of them
            data = {name: data[name] for name in self._blank}
        started = log.started_seconds(seen.seen_at)
        return Event(
            id=event_id(started, request.id or uuid4().hex, self._source, self._event, *parts),
            source=self._source,
            event=self._event,
            data=data,
            time=seen.seen_at,
            scope=log.scope,
            unique=self._unique,
            compared=COMPARED,
        )


COMPARED: Final = {
    "consumer": ("id", "username", "custom_id"),
    "service": ("id", "name", "host", "port", "protocol", "path"),
}
"""What on_change compares of fields of a request event's data."""
