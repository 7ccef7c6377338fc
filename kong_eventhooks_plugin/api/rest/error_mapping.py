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
    HookRemoved,
    HookTaken,
    HookTestFailed,
    IdTaken,
    NoPing,
    QueueError,
    QueueFull,
    TokenNeeded,
    TooBusy,
    UnknownDelivery,
    UnknownHook,
    UnknownSource,
    ValidationError,
)
from kong_eventhooks_plugin.telemetry.raised import bug_fields

log = structlog.get_logger()

Body = Mapping[str, Any]

UNEXPECTED = "An unexpected error occurred"


class ErrorMapping(NamedTuple):
    """A status, how an error becomes its body, and headers."""

    status: int
    body: Callable[[Any], Body]
    headers: Mapping[str, str] = {}


def response_for(error: Exception) -> web.Response:
    """Return the answer for what a handler raised; what nobody foresaw is logged, without its text."""
    refusal = next((refusal for kind, refusal in _ERROR_MAPPINGS if isinstance(error, kind)), None)
    if refusal is None:
        log.error("api_call_failed", **bug_fields(error))
        return json_response({"message": UNEXPECTED}, 500)
    if isinstance(error, QueueError) and not isinstance(error, UnknownDelivery):
        log.warning("api_call_rejected", error=str(error))
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


def _test_failed(error: HookTestFailed) -> Body:
    result = None if error.answer is None else answer_result(error.answer)
    return {"message": str(error), "error": error.error, "result": result}


def _unavailable(_: Exception) -> Body:
    return {"message": "the store is not available; what was asked for may or may not have been done"}


_LATER = {"retry-after": "1"}

_ERROR_MAPPINGS: tuple[tuple[type[Exception], ErrorMapping], ...] = (
    (ValidationError, ErrorMapping(400, ValidationError.body)),
    (UnknownHook, ErrorMapping(404, _not_found)),
    (UnknownDelivery, ErrorMapping(404, _not_found)),
    (UnknownSource, ErrorMapping(404, _not_found)),
    (IdTaken, ErrorMapping(400, HookTaken.body)),
    (HookTaken, ErrorMapping(409, HookTaken.body)),
    (HookDeclared, ErrorMapping(405, _declared, {"allow": "GET, HEAD, OPTIONS"})),
    (HookRemoved, ErrorMapping(409, _message)),
    (NoPing, ErrorMapping(400, _message)),
    (HookTestFailed, ErrorMapping(500, _test_failed)),
    (BadArgument, ErrorMapping(400, _bad_argument)),
    (TokenNeeded, ErrorMapping(401, _message, {"www-authenticate": 'Bearer realm="kong-event-hooks"'})),
    (AccessRefused, ErrorMapping(403, _message)),
    (TooBusy, ErrorMapping(503, _message, _LATER)),
    (QueueFull, ErrorMapping(503, _message, _LATER)),
    (QueueError, ErrorMapping(503, _unavailable, _LATER)),
    (TimeoutError, ErrorMapping(503, lambda _: {"message": "the call took too long"}, _LATER)),
    # Nobody is there to read it: the caller left before its body had arrived.
    (ConnectionError, ErrorMapping(400, lambda _: {"message": "the connection ended"})),
    (EventHooksError, ErrorMapping(500, lambda _: {"message": UNEXPECTED})),
)
"""The first that an error is an instance of counts."""
