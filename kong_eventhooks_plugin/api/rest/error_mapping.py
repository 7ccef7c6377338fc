"""The REST answer for each error: its status from ``error_codes``, and its body.

Kong's bodies where Kong has such an error (kong/db/errors.lua, kong/api/endpoints.lua), else ``{"message": ...}``.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from kong_eventhooks_plugin import errors
from kong_eventhooks_plugin.api.rest.answers import json_response
from kong_eventhooks_plugin.api.service.error_codes import RETRY_SECONDS, UNFORESEEN, code_of, text_of
from kong_eventhooks_plugin.api.service.presenter import views_of_test
from kong_eventhooks_plugin.background import RateLimitedLogger
from kong_eventhooks_plugin.telemetry.raised import bug_fields, bug_text

limited_log = RateLimitedLogger(time.monotonic)  # a full disk fails every call there is

Body = Mapping[str, Any]


def response_for(error: Exception) -> web.Response:
    """Return the answer for what a handler raised; the unforeseen is logged, without its text."""
    if isinstance(error, ConnectionError):
        # The client left before its body had arrived: nobody reads this.
        return json_response({"message": "the connection ended"}, 400)
    code = code_of(error)
    if code is UNFORESEEN:
        limited_log.error("api_call_failed", bug_text(error), **bug_fields(error))
    elif isinstance(error, errors.QueueError) and not isinstance(error, errors.UnknownDelivery | errors.UnknownEvent):
        limited_log.warning("api_call_rejected", type(error).__name__, error=str(error))
    body = next((body for kind, body in _BODIES if isinstance(error, kind)), None)
    message = _HTTP_MESSAGES[404] if code.http == 404 else text_of(error)
    return json_response(body(error) if body else {"message": message}, code.http, _headers(error, code.http))


def response_for_http(error: web.HTTPException) -> web.Response:
    """Return Kong's answer for what aiohttp raised: an unknown path or method, a body too large."""
    message = _HTTP_MESSAGES.get(error.status)
    if message is None:
        message = error.text if error.text and not error.text.startswith(f"{error.status}:") else error.reason
    headers = {"allow": error.headers["allow"]} if "allow" in error.headers else {}
    return json_response({"message": message}, error.status, headers)


_HTTP_MESSAGES: Final = {404: "Not found", 405: "Method not allowed", 413: "Request body too large"}


def _headers(error: Exception, status: int) -> Mapping[str, str]:
    if isinstance(error, errors.HookDeclared):
        return {"allow": "GET, HEAD, OPTIONS"}
    if isinstance(error, errors.TokenNeeded):
        return {"www-authenticate": 'Bearer realm="kong-event-hooks"'}
    return {"retry-after": str(RETRY_SECONDS)} if status == 503 else {}


def _declared(error: errors.HookDeclared) -> Body:
    return {"code": 12, "name": "operation unsupported", "message": str(error), "declared_in": error.where}


def _bad_argument(error: errors.BadArgument) -> Body:
    body: dict[str, Any] = {"message": str(error)}
    if error.code is not None:
        body |= {"code": error.code, "name": error.name}
    return body | {"options": error.options} if error.options else body


def _test_failed(error: errors.HookTestFailed) -> Body:
    parts = views_of_test(error.answer, error.request, error.verdict)
    return {"message": str(error), "error": error.error, **parts}


def _unauthorized(error: errors.TokenNeeded) -> Body:
    return {"message": str(error), "status": 401}


_BODIES: Final[tuple[tuple[type[Exception], Callable[[Any], Body]], ...]] = (
    (errors.ValidationError, errors.ValidationError.body),
    (errors.HookTaken, errors.HookTaken.body),
    (errors.HookDeclared, _declared),
    (errors.HookTestFailed, _test_failed),
    (errors.BadArgument, _bad_argument),
    (errors.TokenNeeded, _unauthorized),
)
