"""The hooks that one place declares under one key: a plugin instance, a plugin of the Admin API's list, a file."""

from collections.abc import Mapping

import msgspec

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.model.hook import Hook

MAX_ERRORS = 1_000
"""Errors kept of one place; the last one then counts the rest."""

MAX_ERROR_TEXT = 1_000
"""Characters kept of an error's path and of its message, which may quote a name of any length."""


class Declared(msgspec.Struct, frozen=True):
    """The valid hooks, and the errors of the others.

    ``values`` has what Kong resolved, reference -> value, ``""`` where it could not. In memory only: never
    stored, never logged.
    """

    hooks: tuple[Hook, ...] = ()
    errors: tuple[DeclarationError, ...] = ()
    values: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Declared(hooks={[hook.name for hook in self.hooks]}, errors={len(self.errors)})"


def at_most(errors: list[DeclarationError]) -> tuple[DeclarationError, ...]:
    """Return errors or warnings with their texts and their number cut."""
    kept = errors if len(errors) <= MAX_ERRORS else errors[: MAX_ERRORS - 1]
    cut = [DeclarationError(error.where, error.path[:MAX_ERROR_TEXT], error.message[:MAX_ERROR_TEXT]) for error in kept]
    if len(kept) < len(errors):
        cut.append(DeclarationError(errors[0].where, "", f"and {len(errors) - len(kept):,} more"))
    return tuple(cut)
