"""PagerDuty's Events API v2.

``routing_key``, ``event_action`` and, to trigger, ``payload`` with ``summary`` (1,024 characters), ``source`` and
``severity``; an event is at most 512 KB, ``dedup_key`` 255 characters. The end of a state has the same ``dedup_key``
and resolves what its beginning triggered. 202 accepts; 400 stays wrong when it is sent again; 429 and 5xx need not.
(https://developer.pagerduty.com/docs/events-api-v2/trigger-events/,
https://raw.githubusercontent.com/PagerDuty/api-schema/main/reference/events-v2/openapiv3.json)
"""

from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.handlers.presets.message import (
    Message,
    Rendered,
    facts,
    group_key,
    has_ended,
    severity,
    summary,
    time_of,
)

MAX_SUMMARY: Final = 1_024
MAX_BYTES: Final = 500_000
FINAL: Final = frozenset({400})


def render(message: Message) -> Rendered:
    event = message.event
    found: dict[str, Any] = {"routing_key": message.key, "dedup_key": group_key(event)}
    if has_ended(event):
        return Rendered(msgspec.json.encode(found | {"event_action": "resolve"}))
    payload = {
        "summary": summary(message, MAX_SUMMARY),
        "source": "Kong Gateway",
        "severity": severity(event),
        "timestamp": time_of(event),
        "component": message.source,
        "class": event.event,
        "custom_details": event.data,
    }
    found |= {"event_action": "trigger", "client": f"event hook {message.hook}", "payload": payload}
    body = msgspec.json.encode(found)
    if len(body) > MAX_BYTES:
        body = msgspec.json.encode(found | {"payload": payload | {"custom_details": dict(facts(event.data))}})
    return Rendered(body)
