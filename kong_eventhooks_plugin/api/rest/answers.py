"""What REST answers with: JSON as Kong writes it, and the shapes of deliveries, events and results.

Times are Unix seconds with their fraction, as in Kong; a body of an answer is text, with U+FFFD for what is none.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from kong_eventhooks_plugin.api.service.feed import LiveEvent
from kong_eventhooks_plugin.model.delivery import Answer, Attempt, Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.contract import Accepted, Receipt

CONTENT_TYPE: Final = "application/json; charset=utf-8"
_ALWAYS: Final = {"content-type": CONTENT_TYPE, "cache-control": "no-store", "x-content-type-options": "nosniff"}

NameOf = Callable[[str], str | None]
"""Takes a hook's id and gives its name, None where it has none or is gone."""


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    return web.Response(body=msgspec.json.encode(value), status=status, headers={**_ALWAYS, **(headers or {})})


def page_body(data: list[Any], request: web.Request, next_offset: str | None, *kept: str) -> dict[str, Any]:
    """Return a page as Kong's lists have it: ``next`` is where to go on; of the query the parameters ``kept`` stay."""
    if next_offset is None:
        return {"data": data, "next": None}
    asked = {name: request.query[name] for name in kept if name in request.query}
    following = urlencode({"offset": next_offset, **asked})
    return {"data": data, "next": f"{request.rel_url.raw_path.rstrip('/')}?{following}", "offset": next_offset}


def delivery_body(delivery: Delivery, name_of: NameOf) -> dict[str, Any]:
    """Return a delivery without its event's data."""
    return {
        "id": delivery.id,
        "event_hook": _hook(delivery.hook_id, name_of),
        "source": delivery.source,
        "event": delivery.event.event,
        "event_id": delivery.event.id,
        "state": delivery.state,
        "reason": delivery.reason,
        "attempt_count": delivery.attempts,
        "created_at": delivery.created_at,
        "due_at": delivery.due_at if delivery.settled_at is None else None,
        "settled_at": delivery.settled_at,
    }


def attempt_body(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt."""
    return msgspec.structs.asdict(attempt) | {"body": attempt.body.decode(errors="replace")}


def accepted_body(accepted: Accepted, name_of: NameOf) -> dict[str, Any]:
    """Return an accepted event: which hooks it fired, with their deliveries, and what held others back."""
    return {
        **_event_body(accepted.event),
        "accepted_at": accepted.accepted_at,
        "fired": [
            {**_fired(accepted.event.id, hook_id, name_of), "state": state} for hook_id, state in accepted.fired.items()
        ],
        "held_back": _held_back(accepted.held_back, name_of),
    }


def live_event_body(watched: LiveEvent, name_of: NameOf) -> dict[str, Any]:
    """Return a live event: as an accepted one, without states, which change by the second."""
    return {
        **_event_body(watched.event),
        "fired": [_fired(watched.event.id, hook_id, name_of) for hook_id in watched.receipt.fired],
        "held_back": _held_back(watched.receipt.held_back, name_of),
    }


def answer_result(answer: Answer) -> dict[str, Any]:
    """Return an endpoint's answer as Enterprise's test shows it; repeated headers are joined."""
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {"body": answer.body.decode(errors="replace"), "headers": headers, "status": answer.status}


def _event_body(event: Event) -> dict[str, Any]:
    return {"id": event.id, "source": event.source, "event": event.event, "time": event.time, "data": event.data}


def _held_back(held_back: Mapping[str, str], name_of: NameOf) -> list[dict[str, Any]]:
    return [{"event_hook": _hook(hook_id, name_of), "reason": reason} for hook_id, reason in held_back.items()]


def receipt_body(receipt: Receipt, name_of: NameOf) -> dict[str, Any]:
    """Return what came of a published event."""
    return {
        "id": receipt.event_id,
        "duplicate": receipt.duplicate,
        "fired": [_fired(receipt.event_id, hook_id, name_of) for hook_id in receipt.fired],
        "held_back": _held_back(receipt.held_back, name_of),
    }


def _fired(event_id: str, hook_id: str, name_of: NameOf) -> dict[str, Any]:
    return {"event_hook": _hook(hook_id, name_of), "delivery": delivery_id(event_id, hook_id)}


def _hook(hook_id: str, name_of: NameOf) -> dict[str, str | None]:
    return {"id": hook_id, "name": name_of(hook_id)}
