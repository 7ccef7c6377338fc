"""The bodies that the ``webhook`` handler posts. Pure.

An event's body has the event's fields at the top level beside ``source`` and ``event``, as Kong's does. Receivers
dispatch on these two, so a field of the event's data with one of their names becomes ``data_source`` or ``data_event``
(with one more ``data_`` for each time that this name is taken too).

A ping holds the hook as an entity with the fields of Enterprise's, unset ones null, and without its secrets: they and
header values are masked, credentials and the query are cut from the URL.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.masking import MASK
from kong_eventhooks_plugin.model.operation import Operation

PING_SOURCE = "kong:event_hooks"
PING_EVENT = "ping"

_ENVELOPE = ("source", "event")
_encode = msgspec.json.Encoder().encode


def event_body(event: Event, source: str, data: bytes = b"") -> bytes:
    """Return the JSON body. ``data`` is the event's as JSON, where that is at hand: it need not be written again.

    Raises ``TypeError``, ``ValueError``, ``OverflowError`` or ``RecursionError`` where the data is not JSON-ready.
    """
    if len(data) > len(b"{}") and "source" not in event.data and "event" not in event.data:
        return b"".join((b'{"source":', _encode(source), b',"event":', _encode(event.event), b",", data[1:]))
    body: dict[str, Any] = {"source": source, "event": event.event}
    for name, value in event.data.items():
        body[_free_name(name, event.data) if name in _ENVELOPE else name] = value
    return _encode(body)


def ping_body(hook: Hook, operation: Operation | None) -> bytes:
    """Return the body that reports a hook's creation, change or deletion, or only tests its endpoint (None)."""
    entity = {
        "id": hook.id,
        "name": hook.given_name,
        "source": hook.source,
        "event": hook.event,
        "handler": hook.handler,
        "on_change": hook.on_change or None,
        "snooze": hook.snooze,
        "config": _public_config(hook.config),
        "created_at": hook.created_at,
        "updated_at": hook.updated_at,
    }
    ping = {"source": PING_SOURCE, "event": PING_EVENT, "event_hooks": entity}
    return _encode(ping | {"operation": operation} if operation else ping)


def _public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    url, headers = config.get("url"), config.get("headers")
    return {
        "url": public_url(url) if isinstance(url, str) else url,
        "headers": dict.fromkeys(map(str, headers), MASK) if isinstance(headers, Mapping) else {},
        "ssl_verify": config.get("ssl_verify") is not False,
        "secret": None if config.get("secret") is None and config.get("secret_file") is None else MASK,
    }


def public_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return MASK


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name = f"data_{name}"
    return name
