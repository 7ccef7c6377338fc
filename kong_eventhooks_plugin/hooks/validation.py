"""Validates hooks where Kong does not: ``check``, a kong.yml that the sidecar reads, the API.

Refusals have Kong's shape and texts (``errors.SchemaViolation``). Kong has validated what it hands to a plugin
instance and what its Admin API lists, but with the schema that it asked for at its start: all of it is validated again.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.errors import SchemaViolation
from kong_eventhooks_plugin.hooks import beyond_kong, interpreter, plain, schema
from kong_eventhooks_plugin.hooks import kong_texts as texts
from kong_eventhooks_plugin.hooks.schema import Known

Definition = dict[str, Any]
"""A valid hook, every field of the schema there; None is unset."""


class Checked(NamedTuple):
    """A plugin's ``config``: its good hooks by their place in the list, and what is wrong with the rest.

    ``violation`` has paths below ``config`` (``hooks[2].handler``); None where all is well.
    """

    hooks: Mapping[int, Definition]
    violation: SchemaViolation | None


class Validation:
    """The rules of one release: Kong's schema, made for what is known, and our own beyond it."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self._config = schema.plugin_config(known)

    def hook(self, hook: Any) -> Definition:
        """Return one hook with its defaults filled in; raises ``SchemaViolation``."""
        checked = self.config({"hooks": [hook]})
        if checked.violation is None:
            return checked.hooks[0]
        error = checked.violation.fields["hooks"][0]
        raise SchemaViolation(error if isinstance(error, Mapping) else {"@entity": [error]})

    def config(self, config: Any) -> Checked:
        """Validate the ``config`` of an event-hooks plugin. Takes any value at all and raises nothing."""
        hooks = config.get("hooks") if isinstance(config, Mapping) else None
        if isinstance(hooks, list):
            if len(hooks) > schema.MAX_HOOKS:
                return Checked({}, SchemaViolation({"hooks": texts.LEN_MAX.format(schema.MAX_HOOKS)}))
            config = {**config, "hooks": [_tame(hook) for hook in hooks]}
        filled = interpreter.with_defaults(self._config, config)
        return self._judge(filled, interpreter.errors_of(self._config, filled))

    def _judge(self, filled: Any, errors: interpreter.Errors | None) -> Checked:
        if isinstance(errors, str):
            return Checked({}, SchemaViolation({"@entity": [errors]}))
        fields = dict(errors) if isinstance(errors, Mapping) else {}
        in_list = fields.pop("hooks", [])
        if isinstance(in_list, str):
            return Checked({}, SchemaViolation({**fields, "hooks": in_list}))
        good, in_list = self._beyond(filled["hooks"], in_list)
        if in_list:
            fields["hooks"] = in_list
        return Checked(good, SchemaViolation(fields) if fields else None)

    def _beyond(self, hooks: list[Any], kongs: list[Any]) -> tuple[dict[int, Definition], list[Any]]:
        """Apply our own rules to the hooks that Kong's schema finds good; return those left and the errors of all."""
        errors = [*kongs, *[None] * (len(hooks) - len(kongs))]
        good: dict[int, Definition] = {}
        names: dict[str, int] = {}
        for index, hook in enumerate(hooks):
            if isinstance(hook, _Refused):
                errors[index] = hook.error
            elif errors[index] is None:
                errors[index] = beyond_kong.problem(hook, self.known) or _taken(hook["name"], index, names)
            if errors[index] is None:
                good[index] = hook
        while errors and errors[-1] is None:
            errors.pop()
        return good, errors


class _Refused:
    """Stands in the list for a hook that cannot be kept (``plain``), so that the interpreter never meets it."""

    def __init__(self, problem: plain.Problem) -> None:
        self.error: Any = {problem.path: problem.text} if problem.path else problem.text


def _tame(hook: Any) -> Any:
    problem = plain.problem(hook)
    return hook if problem is None else _Refused(problem)


def _taken(name: str, index: int, names: dict[str, int]) -> dict[str, Any] | None:
    first = names.setdefault(name, index)
    return None if first == index else beyond_kong.repeated_name(name, first)
