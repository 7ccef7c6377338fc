"""What only a compiler finds wrong with a hook: templates, functions, its filter. Asked when a hook is made.

Kong's schema and ours cannot know it, and declarations are read without waiting. Limits: those of the sandbox for each
text; the texts of one hook are checked one after the other.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers import lambda_, webhook_custom
from kong_eventhooks_plugin.handlers.compile_check import compile_error
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Check

_CHECKS: Mapping[str, Callable[[Pool, Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
    "webhook-custom": webhook_custom.check,
    "lambda": lambda_.check,
}


def has_code(hook: Hook) -> bool:
    """Tell whether there may be anything to compile."""
    return hook.filter is not None or hook.handler in _CHECKS


async def compile_errors(pool: Pool, hook: Hook) -> dict[str, Any]:
    """Return what does not compile, in the shape of the definition (``ValidationError.fields``); ``{}``: all does."""
    faults: dict[str, Any] = {}
    if hook.handler in _CHECKS:
        faults |= await _CHECKS[hook.handler](pool, hook.config)
    if hook.filter is not None:
        fault = await compile_error(pool, Check(kind="filter", text=hook.filter))
        if fault is not None:
            faults["filter"] = fault
    return faults


async def compile_violation(pool: Pool, hook: Hook) -> ValidationError | None:
    """Return the same as the refusal that it is; None where all compiles."""
    faults = await compile_errors(pool, hook)
    return ValidationError(faults) if faults else None
