"""What events of finished requests have in common: their id, and how they name who asked for what."""

from typing import Any, NamedTuple
from uuid import uuid4

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.sources.entry import SourceEntry
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog


class EventKind(NamedTuple):
    """An event's name, and the fields that on_change looks at."""

    source: str
    event: str
    unique: tuple[str, ...]


def event_kind(source: SourceEntry) -> EventKind:
    """Return the only event of a source of the catalogue."""
    (event,) = source.events
    return EventKind(source.name, event.name, event.unique)


def request_event(kind: EventKind, log: KongLog, seen_at: float, data: dict[str, Any], *parts: str) -> Event:
    """Build the event. ``parts`` tell it from others of the same kind and request.

    The event's time is when we saw it: the end-to-end metric starts there, and with one clock for it and the
    delivery it cannot come out negative. Its id comes from when the request started and from Kong's request
    id, which stay the same when Kong tells of the request again. Should Kong give no id, two
    requests must not pass for one: the id is then a random one, and an event told twice arrives twice.
    """
    identity = log.request.id or uuid4().hex
    return Event(
        id=event_id(log.started_seconds(seen_at), identity, kind.source, kind.event, *parts),
        source=kind.source,
        event=kind.event,
        data=data,
        time=seen_at,
        scope=log.scope(),
        unique=kind.unique,
    )


def consumer_of(log: KongLog) -> dict[str, Any]:
    """Return who asked, ``{}`` for an anonymous client."""
    consumer = log.consumer
    if consumer is None:
        return {}
    return {"id": consumer.id, "username": consumer.username, "custom_id": consumer.custom_id}


def service_of(log: KongLog) -> dict[str, Any]:
    """Return the service that was asked for, ``{}`` where the route has none."""
    service = log.service
    if service is None:
        return {}
    return {
        "id": service.id,
        "name": service.name,
        "host": service.host,
        "port": service.port,
        "protocol": service.protocol,
        "path": service.path,
    }


def route_of(log: KongLog) -> dict[str, Any]:
    """Return the route that was asked for, ``{}`` where there is none."""
    return {} if log.route is None else {"id": log.route.id, "name": log.route.name}


def request_of(log: KongLog) -> dict[str, Any]:
    """Return the request, without query string and headers."""
    return {"method": log.request.method, "path": log.request.path, "id": log.request.id}


def client_and_service(log: KongLog) -> dict[str, Any]:
    """Return the fields with which most events begin: who asked, from where, and for which service."""
    return {"consumer": consumer_of(log), "ip": log.client_ip, "service": service_of(log)}


def route_and_request(log: KongLog) -> dict[str, Any]:
    """Return the fields that every event has beside those: by which route, and what was asked."""
    return {"route": route_of(log), "request": request_of(log)}
