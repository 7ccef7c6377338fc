"""What one place declares under one key: a plugin instance, a plugin of the Admin API's list, a file."""

from collections.abc import Mapping

import msgspec

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.model.hook import Hook

MAX_ERRORS = 1_000
"""Faults kept of one reading; past it the last says how many more there are."""

MAX_ERROR_TEXT = 1_000
"""Characters kept of a fault's path and of its message, which may quote a name that somebody made long."""


class Declared(msgspec.Struct, frozen=True):
    """Hooks that are good, and what is wrong with the others.

    ``values`` has what Kong resolved, reference -> value, ``""`` where it could not. In memory only: never
    stored, never logged. ``warnings`` say what is good here and will not come through Kong or decK; for ``check``.
    """

    hooks: tuple[Hook, ...] = ()
    errors: tuple[DeclarationError, ...] = ()
    values: Mapping[str, str] = {}
    warnings: tuple[DeclarationError, ...] = ()

    def __repr__(self) -> str:
        return f"Declared(hooks={[hook.name for hook in self.hooks]}, faults={len(self.errors)})"


def at_most(faults: list[DeclarationError], limit: int = MAX_ERRORS) -> tuple[DeclarationError, ...]:
    """Return faults or warnings, their texts cut, their number cut to ``limit`` with a last one that says so."""
    kept = faults if len(faults) <= limit else faults[: limit - 1]
    cut = [DeclarationError(fault.where, fault.path[:MAX_ERROR_TEXT], fault.message[:MAX_ERROR_TEXT]) for fault in kept]
    if len(kept) < len(faults):
        rest = len(faults) - len(kept)
        cut.append(DeclarationError(where=faults[0].where, path="", message=f"and {rest:,} more"))
    return tuple(cut)
