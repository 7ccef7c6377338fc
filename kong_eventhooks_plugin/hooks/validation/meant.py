"""A definition with those names and choices that were probably meant, for the sake of its other errors.

``handler_confg`` is an error, and what stands in it may have errors of its own: they are looked for under the name that
was meant, and reported under that name too. The definition is refused in any case.

Limit: of a record ``MAX_UNKNOWN`` unknown names are compared with what may be meant.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from kong_eventhooks_plugin.errors import merged
from kong_eventhooks_plugin.hooks.schema import API_CONFIG, DECLARED_CONFIG, Field
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.suggestions import closest, did_you_mean

MAX_UNKNOWN: Final = 20

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def method_meant(method: Any) -> str:
    """Return what follows the error of a method, empty where it is near none that HTTP defines, or one of them."""
    return did_you_mean(method, _METHODS) if isinstance(method, str) and method not in _METHODS else ""


class Form(NamedTuple):
    """How the handler's record is named where the definition comes from, and the error of its name elsewhere."""

    config_name: str
    wrong_name: str


def as_meant(field: Field, value: Any, form: Form) -> tuple[Any, Any]:
    """Return the value as it was probably meant, and the errors of what was replaced, in Kong's shape; None: none."""
    if field["type"] == "record" and isinstance(value, Mapping):
        return _record_as_meant(field, value, form)
    if field["type"] == "array" and isinstance(value, list) and len(value) <= field["len_max"]:
        found = [as_meant(field["elements"], each, form) for each in value]
        errors = [error for _, error in found]
        return [each for each, _ in found], errors if any(error is not None for error in errors) else None
    if "one_of" in field and isinstance(value, str) and value not in field["one_of"]:
        meant = closest(value, field["one_of"])
        if meant is not None:
            text = field.get("err", texts.ONE_OF.format(", ".join(field["one_of"])))
            return meant, f"{text}; did you mean {meant}?"
    return value, None


def _record_as_meant(field: Field, value: Mapping[Any, Any], form: Form) -> tuple[dict[Any, Any], Any]:
    fields = {name: definition for entry in field["fields"] for name, definition in entry.items()}
    errors: dict[str, Any] = {}
    if DECLARED_CONFIG in fields:
        value = _with_handler_config(fields, value, form, errors)
    unset = [name for name in fields if name not in value]
    meant: dict[Any, Any] = {}
    unknown = 0
    for written, each in value.items():
        name = written
        if isinstance(written, str) and written not in fields:
            unknown += 1
            name = _near(written, unset) if unknown <= MAX_UNKNOWN else None
        if name is None:
            meant[written] = each
            continue
        if name != written:
            errors[written] = f"{texts.UNKNOWN}; did you mean {name}?"
            unset.remove(name)
        meant[name], inner = as_meant(fields[name], each, form) if name in fields else (each, None)
        if inner is not None:
            errors[name] = merged(errors.get(name, {}), inner) if isinstance(inner, Mapping) else inner
    return meant, errors or None


def _near(written: str, unset: list[str]) -> str | None:
    if "." in written:  # a form's, sent as JSON
        return None
    only = unset[0] if len(unset) == 1 and unset[0] in written else None
    return closest(written, unset) or only


def _with_handler_config(
    fields: Mapping[str, Field], hook: Mapping[Any, Any], form: Form, errors: dict[str, Any]
) -> dict[Any, Any]:
    """Return a hook with its handler's record under its name here, and the fields of both where they belong."""
    hook = dict(hook)
    if API_CONFIG in hook:
        errors[API_CONFIG] = form.wrong_name
        config = hook.pop(API_CONFIG)
        hook.setdefault(DECLARED_CONFIG, config)
    config = hook.get(DECLARED_CONFIG, {})
    if not isinstance(config, Mapping):
        return hook
    inside = {name for entry in fields[DECLARED_CONFIG]["fields"] for name in entry}
    beside = [name for name in hook if name in inside and name not in fields]
    within = [name for name in config if name in fields and name not in inside]
    if within:
        errors[DECLARED_CONFIG] = dict.fromkeys(within, f"{texts.UNKNOWN}; it belongs beside {form.config_name}")
        hook = {name: config[name] for name in within} | hook
    if beside:
        errors |= dict.fromkeys(beside, f"{texts.UNKNOWN}; it belongs in {form.config_name}")
    if beside or within:
        kept = {name: each for name, each in config.items() if name not in within}
        hook[DECLARED_CONFIG] = {name: hook.pop(name) for name in beside} | kept
    return hook
