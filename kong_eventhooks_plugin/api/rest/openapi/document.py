"""The document itself: every call with what it accepts and answers.

A test compares the calls here with those that the application serves.
"""

from typing import Any, Final, NamedTuple

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.api.rest.openapi.components import schemas
from kong_eventhooks_plugin.api.rest.openapi.structs import REF, component_name, of_type
from kong_eventhooks_plugin.api.rest.queries import MAX_TEXT
from kong_eventhooks_plugin.api.rest.requests import Moment, NewEvent, ReplayRange
from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.model.delivery import State

_PATH_TEXT: Final = {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]*$"}
_QUERY_TEXT: Final = {"type": "string", "maxLength": MAX_TEXT}
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


class Operation(NamedTuple):
    """``answer`` is the status and what the body is (None: no body).

    ``forms``: the body may be a form as well. ``secured``: needs the admin token where one is set.
    """

    method: str
    path: str
    summary: str
    answer: tuple[int, type | None]
    body: str | type | None = None
    forms: bool = False
    query: tuple[str, ...] = ()
    secured: bool = True
    errors: tuple[int, ...] = ()


_HOOK: Final = "/event-hooks/{hook}"
_HOOK_BODY: Final = (400, 409, 413, 415)
_BODY: Final = (400, 413, 415)

OPERATIONS: Final = (
    Operation("get", "/event-hooks", "List hooks.", (200, views.HookListView), query=("size", "offset", "tags"),
              secured=False, errors=(400,)),
    Operation("post", "/event-hooks", "Make a hook.", (201, views.HookView), "HookInput", forms=True,
              errors=_HOOK_BODY),
    Operation("get", "/event-hooks/sources", "List sources and their events.", (200, views.SourcesView), secured=False),
    Operation("get", "/event-hooks/sources/{source}", "List a source's events.", (200, views.EventsView), secured=False,
              errors=(404,)),
    Operation("get", "/event-hooks/sources/{source}/{event}", "Describe an event.", (200, views.EventView),
              secured=False, errors=(404,)),
    Operation("get", _HOOK, "Get a hook by its id or name.", (200, views.HookView), secured=False, errors=(404,)),
    Operation("patch", _HOOK, "Change fields of a hook.", (200, views.HookView), "HookPatch", forms=True,
              errors=(*_HOOK_BODY, 404, 405)),
    Operation("put", _HOOK, "Make a hook with that id or name, or replace it.", (200, views.HookView), "HookInput",
              forms=True, errors=(*_HOOK_BODY, 405)),
    Operation("delete", _HOOK, "Remove a hook.", (204, None), errors=(404, 405)),
    Operation("get", f"{_HOOK}/ping", "Send the hook's ping; answer with what was sent.", (200, views.PingView),
              errors=(400, 404, 500)),
    Operation("post", f"{_HOOK}/test", "Run the hook's handler at once with the posted data.", (200, views.TestedView),
              "TestData", forms=True, errors=(*_BODY, 404, 500)),
    Operation("get", f"{_HOOK}/deliveries", "List a hook's deliveries, newest first.", (200, views.DeliveryListView),
              query=("state", "since", "until", "size", "offset"), errors=(400, 404)),
    Operation("post", f"{_HOOK}/replay", "Send a hook's dead or delivered deliveries again.", (200, views.ReplayedView),
              ReplayRange, forms=True, errors=(*_BODY, 404)),
    Operation("get", "/deliveries", "List deliveries, newest first.", (200, views.DeliveryListView),
              query=("hook", "state", "source", "since", "until", "size", "offset"), errors=(400,)),
    Operation("get", "/deliveries/{delivery}", "Get a delivery with its event and attempts.",
              (200, views.DeliveryDetailView), errors=(404,)),
    Operation("post", "/deliveries/{delivery}/replay", "Send a delivery again.", (200, views.DeliveryView),
              errors=(404, 409)),
    Operation("get", "/events", "List events, newest first, each with what it fired and what was held back.",
              (200, views.AcceptedEventListView), query=("source", "event", "hook", "since", "until", "size", "offset"),
              errors=(400,)),
    Operation("post", "/events", "Publish an event of source custom.", (201, views.ReceiptView), NewEvent, forms=True,
              errors=_BODY),
)  # fmt: skip
"""All but the stream, which no schema describes, and the document itself."""

_STRUCTS: Final = (
    views.ErrorView,
    *(kind for operation in OPERATIONS for kind in (operation.answer[1], operation.body) if isinstance(kind, type)),
)

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
}

_ERRORS: Final = {
    400: "Something in the request is wrong; message says what, fields where.",
    401: "The admin token is missing or wrong.",
    403: "The API was called by a name that is not its own, or by another site's page.",
    404: "There is no such thing.",
    405: "The hook is declared in a file or in Kong; message names the place.",
    409: "The id or name is taken; or the delivery's hook was removed.",
    413: "The body is larger than 1 MiB.",
    415: "The body's type is not accepted.",
    500: "It did not arrive; message says why, result what came back.",
    503: "Too much at once, or the store is not available.",
}


def document(known: Known) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
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
            "schemas": schemas(known, _STRUCTS),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "kong": {"type": "apiKey", "in": "header", "name": "Kong-Admin-Token"},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    status, body = operation.answer
    answers = {str(status): _answer("What was asked for." if body else "Done.", body)}
    always = (403, 401, 503) if operation.secured else (403, 503)
    for error in sorted({*operation.errors, *always}):
        answers[str(error)] = _answer(_ERRORS[error], views.ErrorView)
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "responses": answers,
    }
    parameters = [_in_path(name) for name in _names_in(operation.path)]
    parameters += [{"name": name, "in": "query", **_QUERY[name]} for name in operation.query]
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {
            "required": operation.body in {"HookInput", NewEvent},
            "content": _bodies(operation.body, forms=operation.forms),
        }
    if operation.secured:
        described["security"] = [{"bearer": []}, {"kong": []}, {}]
    return described


def _operation_id(operation: Operation) -> str:
    words = [part.strip("{}") for part in operation.path.replace("-", "_").split("/") if part]
    return "_".join([operation.method, *words])


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
        "summary": "Live events as server-sent events; Last-Event-ID goes on after a break.",
        "parameters": [{"name": name, "in": "query", **_QUERY[name]} for name in names],
        "responses": {
            "200": {"description": "A stream that does not end.", "content": {"text/event-stream": {}}},
            **{str(error): _answer(_ERRORS[error], views.ErrorView) for error in (400, 401, 403, 503)},
        },
        "security": [{"bearer": []}, {"kong": []}, {}],
    }
