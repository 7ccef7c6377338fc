"""The schemas of what the API accepts and answers.

A hook's are made from its schema, everything else from the structs that are decoded and encoded.
"""

from collections.abc import Iterable
from typing import Final

from kong_eventhooks_plugin.api.rest.openapi.json_schema import Schema, of_record
from kong_eventhooks_plugin.api.rest.openapi.structs import of_structs
from kong_eventhooks_plugin.api.service.entity import IGNORED
from kong_eventhooks_plugin.api.service.hooks import LATEST
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.patterns import STRICT_URL
from kong_eventhooks_plugin.hooks.schema import Known

_SECONDS: Final[Schema] = {"type": ["integer", "null"], "minimum": 0, "maximum": LATEST}
_IGNORED: Final[Schema] = {"description": "Accepted as the API answers it, and ignored."}
_READ_ONLY: Final[Schema] = {"type": "null", "description": "Read-only."}


def schemas(known: Known, structs: Iterable[type]) -> dict[str, Schema]:
    return {
        "HookInput": hook_input(known),
        "HookPatch": hook_patch(known),
        "TestData": {"type": "object", "description": "What the handler gets as the event's data."},
        **of_structs(structs),
    }


def hook_input(known: Known) -> Schema:
    """Return what makes a hook: the schema's fields, the API's own, and the rules between fields."""
    return {
        **_record(known, ["source", "handler"]),
        "allOf": [
            {"anyOf": [_of_handler(handler) for handler in known.handlers]},
            {"anyOf": [_of_source(source, events) for source, events in known.sources.items()]},
            {"properties": {"config": {"not": {"anyOf": _wrong_preset_keys()}}}},
        ],
    }


def hook_patch(known: Known) -> Schema:
    """Return what changes a hook: any of its fields; records are merged, null unsets."""
    description = "The fields to change: config is merged, everything else is replaced."
    return {**_record(known, []), "description": description}


def _record(known: Known, required: list[str]) -> Schema:
    record = of_record(schema.hook(known), required)
    record["properties"] |= _own_inputs(record["properties"]["name"])
    record["properties"]["config"] = _config()
    return record


def _own_inputs(name: Schema) -> dict[str, Schema]:
    return {
        "name": {**name, "type": ["string", "null"], "not": {"type": "string", "pattern": _UUID_PATTERN}},
        "id": {"type": ["string", "null"], "format": "uuid"},
        "created_at": _SECONDS,
        "updated_at": {**_SECONDS, "description": "Accepted, and set anew by every change."},
        "declared_in": _READ_ONLY,
        "scope": _READ_ONLY,
        **dict.fromkeys(IGNORED, _IGNORED),
    }


_UUID_PATTERN: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


def _config() -> Schema:
    config = of_record(schema.handler_config(), [])
    # With url_format, templates in it may hold spaces.
    config["properties"]["url"]["pattern"] = STRICT_URL
    # A text is accepted too; which texts are objects in JSON, no schema can say.
    config["properties"]["payload"]["type"] = ["object", "null"]
    both = _texts("secret", "secret_file")
    alone = _texts("previous_secret") | {"not": {"anyOf": [_texts("secret"), _texts("secret_file")]}}
    return {
        **config,
        "type": ["object", "null"],
        "description": "The handler's configuration: its own fields only.",
        "not": {"anyOf": [both, alone]},
    }


def _wrong_preset_keys() -> list[Schema]:
    """Return a preset without the key that it needs, and a key without such a preset."""
    keyed: Schema = {"required": ["preset"], "properties": {"preset": {"enum": list(schema.KEYED_PRESETS)}}}
    key = _texts("preset_key")
    return [{"allOf": [keyed], "not": key, "type": "object"}, {"allOf": [key], "not": keyed, "type": "object"}]


def _texts(*names: str) -> Schema:
    return {"type": "object", "required": list(names), "properties": {name: {"type": "string"} for name in names}}


def _of_handler(handler: str) -> Schema:
    """Return the rule for a hook with that handler: the fields of config that it requires, and none of others."""
    needed = [name for name, handlers in schema.NEEDED.items() if handler in handlers]
    fields = of_record(schema.handler_config(), [])["properties"]
    config: Schema = {
        "properties": {name: {"enum": [fields[name].get("default")]}
                       for name, handlers in schema.HANDLERS_OF.items() if handler not in handlers}
    }  # fmt: skip
    rule: Schema = {"properties": {"handler": {"const": handler}, "config": config}}
    if needed:
        config |= {"type": "object", "required": needed}
        config["properties"] |= {name: _set(fields[name]) for name in needed}
        rule["required"] = ["config"]
    return rule


def _set(field: Schema) -> Schema:
    """Return what a required field is beside its own schema: neither null nor an empty list."""
    kinds = [kind for kind in field["type"] if kind != "null"]
    return {"type": kinds, **({"minItems": 1} if "array" in kinds else {})}


def _of_source(source: str, events: tuple[str, ...]) -> Schema:
    rule: Schema = {"properties": {"source": {"const": source}}}
    if events:
        rule["properties"]["event"] = {"enum": [*events, None]}
    return rule
