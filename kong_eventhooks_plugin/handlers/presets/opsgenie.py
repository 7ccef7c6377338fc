"""Opsgenie's Alert API; the hook's URL is ``https://api.opsgenie.com/v2/alerts``.

The key is in ``authorization: GenieKey ...``. ``message`` has at most 130 characters, ``alias`` 512, ``description``
15,000, ``details`` 8,000 in all, ``entity`` 512, ``source`` 100. Requests are accepted with 202. The end of a state
closes the alert of its alias. 400, 401, 403 and 422 stay wrong when they are sent again.
(https://docs.opsgenie.com/docs/alert-api)
"""

from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.handlers.presets.message import (
    Message,
    Rendered,
    cut,
    facts,
    group_key,
    has_ended,
    severity,
    summary,
    title,
)

MAX_MESSAGE: Final = 130
MAX_DETAILS: Final = 8_000
MAX_ENTITY: Final = 512
FINAL: Final = frozenset({400, 401, 403, 422})

_PRIORITIES: Final = {"critical": "P1", "error": "P2", "warning": "P3"}


def render(message: Message) -> Rendered:
    event, alias = message.event, group_key(message.event)
    headers = {b"content-type": b"application/json", b"authorization": b"GenieKey " + message.key.encode()}
    if has_ended(event):
        body = {"source": "Kong Gateway", "note": summary(message, MAX_MESSAGE)}
        return Rendered(msgspec.json.encode(body), headers, f"/{alias}/close?identifierType=alias")
    alert: dict[str, Any] = {
        "message": summary(message, MAX_MESSAGE),
        "alias": alias,
        "description": "\n".join(f"{name}: {value}" for name, value in facts(event.data))[:15_000],
        "details": _details(message),
        "entity": cut(title(message), MAX_ENTITY),
        "source": "Kong Gateway",
        "priority": _PRIORITIES[severity(event)],
        "tags": ["kong-event-hooks"],
    }
    return Rendered(msgspec.json.encode(alert), headers)


def _details(message: Message) -> dict[str, str]:
    """Return texts, as many as fit."""
    kept: dict[str, str] = {}
    room = MAX_DETAILS
    for name, value in (("hook", message.hook), *facts(message.event.data)):
        room -= len(name) + len(value)
        if room < 0:
            break
        kept[name] = value
    return kept
