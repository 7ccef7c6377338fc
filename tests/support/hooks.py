"""Hook definitions for tests, and Kong's side of a plugin instance."""

import json
from typing import Any

from kong_eventhooks_plugin.hooks.declarations import documents, kong_yml
from kong_eventhooks_plugin.hooks.declarations.declared import Declared
from kong_eventhooks_plugin.hooks.schema import API_CONFIG, DECLARED_CONFIG, HANDLERS_OF, Known
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.observation import InstanceClosed, InstanceStarted

# What the recorded answers of a real Kong were made with; a later release knows more.
KNOWN = Known(
    sources={
        "rate-limiting": ("rate-limit-exceeded",),
        "response-ratelimiting": ("rate-limit-exceeded",),
        "rate-limiting-advanced": ("rate-limit-exceeded",),
    },
)
VALIDATION = Validation(KNOWN)
_made = [VALIDATION]


def validation_of(known: Known) -> Validation:
    """Return the rules for a release's sources, the same object each time: its schema takes milliseconds."""
    for each in _made:
        if each.known == known:
            return each
    _made.append(Validation(known))
    return _made[-1]


PLUGIN_ID = "d0811eb1-d922-52f8-bc59-4182e961e622"


def log_hook(name: str = "to-log", **fields: Any) -> dict[str, Any]:
    return {"name": name, "source": "rate-limiting", "handler": "log", **fields}


def webhook(name: str = "to-web", url: str = "https://example.com/hook", **config: Any) -> dict[str, Any]:
    return {"name": name, "source": "rate-limiting", "handler": "webhook", "config": {"url": url, **config}}


def plugin_config(*hooks: Any) -> dict[str, Any]:
    """A plugin's configuration that declares the hooks, what their handlers need by its name there."""
    return {"hooks": [_declared(hook) for hook in hooks]}


def at_its_place(fields: dict[str, Any]) -> dict[str, Any]:
    """A recorded refusal with what is missing told where it is missing, as the schema has Kong do now.

    The recordings' schema told it of the hook as a whole: ``config.url is required by this handler``.
    """
    told = dict(fields)
    missing = [text.removesuffix(_OF_THE_WHOLE) for text in told.pop("@entity", []) if text.endswith(_OF_THE_WHOLE)]
    others = [text for text in fields.get("@entity", []) if not text.endswith(_OF_THE_WHOLE)]
    if missing and not isinstance(told.get("config", {}), str):
        told["config"] = told.get("config", {}) | {path.removeprefix("config."): texts.REQUIRED for path in missing}
    return told | ({"@entity": others} if others else {})


def other_handlers_fields(definition: dict[str, Any]) -> set[str]:
    """The fields of ``config`` that the handler does not have; recordings of an older schema may set them."""
    handlers = {name: HANDLERS_OF.get(name, ()) for name in definition["config"] or ()}
    return {
        name for name, own in handlers.items() if own and definition["handler"] and definition["handler"] not in own
    }


def with_own_fields(definition: dict[str, Any]) -> dict[str, Any]:
    foreign = other_handlers_fields(definition)
    return definition | {"config": {name: v for name, v in definition["config"].items() if name not in foreign}}


_OF_THE_WHOLE = " is required by this handler"


def _declared(hook: Any) -> Any:
    if not isinstance(hook, dict):
        return hook
    return {DECLARED_CONFIG if name == API_CONFIG else name: value for name, value in hook.items()}


def read_file(path: str, validation: Validation = VALIDATION) -> Declared:
    """What a file declares: hooks, or its errors."""
    try:
        return kong_yml.parse(documents.read_bytes(path), path, validation)
    except documents.Unreadable as error:
        return Declared(errors=(error.error,))


def started(
    *hooks: Any, plugin_id: str = PLUGIN_ID, instance_id: int = 1, seq: int | None = 12, **extra: Any
) -> InstanceStarted:
    """What Kong hands over with StartInstance."""
    about = {"__plugin_id": plugin_id, "__key__": f"plugins:event-hooks:{plugin_id}"}
    config = {**plugin_config(*hooks), **about, **extra}
    if seq is not None:
        config["__seq__"] = seq
    return InstanceStarted(plugin="event-hooks", instance_id=instance_id, config=json.dumps(config).encode())


def closed(instance_id: int = 1) -> InstanceClosed:
    return InstanceClosed(plugin="event-hooks", instance_id=instance_id)


def listed(*hooks: Any, plugin_id: str = PLUGIN_ID, **fields: Any) -> dict[str, Any]:
    """A plugin as Kong's Admin API lists it."""
    empty = {"service": None, "route": None, "consumer": None, "enabled": True}
    return {
        "id": plugin_id,
        "name": "event-hooks",
        "config": plugin_config(*hooks),
        **empty,
        **fields,
    }
