"""Validates hooks where Kong does not: ``check``, a kong.yml that the sidecar reads, the API.

Refusals have Kong's shape and texts (``errors.ValidationError``). What Kong hands to a plugin instance and what its
Admin API lists is validated again: Kong did so with the schema that it asked for at its start.
"""

import re
from collections.abc import Collection, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

from kong_eventhooks_plugin.errors import ValidationError, merged
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.schema import HANDLERS_OF, Known
from kong_eventhooks_plugin.hooks.validation import field_checks, json_values, own_rules, schema_interpreter
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.hooks.validation.meant import Form, as_meant, method_meant
from kong_eventhooks_plugin.hooks.validation.units import hooks_error, with_units
from kong_eventhooks_plugin.settings import DEFAULTS

Definition = dict[str, Any]
"""A valid hook with every field of the schema; None is unset."""

Errors = dict[str, Any]


class CheckedConfig(NamedTuple):
    """A plugin's ``config``: its valid hooks by their place in the list, and the errors of all.

    ``error`` has paths below ``config`` (``hooks[2].handler``); None where there is no error. ``parts`` has what is
    good of hooks with errors: definitions with None in place of what is wrong.
    """

    hooks: Mapping[int, Definition]
    error: ValidationError | None
    parts: Mapping[int, Definition] = {}


class CheckedHook(NamedTuple):
    """One hook: its definition where it has no ``errors``, else what is good of it, None where nothing is.

    The errors are in Kong's shape, a text where it is no record.
    """

    definition: Definition | None
    errors: Any


class Validation:
    """The rules of one release: Kong's schema for its known sources, and our own rules.

    ``secret_directories`` is the setting ``secret_file_directories`` of the sidecar that will have the hooks.
    """

    def __init__(self, known: Known, secret_directories: Collection[str] = DEFAULTS.secret_file_directories) -> None:
        self.known = known
        self._secret_directories = secret_directories
        self.schema = schema.plugin_config(known)
        field_checks.compile_patterns(self.schema)

    def hook(self, hook: Any) -> Definition:
        """Return one hook of the API's form with its defaults filled in; raises ``ValidationError``."""
        checked = self.examined(hook)
        if checked.errors or checked.definition is None:
            raise ValidationError(checked.errors)
        return checked.definition

    def examined(self, hook: Any) -> CheckedHook:
        """Validate one hook of the API's form, which may be any value; raises nothing."""
        checked = self._check({"hooks": [_renamed(hook)]}, _API)
        if checked.error is None:
            return CheckedHook(checked.hooks[0], {})
        error = checked.error.fields["hooks"][0]
        errors = _renamed(error) if isinstance(error, Mapping) else {"@entity": [error]}
        return CheckedHook(checked.parts.get(0), errors)

    def config(self, config: Any) -> CheckedConfig:
        """Validate the ``config`` of an event-hooks plugin, which may be any value; raises nothing."""
        return self._check(config, _PLUGIN)

    def _check(self, config: Any, form: Form) -> CheckedConfig:
        """Validate a plugin's config; ``form`` says how the record of the handler is named to whoever wrote it."""
        config, guesses = as_meant(self.schema, config, form)
        guesses = dict(guesses or {})
        guessed_hooks = guesses.pop("hooks", [])
        hooks = config.get("hooks") if isinstance(config, Mapping) else None
        found: list[_NotJson] = []
        if isinstance(hooks, list):
            if len(hooks) > schema.MAX_HOOKS:
                return CheckedConfig({}, ValidationError({"hooks": texts.LEN_MAX.format(schema.MAX_HOOKS)}))
            found = [_NotJson.of(hook) for hook in hooks]
            config = {**config, "hooks": [each.hook for each in found]}
        filled = schema_interpreter.with_defaults(self.schema, config)
        errors = schema_interpreter.errors_of(self.schema, filled)
        if isinstance(errors, str):
            return CheckedConfig({}, ValidationError({"@entity": [errors]}))
        fields = {**errors, **guesses} if isinstance(errors, Mapping) else guesses
        hook_errors = fields.pop("hooks", [])
        if isinstance(hook_errors, str):
            return CheckedConfig({}, ValidationError({**fields, "hooks": hooks_error(hook_errors, hooks)}))
        each = zip_longest(filled["hooks"], hook_errors, guessed_hooks, found)
        checked = [self._checked_hook(hook, error, guess or {}, no_json, form) for hook, error, guess, no_json in each]
        return _checked_config(checked, fields)

    def _checked_hook(self, hook: Any, error: Any, guessed: Errors, not_json: "_NotJson", form: Form) -> CheckedHook:
        """Return what Kong's schema and our own rules say of a hook whose defaults are filled in."""
        if not_json.whole is not None or isinstance(error, str):
            return CheckedHook(None, not_json.whole or error)
        simple = _with_method_meant(_simplified(error or {}), hook)
        simple = with_units(_with_all_headers(simple, hook, form), hook)
        errors = _renamed(merged(guessed, not_json.errors, not_json.without_follow_ups(simple)))
        guesses = _guesses(guessed)
        suspect = _fields_of(errors) - guesses
        if "handler" in guessed:
            suspect |= {own_rules.GUESSED}
            errors = _without_foreign(errors)
        definition, own = own_rules.examined(_renamed(hook), suspect, self.known, self._secret_directories)
        errors = merged(errors, own)
        return CheckedHook(_good_part(definition, errors, guesses) if errors else definition, _renamed(errors))


_OTHER_NAMES = {schema.DECLARED_CONFIG: schema.API_CONFIG, schema.API_CONFIG: schema.DECLARED_CONFIG}
_PLUGIN = Form(schema.DECLARED_CONFIG, f"{texts.UNKNOWN}; in a declared hook its name is {schema.DECLARED_CONFIG}")
_API = Form(schema.API_CONFIG, f"{texts.UNKNOWN}; in the API its name is {schema.API_CONFIG}")
_REPEATS = texts.CONDITIONAL.format("handler")
"""Kong reports it of the hook as a whole, beside "required field missing" at the field itself."""


def _renamed(hook: Any) -> Any:
    """Return a hook, or its errors by field or path, with ``config`` named ``handler_config`` and the reverse."""
    if not isinstance(hook, Mapping):
        return hook
    renamed = {}
    for name, value in hook.items():
        head, dot, rest = name.partition(".") if isinstance(name, str) else (name, "", "")
        renamed[f"{_OTHER_NAMES[head]}{dot}{rest}" if head in _OTHER_NAMES else name] = value
    return renamed


def _simplified(error: Errors) -> Errors:
    """Return Kong's errors of a hook without repetitions.

    A field of another handler is an unknown field, as in Kong Enterprise's schema of each handler.
    """
    entity = [text for text in error.get("@entity", ()) if text != _REPEATS]
    whole = [text for text in entity if not text.startswith(schema.NOT_OF_HANDLER)]
    kept = {name: each for name, each in error.items() if name != "@entity"} | ({"@entity": whole} if whole else {})
    foreign = [text.removeprefix(schema.NOT_OF_HANDLER) for text in entity if text not in whole]
    config = kept.get(schema.DECLARED_CONFIG)
    if isinstance(config, Mapping):
        twice = {*foreign, *(("url_format",) if schema.SPACES_ERR in config.get("@entity", ()) else ())}
        config = {name: each for name, each in config.items() if name not in twice}
        kept[schema.DECLARED_CONFIG] = config | {name: own_rules.foreign(name) for name in foreign}
    return kept


def _without_foreign(errors: Errors) -> Errors:
    """Return the errors of a hook without those that only the guess at its handler may have caused."""
    config = errors.get("config")
    if not isinstance(config, Mapping):
        return errors
    kept = {name: each for name, each in config.items() if name not in HANDLERS_OF or each != own_rules.foreign(name)}
    return {**errors, "config": kept} if kept else {name: each for name, each in errors.items() if name != "config"}


def _with_method_meant(errors: Errors, hook: Any) -> Errors:
    config = errors.get(schema.DECLARED_CONFIG)
    if not isinstance(config, Mapping) or not isinstance(config.get("method"), str):
        return errors
    text = config["method"] + method_meant(hook[schema.DECLARED_CONFIG].get("method"))
    return {**errors, schema.DECLARED_CONFIG: {**config, "method": text}}


def _with_all_headers(errors: Errors, hook: Any, form: Form) -> Errors:
    """Return the errors of a hook with those of all its headers, where Kong has one alone.

    In the API they stay one text, as in Kong's.
    """
    config = errors.get(schema.DECLARED_CONFIG)
    if not isinstance(config, Mapping) or not isinstance(config.get("headers"), str):
        return errors
    headers = hook[schema.DECLARED_CONFIG]["headers"]
    found: Any = schema_interpreter.entry_errors(_HEADERS, headers) if isinstance(headers, Mapping) else {}
    if form == _API and len(found) > 1:
        found = "; ".join(f"{name}: {text}" for name, text in found.items())
    if not found or (form == _API and isinstance(found, Mapping)):
        return errors
    return {**errors, schema.DECLARED_CONFIG: {**config, "headers": found}}


_HEADERS = next(field["headers"] for field in schema.handler_config()["fields"] if "headers" in field)


_FIELD = re.compile(r"^(?:config\.)?[^.\[]*")
_IN_PAYLOAD = ("config.payload.", "config.payload[")


def _fields_of(errors: Errors) -> set[str]:
    """Return the fields with errors: ``source``, ``config.url``. A cleaned payload is as good as any."""
    fields = set()
    for name, error in errors.items():
        if name == "config" and isinstance(error, Mapping):
            fields |= {f"config.{each}" for each, found in error.items() if each != "@entity" and _hides(each, found)}
            fields |= {"config.url"} if schema.SPACES_ERR in error.get("@entity", ()) else set()
        elif name != "@entity" and not name.startswith(_IN_PAYLOAD):
            fields.update(_FIELD.findall(name)[:1])
    return fields


def _hides(name: str, error: Any) -> bool:
    """Return whether a field with that error cannot be read by rules: of headers they read the content type alone."""
    of_entries = name == "headers" and isinstance(error, Mapping)
    return not of_entries or any(str(each).lower() == "content-type" for each in error)


_READ_WITH = {
    "payload": ("payload_format", "template"),
    "body": ("body_format", "template"),
    "headers": ("headers_format", "template"),
    "url": ("url_format", "template"),
}
"""Without the fields that say what a text is, nothing can be said of it."""


def _good_part(definition: Definition, errors: Errors, guesses: set[str]) -> Definition:
    """Return a definition, with None in place of what has an error and of what cannot be guessed."""
    suspect = _fields_of(errors) - guesses
    found = errors.get("config", {})
    config: Definition = {}
    if "config" not in suspect:
        for name in HANDLERS_OF:
            unknown = any(f"config.{each}" in suspect for each in _READ_WITH.get(name, ()))
            error = None if f"config.{name}" in guesses else found.get(name)
            config[name] = None if unknown else _good(definition["config"].get(name), error)
    return {name: None if name in suspect else each for name, each in definition.items()} | {"config": config}


def _guesses(guessed: Errors) -> set[str]:
    """Return the fields whose value is the one that was probably meant."""
    config = guessed.get(schema.DECLARED_CONFIG)
    inside = {f"config.{name}" for name in config if name in HANDLERS_OF} if isinstance(config, Mapping) else set()
    return {name for name in ("source", "handler") if name in guessed} | inside


def _good(value: Any, error: Any) -> Any:
    if error is None:
        return value
    if isinstance(value, Mapping) and isinstance(error, Mapping):
        return {name: each for name, each in value.items() if name not in error}
    if isinstance(value, list) and isinstance(error, list):
        return [each if wrong is None else None for each, wrong in zip_longest(value, error)]
    return None


def _checked_config(hooks: list[CheckedHook], fields: Errors) -> CheckedConfig:
    """Return the checked hooks of a list; a name that stands twice is the error of the second.

    Where the first is invalid, the second is in force all the same.
    """
    valid: dict[int, Definition] = {}
    parts: dict[int, Definition] = {}
    names: dict[str, int] = {}
    errors: list[Any] = []
    for index, (definition, found) in enumerate(hooks):
        errors.append(found or None)
        if definition is None:
            continue
        (parts if found else valid)[index] = definition
        name = definition["name"]
        first = index if name is None else names.setdefault(name, index)
        if first != index:
            text = f"'{name}' is the name of hooks[{first}] already; names are unique"
            errors[index] = {**found, "name": text}
            if first in valid:
                valid.pop(index, None)
                parts[index] = {**definition, "name": None}
    while errors and errors[-1] is None:
        errors.pop()
    if errors:
        fields = {**fields, "hooks": errors}
    return CheckedConfig(valid, ValidationError(fields) if fields else None, parts)


class _NotJson(NamedTuple):
    """A hook with None in place of what JSON cannot represent, and the errors of that by path.

    ``whole`` is the error that leaves nothing to look at.
    """

    hook: Any
    errors: Mapping[str, Any]
    whole: Any = None

    @classmethod
    def of(cls, hook: Any) -> "_NotJson":
        try:
            cleaned = json_values.cleaned(hook)
        except json_values.PastLimitError as past:
            error = past.error
            return cls(None, {}, {error.path: error.text} if error.path else error.text)
        if cleaned.value is None and cleaned.errors:
            return cls(None, {}, cleaned.errors[0].text)
        errors: dict[str, list[str]] = {}
        for error in cleaned.errors:
            errors.setdefault(error.path, []).append(error.text)
        whole = errors.pop("", [])
        by_path = {path: found[0] if len(found) == 1 else {"@entity": found} for path, found in errors.items()}
        return cls(cleaned.value, by_path | ({"@entity": whole} if whole else {}))

    def without_follow_ups(self, errors: Errors) -> Errors:
        """Return Kong's errors without those that a None has caused."""
        return _outside(errors, "", tuple(self.errors)) if self.errors else errors


def _outside(errors: Mapping[str, Any], at: str, paths: tuple[str, ...]) -> Errors:
    kept: Errors = {}
    for name, error in errors.items():
        path = f"{at}.{name}" if at else name
        if isinstance(error, Mapping):
            error = _outside(error, path, paths) or None
        elif isinstance(error, list) and name != "@entity":
            error = [None if f"{path}[{index}]" in paths else each for index, each in enumerate(error)]
            error = error if any(each is not None for each in error) else None
        elif path in paths:
            error = None
        if error is not None:
            kept[name] = error
    return kept
