"""What REST answers for each error: the one place that knows.

Kong's bodies where Kong has such an error (kong/db/errors.lua, kong/api/endpoints.lua), else ``{"message": ...}``.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import structlog
from aiohttp import web

from kong_eventhooks_plugin.api.rest.answers import answer_result, json_response
from kong_eventhooks_plugin.errors import (
    AccessRefused,
    BadArgument,
    EventHooksError,
    HookDeclared,
    HookGone,
    HookTaken,
    IdTaken,
    NoPing,
    QueueError,
    QueueFull,
    SchemaViolation,
    TokenNeeded,
    TooBusy,
    TrialFailed,
    UnknownDelivery,
    UnknownHook,
    UnknownSource,
)
from kong_eventhooks_plugin.telemetry.raised import raised_at

log = structlog.get_logger()

Body = Mapping[str, Any]

UNEXPECTED = "An unexpected error occurred"


class Refusal(NamedTuple):
    """A status, how an error becomes its body, and headers."""

    status: int
    body: Callable[[Any], Body]
    headers: Mapping[str, str] = {}


def response_for(error: Exception) -> web.Response:
    """Return the answer for what a handler raised; what nobody foresaw is logged, without its text."""
    refusal = next((refusal for kind, refusal in _REFUSALS if isinstance(error, kind)), None)
    if refusal is None:
        log.error("api call failed", error=type(error).__name__, at=raised_at(error))
        return json_response({"message": UNEXPECTED}, 500)
    if isinstance(error, QueueError) and not isinstance(error, UnknownDelivery):
        log.warning("api call refused by the store", error=str(error))
    return json_response(refusal.body(error), refusal.status, refusal.headers)


def response_for_http(error: web.HTTPException) -> web.Response:
    """Return Kong's answer for what aiohttp raised: an unknown path, a method that is not there, a body too large."""
    message = _HTTP_MESSAGES.get(error.status)
    if message is None:
        own = error.text if error.text and not error.text.startswith(f"{error.status}:") else error.reason
        message = own
    headers = {"allow": error.headers["allow"]} if "allow" in error.headers else {}
    return json_response({"message": message}, error.status, headers)


_HTTP_MESSAGES = {404: "Not found", 405: "Method not allowed", 413: "Request body too large"}


def _message(error: Exception) -> Body:
    return {"message": str(error)}


def _not_found(_: Exception) -> Body:
    return {"message": "Not found"}


def _declared(error: HookDeclared) -> Body:
    return {"code": 12, "name": "operation unsupported", "message": str(error), "declared_in": error.where}


def _bad_argument(error: BadArgument) -> Body:
    body: dict[str, Any] = {"message": str(error)}
    if error.code is not None:
        body |= {"code": error.code, "name": error.name}
    return body | {"options": error.options} if error.options else body


def _trial(error: TrialFailed) -> Body:
    result = None if error.answer is None else answer_result(error.answer)
    return {"message": str(error), "error": error.error, "result": result}


def _unavailable(_: Exception) -> Body:
    return {"message": "the store is not available; what was asked for may or may not have been done"}


_LATER = {"retry-after": "1"}

_REFUSALS: tuple[tuple[type[Exception], Refusal], ...] = (
    (SchemaViolation, Refusal(400, SchemaViolation.body)),
    (UnknownHook, Refusal(404, _not_found)),
    (UnknownDelivery, Refusal(404, _not_found)),
    (UnknownSource, Refusal(404, _not_found)),
    (IdTaken, Refusal(400, HookTaken.body)),
    (HookTaken, Refusal(409, HookTaken.body)),
    (HookDeclared, Refusal(405, _declared, {"allow": "GET, HEAD, OPTIONS"})),
    (HookGone, Refusal(409, _message)),
    (NoPing, Refusal(400, _message)),
    (TrialFailed, Refusal(500, _trial)),
    (BadArgument, Refusal(400, _bad_argument)),
    (TokenNeeded, Refusal(401, _message, {"www-authenticate": 'Bearer realm="kong-event-hooks"'})),
    (AccessRefused, Refusal(403, _message)),
    (TooBusy, Refusal(503, _message, _LATER)),
    (QueueFull, Refusal(503, _message, _LATER)),
    (QueueError, Refusal(503, _unavailable, _LATER)),
    (TimeoutError, Refusal(503, lambda _: {"message": "the call took too long"}, _LATER)),
    # Nobody is there to read it: the caller left before its body had arrived.
    (ConnectionError, Refusal(400, lambda _: {"message": "the connection ended"})),
    (EventHooksError, Refusal(500, lambda _: {"message": UNEXPECTED})),
)
"""The first that an error is an instance of counts."""
