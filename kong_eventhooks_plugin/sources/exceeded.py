"""The event ``rate-limit-exceeded`` of a finished request, the same for every source that tells it."""

from typing import Any
from uuid import uuid4

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.sources.catalogue import RATE_LIMIT_EXCEEDED, unique_fields
from kong_eventhooks_plugin.sources.kong_log import Consumer, KongLog, Route, Service
from kong_eventhooks_plugin.sources.rate_headers import Broken

_UNIQUE = unique_fields("rate-limiting", RATE_LIMIT_EXCEEDED)


def rate_limit_exceeded(source: str, log: KongLog, broken: Broken | None, seen_at: float) -> Event:
    """Build the event; ``broken`` is None where a setting says that it happened and nothing else is known.

    The event's time is when we saw it: the end-to-end metric starts there, and with one clock for it and the
    delivery it cannot come out negative. Its id comes from when the request started and from Kong's request
    id, which stay the same when Kong tells of the request again. Should Kong give no id, two
    requests must not pass for one: the id is then a random one, and an event told twice arrives twice.
    """
    request = log.request
    identity = request.id or uuid4().hex
    return Event(
        id=event_id(log.started_seconds(seen_at), identity, source, RATE_LIMIT_EXCEEDED),
        source=source,
        event=RATE_LIMIT_EXCEEDED,
        data={
            "consumer": _consumer(log.consumer),
            "ip": log.client_ip,
            "service": _service(log.service),
            "rate": broken and broken.rate,
            "limit": broken and broken.limit,
            "window": broken and broken.window,
            "route": _route(log.route),
            "request": {"method": request.method, "path": request.path, "id": request.id},
            "retry_after": broken and broken.retry_after,
            "limit_name": broken and broken.name,
            "attributed": "inferred" if broken is None else "headers",
        },
        time=seen_at,
        scope=log.scope(),
        unique=_UNIQUE,
    )


def _consumer(consumer: Consumer | None) -> dict[str, Any]:
    if consumer is None:
        return {}
    return {"id": consumer.id, "username": consumer.username, "custom_id": consumer.custom_id}


def _service(service: Service | None) -> dict[str, Any]:
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


def _route(route: Route | None) -> dict[str, Any]:
    return {} if route is None else {"id": route.id, "name": route.name}
