"""What the rest needs of hook definitions: which there are now, and their resolved configuration."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.model.hook import Hook


class DeclarationError(msgspec.Struct, frozen=True):
    """What is wrong with a declaration, and where.

    ``where`` is a file or ``plugin <id>``; ``path`` the place in the document (``plugins[0].config.hooks[2].url``);
    ``message`` the rule and the fix.
    """

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.message}" if self.path else f"{self.where}: {self.message}"


class HookChange(msgspec.Struct, frozen=True):
    """One hook that came, changed or went. ``before`` is None for a new one, ``after`` for one that went."""

    before: Hook | None
    after: Hook | None


class ActiveHooks(Protocol):
    """The hooks in force, merged from every place by strength."""

    def hooks(self) -> Mapping[str, Hook]:
        """Return hook id -> hook, of all in force (disabled ones too)."""

    def get(self, hook_id: str) -> Hook | None:
        """Return one hook in force."""

    def resolved(self, hook: Hook) -> Mapping[str, Any]:
        """Return its config with every reference's value; raises ``UnresolvedReference``. Never log it."""

    def unresolved(self) -> Mapping[str, UnresolvedReference]:
        """Return by name the enabled hooks that are held because a reference has no value."""

    def errors(self) -> list[DeclarationError]:
        """Return what is wrong with declarations now; the last good ones hold meanwhile."""

    def on_change(self, heard: Callable[[list[HookChange]], None]) -> None:
        """Have ``heard`` called on the loop after each change of the hooks in force.

        It is told of no change (an empty list) when stored definitions came into force, which are not new.
        """
