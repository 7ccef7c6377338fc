"""What only a compiler finds wrong with a hook: its templates, functions and expressions. Checked when it is made.

Kong's schema and ours cannot know it, and declarations are read without waiting. Limits: those of the sandbox for each
text; the texts of one hook are checked one after the other.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.request_templates import dialect_of, nest_errors, templates
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Check, Checked, Failed


def has_code(hook: Hook) -> bool:
    return hook.filter is not None or hook.handler in _CHECKS or "success" in hook.config


FieldTypes = Callable[[str, str | None], Mapping[str, Any] | None]
"""Returns the types of the fields that a filter on that source and event may read (``sandbox.filter_types``)."""


def nothing_known(_: str, __: str | None) -> None:
    return None


async def compile_errors(pool: Pool, hook: Hook, field_types: FieldTypes = nothing_known) -> dict[str, Any]:
    """Return what does not compile, in the shape of the definition (``ValidationError.fields``); ``{}``: all does."""
    check = _CHECKS.get(hook.handler)
    errors = {} if check is None else await check(pool, hook.config)
    if (rule := hook.config.get("success")) is not None:
        error = await _compile_error(pool, Check(kind="success", text=rule))
        if error is not None:
            errors.setdefault("config", {})["success"] = error
    if hook.filter is not None:
        types = field_types(hook.source, hook.event)
        fields = None if types is None else dict(types)
        error = await _compile_error(pool, Check(kind="filter", text=hook.filter, fields=fields))
        if error is not None:
            errors["filter"] = error
    return errors


async def compile_violation(pool: Pool, hook: Hook, field_types: FieldTypes = nothing_known) -> ValidationError | None:
    """Return what does not compile as a refusal; None where all does."""
    errors = await compile_errors(pool, hook, field_types)
    return ValidationError(errors) if errors else None


async def _template_errors(pool: Pool, config: Mapping[str, Any]) -> dict[str, Any]:
    errors: dict[str, str] = {}
    for template in templates(config):
        error = await _compile_error(pool, Check(kind=dialect_of(config), text=template.text))
        if error is not None:
            errors[template.name] = error
    return nest_errors(errors)


async def _function_errors(pool: Pool, config: Mapping[str, Any]) -> dict[str, Any]:
    functions = config.get("functions") or ()
    # None: what is there is no function, and has its error already.
    found = [text and await _compile_error(pool, Check(kind="lambda", text=text)) for text in functions]
    while found and found[-1] is None:
        found.pop()
    return {"config": {"functions": found}} if found else {}


_CHECKS = {"webhook-custom": _template_errors, "lambda": _function_errors}


async def _compile_error(pool: Pool, code: Check) -> str | None:
    """Return what is wrong with a template, function or expression, with line and column; None where nothing is."""
    result = await pool.run(code)
    if isinstance(result, Checked):
        return None if result.error is None else str(result.error)
    return f"could not be checked: {result.text if isinstance(result, Failed) else 'no answer came back'}"
