"""The schemas of what the API takes and gives."""

from typing import Final

from kong_eventhooks_plugin.api.rest.openapi.json_schema import Schema, of_record
from kong_eventhooks_plugin.api.service.deliveries import SETTLED
from kong_eventhooks_plugin.api.service.hooks import LATEST
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.model.delivery import State

_TEXT: Final[Schema] = {"type": "string"}
_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_WHOLE: Final[Schema] = {"type": "integer"}
_TIME: Final[Schema] = {"type": "number", "description": "Unix seconds."}
_TIME_OR_NULL: Final[Schema] = {"type": ["number", "null"], "description": "Unix seconds."}
_SECONDS: Final[Schema] = {"type": ["integer", "null"], "minimum": 0, "maximum": LATEST}
_STATES: Final[Schema] = {"type": "string", "enum": list(State.__args__)}  # type: ignore[attr-defined]  # a Literal's values

_NO_CONTROLS: Final = "^[^\u0000-\u001f\u007f-\u009f]*$"

UUID: Final[Schema] = {"type": "string", "format": "uuid"}


def schemas(known: Known) -> dict[str, Schema]:
    """Return the named schemas."""
    return {
        "HookInput": hook_input(known),
        "HookPatch": hook_patch(known),
        "Hook": _hook(known),
        "HookList": _list_of("Hook"),
        "Sources": _data(_map_of(_map_of(_ref("EventDescription")))),
        "Events": _data(_map_of(_ref("EventDescription"))),
        "Event": _data(_ref("EventDescription")),
        "EventDescription": _closed(
            {"fields": _many(_TEXT), "unique": _many(_TEXT), "description": _TEXT}, "fields", "description"
        ),
        "Ping": _closed(
            {"source": {"const": "kong:event_hooks"}, "event": {"const": "ping"}, "event_hooks": {"type": "object"}}
        ),
        "TestData": {"type": "object", "description": "What the handler gets as the event's data."},
        "Tested": _closed({"data": {"type": "object"}, "result": _ref("Result")}),
        "Result": _closed(
            {"body": _TEXT, "headers": _map_of(_TEXT), "status": {"type": ["integer", "null"]}},
            description="What the endpoint answered. status is null where the handler has no endpoint.",
        ),
        "ReplayRange": _closed(
            {
                "since": _moment("Deliveries created then or later."),
                "until": _moment("Deliveries created before."),
                "state": {"type": ["string", "null"], "enum": [*SETTLED, None], "default": "dead"},
            },
            only=(),
        ),
        "Replayed": _closed(
            {"replayed": _WHOLE, "refused": _TEXT_OR_NULL, "more": {"type": "boolean"}},
            description="refused is the queue's limit that left no room for the rest.",
        ),
        "HookName": _closed({"id": _TEXT, "name": _TEXT_OR_NULL}),
        "Delivery": _closed(_DELIVERY),
        "DeliveryList": _list_of("Delivery"),
        "TriedDelivery": _closed({**_DELIVERY, "data": {"type": "object"}, "attempts": _many(_ref("Attempt"))}),
        "Attempt": _closed(_ATTEMPT),
        "AcceptedEvent": _closed({**_EVENT, "accepted_at": _TIME, "fired": _many(_ref("Fired"))}),
        "AcceptedEventList": _list_of("AcceptedEvent"),
        "Fired": _closed(
            {"event_hook": _ref("HookName"), "delivery": _TEXT, "state": _STATES}, "event_hook", "delivery"
        ),
        "HeldBack": _closed({"event_hook": _ref("HookName"), "reason": _TEXT}),
        "NewEvent": _closed(
            {
                "event": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": _NO_CONTROLS},
                "data": {"type": ["object", "null"]},
                "key": {
                    "type": ["string", "null"],
                    "minLength": 1,
                    "maxLength": 128,
                    "pattern": _NO_CONTROLS,
                    "description": "The same key again is the same event, and fires nothing twice.",
                },
            },
            "event",
        ),
        "Receipt": _closed(
            {
                "id": _TEXT,
                "duplicate": {"type": "boolean"},
                "fired": _many(_ref("Fired")),
                "held_back": _many(_ref("HeldBack")),
            }
        ),
        "Error": {
            "type": "object",
            "properties": {"message": _TEXT, "code": _WHOLE, "name": _TEXT, "fields": {"type": "object"}},
            "required": ["message"],
            "description": "Kong's shape; code, name and fields where Kong has them.",
        },
    }


def hook_input(known: Known) -> Schema:
    """Return what makes a hook: the schema's fields, the API's own, and the rules between fields."""
    hook = schema.hook(known)
    record = of_record(hook, ["source", "handler"])
    record["properties"] |= _own_inputs(record["properties"]["name"])
    record["properties"]["config"] = _config()
    return {
        **record,
        "allOf": [
            {"anyOf": [_of_handler(handler) for handler in known.handlers]},
            {"anyOf": [_of_source(source, events) for source, events in known.sources.items()]},
        ],
    }


def hook_patch(known: Known) -> Schema:
    """Return what changes a hook: any of its fields; records are merged, null unsets."""
    record = of_record(schema.hook(known), [])
    record["properties"] |= _own_inputs(record["properties"]["name"])
    record["properties"]["config"] = _config()
    return {**record, "description": "The fields to change: config is merged, everything else is replaced."}


def _own_inputs(name: Schema) -> dict[str, Schema]:
    return {
        "name": {**name, "type": ["string", "null"], "not": {"type": "string", "pattern": _UUID_PATTERN}},
        "id": {**UUID, "type": ["string", "null"]},
        "created_at": _SECONDS,
        "updated_at": {**_SECONDS, "description": "Taken, and told anew by every change."},
        "declared_in": {"type": "null", "description": "Told, not set."},
        "scope": {"type": "null", "description": "Told, not set."},
    }


_UUID_PATTERN: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


def _config() -> Schema:
    config = of_record(schema.handler_config(), [])
    # Where url_format lets templates in, spaces may stand inside them.
    config["properties"]["url"]["pattern"] = schema.STRICT_URL
    # A text is taken too; which texts are objects in JSON, no schema can say.
    config["properties"]["payload"]["type"] = ["object", "null"]
    return {
        **config,
        "type": ["object", "null"],
        "description": "What the handler needs; a handler reads only its own fields.",
        "not": {
            "required": ["secret", "secret_file"],
            "properties": {"secret": {"type": "string"}, "secret_file": {"type": "string"}},
        },
    }


def _of_handler(handler: str) -> Schema:
    """Return what a hook with that handler has to say: the fields of config that the schema's checks ask for."""
    needed = [name for name, handlers in schema.NEEDED.items() if handler in handlers]
    rule: Schema = {"properties": {"handler": {"const": handler}}}
    if needed:
        config = of_record(schema.handler_config(), [])["properties"]
        rule["properties"]["config"] = {
            "type": "object",
            "properties": {name: _set(config[name]) for name in needed},
            "required": needed,
        }
        rule["required"] = ["config"]
    return rule


def _set(field: Schema) -> Schema:
    """Return the schema of a field that has to be there: neither null nor an empty list."""
    kinds = [kind for kind in field["type"] if kind != "null"]
    return {**field, "type": kinds, **({"minItems": 1} if "array" in kinds else {})}


def _of_source(source: str, events: tuple[str, ...]) -> Schema:
    rule: Schema = {"properties": {"source": {"const": source}}}
    if events:
        rule["properties"]["event"] = {"enum": [*events, None]}
    return rule


def _hook(known: Known) -> Schema:
    hook = schema.hook(known)
    names = [name for entry in hook["fields"] for name in entry if name != "config"]
    told: dict[str, Schema] = {name: {} for name in names}
    told |= {
        "id": UUID,
        "name": _TEXT_OR_NULL,
        "source": _TEXT,
        "event": _TEXT_OR_NULL,
        "handler": _TEXT,
        "on_change": {"type": ["boolean", "null"]},
        "snooze": {"type": ["integer", "null"]},
        "filter": _TEXT_OR_NULL,
        "enabled": {"type": "boolean"},
        "tags": {"type": ["array", "null"], "items": _TEXT},
        "config": {"type": "object", "description": "The handler's fields; secrets are *** without the admin token."},
        "created_at": _WHOLE,
        "updated_at": _WHOLE,
        "declared_in": {**_TEXT_OR_NULL, "description": "Where it is declared; null: the API made it."},
        "scope": {
            "type": ["object", "null"],
            "properties": {"service": _TEXT_OR_NULL, "route": _TEXT_OR_NULL, "consumer": _TEXT_OR_NULL},
        },
    }
    return _closed(told)


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _many(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map_of(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _data(values: Schema) -> Schema:
    return _closed({"data": values})


def _moment(text: str) -> Schema:
    return {"anyOf": [*MOMENT["anyOf"], {"type": "null"}], "description": text}


MOMENT: Final[Schema] = {"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}


def _list_of(name: str) -> Schema:
    return _closed({"data": _many(_ref(name)), "next": _TEXT_OR_NULL, "offset": _TEXT}, "data", "next")


def _closed(
    properties: dict[str, Schema], *required: str, description: str | None = None, only: tuple[str, ...] | None = None
) -> Schema:
    """Return an object with these properties and no others; all are required unless some are named (``only``)."""
    names = list(required) if required else list(properties) if only is None else list(only)
    closed: Schema = {"type": "object", "properties": properties, "required": names, "additionalProperties": False}
    return {**closed, "description": description} if description else closed


_DELIVERY: Final[dict[str, Schema]] = {
    "id": {**_TEXT, "description": "Also the webhook-id of every attempt."},
    "event_hook": _ref("HookName"),
    "source": _TEXT,
    "event": _TEXT,
    "event_id": _TEXT,
    "state": _STATES,
    "reason": {**_TEXT_OR_NULL, "description": "Why it is dead."},
    "attempt_count": _WHOLE,
    "created_at": _TIME,
    "due_at": {**_TIME_OR_NULL, "description": "When it is tried next; null once it is settled."},
    "settled_at": _TIME_OR_NULL,
}
_ATTEMPT: Final[dict[str, Schema]] = {
    "number": _WHOLE,
    "started_at": _TIME,
    "seconds": {"type": "number"},
    "outcome": {"type": "string", "enum": ["delivered", "retry", "discard"]},
    "error": _TEXT_OR_NULL,
    "detail": _TEXT_OR_NULL,
    "status": {"type": ["integer", "null"]},
    "body": {**_TEXT, "description": "At most the first 20,000 bytes of the answer."},
}
_EVENT: Final[dict[str, Schema]] = {
    "id": _TEXT,
    "source": _TEXT,
    "event": _TEXT,
    "time": _TIME,
    "data": {"type": "object"},
    "held_back": _many(_ref("HeldBack")),
}

PATH_TEXT: Final[Schema] = {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]*$"}
QUERY_TEXT: Final[Schema] = {"type": "string", "maxLength": 256}
STATES: Final = _STATES
