"""The document itself: every call with what it accepts and answers."""

from collections.abc import Sequence
from typing import Any, Final

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.api.rest.openapi.components import schemas
from kong_eventhooks_plugin.api.rest.openapi.structs import REF, component_name, of_type
from kong_eventhooks_plugin.api.rest.queries import MAX_TEXT
from kong_eventhooks_plugin.api.rest.requests import Moment, NewEvent
from kong_eventhooks_plugin.api.rest.routes import Endpoint
from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.model.delivery import State

_PATH_TEXT: Final = {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]*$"}
_QUERY_TEXT: Final = {"type": "string", "maxLength": MAX_TEXT}
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


_TAG: Final = "[^,/\u0000-\u001f\u007f]+"

_QUERY: Final[dict[str, dict[str, Any]]] = {
    "size": {"schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}},
    "offset": {"schema": {"type": "string"}, "description": "The offset that the previous page gave."},
    "tags": {
        "schema": {"type": "string", "pattern": f"^{_TAG}(,{_TAG}){{0,4}}$|^{_TAG}(/{_TAG}){{1,4}}$"},
        "description": "a,b for both tags, a/b for either; five at most.",
    },
    "state": {"schema": of_type(State)},
    "since": {"schema": of_type(Moment), "description": "Unix seconds or ISO 8601; then or later."},
    "until": {"schema": of_type(Moment), "description": "Unix seconds or ISO 8601; before."},
    "hook": {"schema": _QUERY_TEXT, "description": "A hook's id or name."},
    "source": {"schema": _QUERY_TEXT},
    "event": {"schema": _QUERY_TEXT},
    "event_id": {"schema": _QUERY_TEXT, "description": "The id of the event, or how it begins."},
}

_ERRORS: Final = {
    400: "The request is invalid; message has the reason, fields the places.",
    401: "The admin token is missing or wrong.",
    403: "The API was called by a name that is not its own, or by another site's page.",
    404: "There is no such thing.",
    405: "The hook is declared in a file or in Kong; message names the place.",
    409: "The id or name is taken; or the delivery's hook was removed.",
    413: "The body is larger than 1 MiB.",
    415: "The body's type is not accepted.",
    500: "It did not arrive; message has the reason, result the endpoint's answer.",
    503: "Too much at once, or the store is not available.",
}


def document(known: Known, calls: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the document for the calls that have a summary, and for the stream, which no schema describes."""
    described = [call for call in calls if call.summary]
    structs = [kind for call in described for kind in (call.answer[1], call.body) if isinstance(kind, type)]
    paths: dict[str, dict[str, Any]] = {}
    for call in described:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    paths["/events/stream"] = {"get": _stream()}
    paths["/openapi.json"] = {
        "get": {
            "operationId": "get_openapi",
            "summary": "This document.",
            "responses": {"200": {"description": "OpenAPI 3.1.", "content": {"application/json": {}}}},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Event hooks for Kong Gateway",
            "version": __version__,
            "description": "What /event-hooks has is also at /{workspace}/event-hooks. Bodies are JSON or, as in "
            "Kong's Admin API, forms with dotted names (config.headers.x-a=1).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas(known, [views.ErrorView, *structs]),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "kong": {"type": "apiKey", "in": "header", "name": "Kong-Admin-Token"},
            },
        },
    }


def _operation(call: Endpoint) -> dict[str, Any]:
    secured = call.kind != "open"
    status, body = call.answer
    answers = {str(status): _answer("What was asked for." if body else "Done.", body)}
    always = (403, 401, 503) if secured else (403, 503)
    for error in sorted({*call.errors, *always}):
        answers[str(error)] = _answer(_ERRORS[error], views.ErrorView)
    described: dict[str, Any] = {
        "operationId": _operation_id(call),
        "summary": call.summary,
        "responses": answers,
    }
    parameters = [_in_path(name) for name in _names_in(call.path)]
    parameters += [{"name": name, "in": "query", **_QUERY[name]} for name in call.query]
    if parameters:
        described["parameters"] = parameters
    if call.body:
        described["requestBody"] = {
            "required": call.body in {"HookInput", NewEvent},
            "content": _bodies(call.body, forms=call.forms),
        }
    if secured:
        described["security"] = [{"bearer": []}, {"kong": []}, {}]
    return described


def _operation_id(call: Endpoint) -> str:
    words = [part.strip("{}") for part in call.path.replace("-", "_").split("/") if part]
    return "_".join([call.method.lower(), *words])


def _bodies(body: str | type, *, forms: bool) -> dict[str, Any]:
    bodies = _json(body)
    if forms:
        flat = {"type": "object", "additionalProperties": {"type": "string"}}
        bodies |= {kind: {"schema": flat} for kind in _FORMS}
    return bodies


def _answer(description: str, body: type | None) -> dict[str, Any]:
    if body is None:
        return {"description": description}
    return {"description": description, "content": _json(body)}


def _json(body: str | type) -> dict[str, Any]:
    name = body if isinstance(body, str) else component_name(body)
    return {"application/json": {"schema": {"$ref": REF.format(name=name)}}}


def _names_in(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _PATH_TEXT}


def _stream() -> dict[str, Any]:
    names = ("source", "event", "hook")
    return {
        "operationId": "get_events_stream",
        "summary": "Live events as server-sent events; Last-Event-ID resumes after a break.",
        "parameters": [{"name": name, "in": "query", **_QUERY[name]} for name in names],
        "responses": {
            "200": {"description": "A stream that does not end.", "content": {"text/event-stream": {}}},
            **{str(error): _answer(_ERRORS[error], views.ErrorView) for error in (400, 401, 403, 503)},
        },
        "security": [{"bearer": []}, {"kong": []}, {}],
    }
