"""Which of several definitions of a hook's name is in force.

The strongest place wins (``model.hook.PRECEDENCE``), within a place the first, but of plugin instances the one started
last: Kong does not close the instance of a plugin that a hook was moved away from. A definition that is only stored,
not declared anew since the start, is the last of its place and conflicts with nothing: its plugin may no longer exist.
"""

from collections.abc import Iterable
from typing import NamedTuple

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.in_force.scope_comparison import certainly_differ
from kong_eventhooks_plugin.model.hook import PRECEDENCE, Hook, OriginPlace


class HookSet(NamedTuple):
    """The hooks that one place declares under one key. ``stored``: known only from before the start."""

    place: OriginPlace
    hooks: tuple[Hook, ...]
    stored: bool = False


class Merged(NamedTuple):
    """The hooks in force by id, and the conflicts."""

    hooks: dict[str, Hook]
    errors: tuple[DeclarationError, ...]


def merge(sets: Iterable[HookSet]) -> Merged:
    """Merge sets; those of one place come in the order of their declaration."""
    hooks: dict[str, Hook] = {}
    only_stored: set[str] = set()
    errors: list[DeclarationError] = []
    ordered = list(sets)
    latest_first = [one for one in reversed(ordered) if one.place == "instance"]
    ordered = latest_first + [one for one in ordered if one.place != "instance"]
    for each in sorted(ordered, key=lambda one: (PRECEDENCE.index(one.place), one.stored)):
        for hook in each.hooks:
            holds = hooks.setdefault(hook.id, hook)
            if holds is hook:
                only_stored.update([hook.id] if each.stored else [])
                continue
            conflict = None if each.stored or hook.id in only_stored else _conflict(holds, hook)
            if conflict is not None:
                errors.append(conflict)
    return Merged(hooks, tuple(errors))


def _conflict(holds: Hook, hook: Hook) -> DeclarationError | None:
    where = hook.origin.path
    if holds.origin.place == hook.origin.place:
        return DeclarationError(
            where=where, path="name", message=f"'{hook.name}' is declared by {holds.origin.path} too, which holds"
        )
    if certainly_differ(holds.scope, hook.scope):
        text = f"'{hook.name}' has another scope than in {holds.origin.path}, which holds"
        return DeclarationError(where=where, path="", message=text)
    return None
