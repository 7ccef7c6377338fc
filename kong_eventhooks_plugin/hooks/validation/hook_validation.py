"""Validates hooks where Kong does not: ``check``, a kong.yml that the sidecar reads, the API.

Refusals have Kong's shape and texts (``errors.ValidationError``). What Kong hands to a plugin instance and what its
Admin API lists is validated again: Kong did so with the schema that it asked for at its start.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.hooks.validation import json_values, own_rules, schema_interpreter
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.settings import DEFAULTS

Definition = dict[str, Any]
"""A valid hook with every field of the schema; None is unset."""


class CheckedConfig(NamedTuple):
    """A plugin's ``config``: its valid hooks by their place in the list, and the errors of the others.

    ``error`` has paths below ``config`` (``hooks[2].handler``); None where there is no error.
    """

    hooks: Mapping[int, Definition]
    error: ValidationError | None


class Validation:
    """The rules of one release: Kong's schema for its known sources, and our own rules.

    ``secret_directories`` is the setting ``secret_file_directories`` of the sidecar that will have the hooks.
    """

    def __init__(self, known: Known, secret_directories: Collection[str] = DEFAULTS.secret_file_directories) -> None:
        self.known = known
        self._secret_directories = secret_directories
        self.schema = schema.plugin_config(known)

    def hook(self, hook: Any) -> Definition:
        """Return one hook of the API's form with its defaults filled in; raises ``ValidationError``."""
        checked = self._check({"hooks": [_renamed(hook)]}, _IN_API)
        if checked.error is None:
            return checked.hooks[0]
        error = checked.error.fields["hooks"][0]
        raise ValidationError(_renamed(error) if isinstance(error, Mapping) else {"@entity": [error]})

    def config(self, config: Any) -> CheckedConfig:
        """Validate the ``config`` of an event-hooks plugin, which may be any value; raises nothing."""
        return self._check(config, _IN_PLUGIN)

    def _check(self, config: Any, wrong_name: str) -> CheckedConfig:
        """Validate a plugin's config; ``wrong_name`` is the error of ``config`` in place of ``handler_config``."""
        hooks = config.get("hooks") if isinstance(config, Mapping) else None
        if isinstance(hooks, list):
            if len(hooks) > schema.MAX_HOOKS:
                return CheckedConfig({}, ValidationError({"hooks": texts.LEN_MAX.format(schema.MAX_HOOKS)}))
            config = {**config, "hooks": [_checked_json(hook) for hook in hooks]}
        filled = schema_interpreter.with_defaults(self.schema, config)
        errors = schema_interpreter.errors_of(self.schema, filled)
        if isinstance(errors, str):
            return CheckedConfig({}, ValidationError({"@entity": [errors]}))
        fields = dict(errors) if isinstance(errors, Mapping) else {}
        hook_errors = fields.pop("hooks", [])
        if isinstance(hook_errors, str):
            return CheckedConfig({}, ValidationError({**fields, "hooks": hook_errors}))
        valid, hook_errors = self._apply_own_rules(filled["hooks"], [_simplified(e, wrong_name) for e in hook_errors])
        if hook_errors:
            fields["hooks"] = hook_errors
        return CheckedConfig(valid, ValidationError(fields) if fields else None)

    def _apply_own_rules(self, hooks: list[Any], errors: list[Any]) -> tuple[dict[int, Definition], list[Any]]:
        """Return the hooks that are valid by Kong's schema and by our own rules, and the errors of all hooks."""
        errors = errors + [None] * (len(hooks) - len(errors))
        valid: dict[int, Definition] = {}
        names: dict[str, int] = {}
        for index, hook in enumerate(hooks):
            if isinstance(hook, _Refused):
                errors[index] = hook.error
            elif errors[index] is None:
                definition, error = own_rules.examined(_renamed(hook), self.known, self._secret_directories)
                errors[index] = _renamed(error) or _name_error(hook["name"], index, names)
                if errors[index] is None:
                    valid[index] = definition
            elif isinstance(errors[index], Mapping):
                beside = own_rules.errors_beside(
                    _renamed(hook), _renamed(errors[index]), self.known, self._secret_directories
                )
                errors[index] = {**_renamed(beside), **errors[index]}
        while errors and errors[-1] is None:
            errors.pop()
        return valid, errors


_OTHER_NAMES = {schema.DECLARED_CONFIG: schema.API_CONFIG, schema.API_CONFIG: schema.DECLARED_CONFIG}
_IN_PLUGIN = f"{texts.UNKNOWN}; in a declared hook its name is {schema.DECLARED_CONFIG}"
_IN_API = f"{texts.UNKNOWN}; in the API its name is {schema.API_CONFIG}"
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


def _simplified(error: Any, wrong_name: str) -> Any:
    """Return Kong's error of a hook without repetitions, and with a wrong name of ``handler_config`` explained.

    A field of another handler is an unknown field, as in Kong Enterprise's schema of each handler.
    """
    if not isinstance(error, Mapping):
        return error
    entity = [text for text in error.get("@entity", ()) if text != _REPEATS]
    whole = [text for text in entity if not text.startswith(schema.NOT_OF_HANDLER)]
    kept = {name: each for name, each in error.items() if name != "@entity"} | ({"@entity": whole} if whole else {})
    foreign = [text.removeprefix(schema.NOT_OF_HANDLER) for text in entity if text not in whole]
    if foreign and isinstance(kept.get(schema.DECLARED_CONFIG), Mapping):
        kept[schema.DECLARED_CONFIG] = kept[schema.DECLARED_CONFIG] | dict.fromkeys(foreign, texts.UNKNOWN)
    if kept.get(schema.API_CONFIG) == texts.UNKNOWN:
        # What is missing under the right name is there under the wrong one.
        kept.pop(schema.DECLARED_CONFIG, None)
        kept[schema.API_CONFIG] = wrong_name
    return kept


class _Refused:
    """Replaces a hook that is no JSON, so that the interpreter never sees it."""

    def __init__(self, error: json_values.JsonError) -> None:
        self.error: Any = {error.path: error.text} if error.path else error.text


def _checked_json(hook: Any) -> Any:
    error = json_values.json_error(hook)
    return hook if error is None else _Refused(error)


def _name_error(name: str, index: int, names: dict[str, int]) -> dict[str, Any] | None:
    first = names.setdefault(name, index)
    return None if first == index else {"name": f"'{name}' is the name of hooks[{first}] already; names are unique"}
