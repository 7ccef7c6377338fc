"""Validates hooks where Kong does not: ``check``, a kong.yml that the sidecar reads, the API.

Refusals have Kong's shape and texts (``errors.ValidationError``). Kong has validated what it hands to a plugin
instance and what its Admin API lists, but with the schema that it asked for at its start: all of it is validated again.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.hooks.validation import json_values, own_rules, schema_interpreter
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts

Definition = dict[str, Any]
"""A valid hook, every field of the schema there; None is unset."""


class CheckedConfig(NamedTuple):
    """A plugin's ``config``: its good hooks by their place in the list, and what is wrong with the rest.

    ``error`` has paths below ``config`` (``hooks[2].handler``); None where all is well.
    """

    hooks: Mapping[int, Definition]
    error: ValidationError | None


class Validation:
    """The rules of one release: Kong's schema, made for what is known, and our own beyond it."""

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
        """Validate the ``config`` of an event-hooks plugin. Takes any value at all and raises nothing."""
        return self._check(config, self._declared)

    def _check(self, config: Any, form: "_Form") -> CheckedConfig:
        hooks = config.get("hooks") if isinstance(config, Mapping) else None
        if isinstance(hooks, list):
            if len(hooks) > schema.MAX_HOOKS:
                return CheckedConfig({}, ValidationError({"hooks": texts.LEN_MAX.format(schema.MAX_HOOKS)}))
            config = {**config, "hooks": [_tame(hook) for hook in hooks]}
        filled = schema_interpreter.with_defaults(form.field, config)
        return self._judge(filled, schema_interpreter.errors_of(form.field, filled), form)

    def _judge(self, filled: Any, errors: schema_interpreter.Errors | None, form: "_Form") -> CheckedConfig:
        if isinstance(errors, str):
            return CheckedConfig({}, ValidationError({"@entity": [errors]}))
        fields = dict(errors) if isinstance(errors, Mapping) else {}
        in_list = fields.pop("hooks", [])
        if isinstance(in_list, str):
            return CheckedConfig({}, ValidationError({**fields, "hooks": in_list}))
        good, in_list = self._beyond(filled["hooks"], in_list, form)
        if in_list:
            fields["hooks"] = in_list
        return CheckedConfig(good, ValidationError(fields) if fields else None)

    def _beyond(self, hooks: list[Any], kongs: list[Any], form: "_Form") -> tuple[dict[int, Definition], list[Any]]:
        """Apply our own rules to the hooks that Kong's schema finds good; return those left and the errors of all."""
        errors = [form.simplified(error) for error in kongs] + [None] * (len(hooks) - len(kongs))
        good: dict[int, Definition] = {}
        names: dict[str, int] = {}
        for index, hook in enumerate(hooks):
            if isinstance(hook, _Refused):
                errors[index] = hook.error
            elif errors[index] is None:
                definition, error = own_rules.examined(form.definition(hook), self.known)
                errors[index] = form.placed(error) or _taken(hook["name"], index, names)
                good[index] = definition
            if errors[index] is not None:
                good.pop(index, None)
        while errors and errors[-1] is None:
            errors.pop()
        return good, errors


class _Form(NamedTuple):
    """One of the two places that hooks come from, which differ in the name of ``config``.

    ``field`` is the record with the list of hooks in Kong's schema language.
    """

    config_name: str
    field: schema.Field

    def definition(self, hook: dict[str, Any]) -> Definition:
        """Return the hook as it is inside this program, with ``config``."""
        return {schema.API_CONFIG if name == self.config_name else name: value for name, value in hook.items()}

    def placed(self, error: own_rules.Errors | None) -> own_rules.Errors | None:
        """Return the error of a definition with the place's own name of ``config``."""
        if error is None:
            return None
        return {self.config_name if name == schema.API_CONFIG else name: text for name, text in error.items()}

    def simplified(self, error: Any) -> Any:
        """Return Kong's error of a hook without what repeats another, and with the other place's name explained."""
        if not isinstance(error, Mapping):
            return error
        whole = [text for text in error.get("@entity", ()) if text != _REPEATS]
        kept = {name: each for name, each in error.items() if name != "@entity"} | ({"@entity": whole} if whole else {})
        other = _OTHER_NAMES[self.config_name]
        if kept.get(other) == texts.UNKNOWN:
            # What is missing under the right name stands under the wrong one.
            kept.pop(self.config_name, None)
            kept[other] = _RENAMED[self.config_name]
        return kept


_OTHER_NAMES = {schema.DECLARED_CONFIG: schema.API_CONFIG, schema.API_CONFIG: schema.DECLARED_CONFIG}
_RENAMED = {
    schema.DECLARED_CONFIG: f"{texts.UNKNOWN}; in a declared hook its name is {schema.DECLARED_CONFIG}",
    schema.API_CONFIG: f"{texts.UNKNOWN}; in the API its name is {schema.API_CONFIG}",
}
_REPEATS = texts.CONDITIONAL.format("handler")
"""Kong tells it of the hook as a whole, beside "required field missing" at the field itself."""


def _list_of(hook: schema.Field) -> schema.Field:
    return {"type": "record", "fields": [{"hooks": {"type": "array", "required": True, "elements": hook}}]}


class _Refused:
    """Stands in the list for a hook that cannot be kept (``plain``), so that the interpreter never meets it."""

    def __init__(self, problem: json_values.JsonError) -> None:
        self.error: Any = {problem.path: problem.text} if problem.path else problem.text


def _tame(hook: Any) -> Any:
    problem = json_values.json_error(hook)
    return hook if problem is None else _Refused(problem)


def _taken(name: str, index: int, names: dict[str, int]) -> dict[str, Any] | None:
    first = names.setdefault(name, index)
    return None if first == index else own_rules.repeated_name(name, first)
