"""Validates hooks where Kong does not: ``check``, a kong.yml that the sidecar reads, the API.

Refusals have Kong's shape and texts (``errors.ValidationError``). What Kong hands to a plugin instance and what its
Admin API lists is validated again: Kong did so with the schema that it asked for at its start.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.hooks.validation import json_values, own_rules, schema_interpreter
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts

Definition = dict[str, Any]
"""A valid hook with every field of the schema; None is unset."""


class CheckedConfig(NamedTuple):
    """A plugin's ``config``: its valid hooks by their place in the list, and the errors of the others.

    ``error`` has paths below ``config`` (``hooks[2].handler``); None where there is no error.
    """

    hooks: Mapping[int, Definition]
    error: ValidationError | None


class Validation:
    """The rules of one release: Kong's schema for its known sources, and our own rules."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self._declared = _Form(schema.DECLARED_CONFIG, schema.plugin_config(known))
        self._api = _Form(schema.API_CONFIG, _list_of(schema.hook(known)))

    def hook(self, hook: Any) -> Definition:
        """Return one hook of the API's form with its defaults filled in; raises ``ValidationError``."""
        checked = self._check({"hooks": [hook]}, self._api)
        if checked.error is None:
            return checked.hooks[0]
        error = checked.error.fields["hooks"][0]
        raise ValidationError(error if isinstance(error, Mapping) else {"@entity": [error]})

    def config(self, config: Any) -> CheckedConfig:
        """Validate the ``config`` of an event-hooks plugin, which may be any value; raises nothing."""
        return self._check(config, self._declared)

    def _check(self, config: Any, form: "_Form") -> CheckedConfig:
        hooks = config.get("hooks") if isinstance(config, Mapping) else None
        if isinstance(hooks, list):
            if len(hooks) > schema.MAX_HOOKS:
                return CheckedConfig({}, ValidationError({"hooks": texts.LEN_MAX.format(schema.MAX_HOOKS)}))
            config = {**config, "hooks": [_checked_json(hook) for hook in hooks]}
        filled = schema_interpreter.with_defaults(form.field, config)
        errors = schema_interpreter.errors_of(form.field, filled)
        if isinstance(errors, str):
            return CheckedConfig({}, ValidationError({"@entity": [errors]}))
        fields = dict(errors) if isinstance(errors, Mapping) else {}
        hook_errors = fields.pop("hooks", [])
        if isinstance(hook_errors, str):
            return CheckedConfig({}, ValidationError({**fields, "hooks": hook_errors}))
        valid, hook_errors = self._apply_own_rules(filled["hooks"], hook_errors, form)
        if hook_errors:
            fields["hooks"] = hook_errors
        return CheckedConfig(valid, ValidationError(fields) if fields else None)

    def _apply_own_rules(
        self, hooks: list[Any], schema_errors: list[Any], form: "_Form"
    ) -> tuple[dict[int, Definition], list[Any]]:
        """Return the hooks that are valid by the schema and by our own rules, and the errors of all hooks."""
        errors = [form.simplified(error) for error in schema_errors] + [None] * (len(hooks) - len(schema_errors))
        valid: dict[int, Definition] = {}
        names: dict[str, int] = {}
        for index, hook in enumerate(hooks):
            if isinstance(hook, _Refused):
                errors[index] = hook.error
            elif errors[index] is None:
                definition, error = own_rules.examined(form.definition(hook), self.known)
                errors[index] = form.placed(error) or _name_error(hook["name"], index, names)
                if errors[index] is None:
                    valid[index] = definition
        while errors and errors[-1] is None:
            errors.pop()
        return valid, errors


class _Form(NamedTuple):
    """The form of a declared hook or of the API's, which differ in the name of ``config``.

    ``field`` is the record with the list of hooks in Kong's schema language.
    """

    config_name: str
    field: schema.Field

    def definition(self, hook: dict[str, Any]) -> Definition:
        """Return the hook with ``config``, as inside this program."""
        return {schema.API_CONFIG if name == self.config_name else name: value for name, value in hook.items()}

    def placed(self, error: own_rules.Errors | None) -> own_rules.Errors | None:
        """Return the error of a definition with the form's own name of ``config``."""
        if error is None:
            return None
        return {self.config_name if name == schema.API_CONFIG else name: text for name, text in error.items()}

    def simplified(self, error: Any) -> Any:
        """Return Kong's error of a hook without repetitions, and with the other form's name explained."""
        if not isinstance(error, Mapping):
            return error
        whole = [text for text in error.get("@entity", ()) if text != _REPEATS]
        kept = {name: each for name, each in error.items() if name != "@entity"} | ({"@entity": whole} if whole else {})
        other = _OTHER_NAMES[self.config_name]
        if kept.get(other) == texts.UNKNOWN:
            # What is missing under the right name is there under the wrong one.
            kept.pop(self.config_name, None)
            kept[other] = _RENAMED[self.config_name]
        return kept


_OTHER_NAMES = {schema.DECLARED_CONFIG: schema.API_CONFIG, schema.API_CONFIG: schema.DECLARED_CONFIG}
_RENAMED = {
    schema.DECLARED_CONFIG: f"{texts.UNKNOWN}; in a declared hook its name is {schema.DECLARED_CONFIG}",
    schema.API_CONFIG: f"{texts.UNKNOWN}; in the API its name is {schema.API_CONFIG}",
}
_REPEATS = texts.CONDITIONAL.format("handler")
"""Kong reports it of the hook as a whole, beside "required field missing" at the field itself."""


def _list_of(hook: schema.Field) -> schema.Field:
    return {"type": "record", "fields": [{"hooks": {"type": "array", "required": True, "elements": hook}}]}


class _Refused:
    """Replaces a hook that is no JSON, so that the interpreter never sees it."""

    def __init__(self, error: json_values.JsonError) -> None:
        self.error: Any = {error.path: error.text} if error.path else error.text


def _checked_json(hook: Any) -> Any:
    error = json_values.json_error(hook)
    return hook if error is None else _Refused(error)


def _name_error(name: str, index: int, names: dict[str, int]) -> dict[str, Any] | None:
    first = names.setdefault(name, index)
    return None if first == index else own_rules.repeated_name(name, first)
