"""What the rest of the program needs of hook definitions: those in force, and their resolved configuration."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from kong_eventhooks_plugin.model.hook import Hook


class DeclarationError(msgspec.Struct, frozen=True):
    """An error in a declaration.

    ``where`` is a file or ``plugin <id>``; ``path`` the place in the document (``plugins[0].config.hooks[2].url``);
    ``message`` the rule and the fix.
    """

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.message}" if self.path else f"{self.where}: {self.message}"


class HookChange(msgspec.Struct, frozen=True):
    """``before`` is None for a new hook, ``after`` for a removed one."""

    before: Hook | None
    after: Hook | None


class ActiveHooks(Protocol):
    """The hooks in force, merged from every place by precedence."""

    @property
    def loaded(self) -> bool:
        """Whether the stored hooks are known; those that are declared may be in force before."""

    def hooks(self) -> Mapping[str, Hook]:
        """Return hook id -> hook, disabled ones too."""

    def get(self, hook_id: str) -> Hook | None: ...

    def resolved(self, hook: Hook) -> Mapping[str, Any]:
        """Return its config with every reference's value; raises ``UnresolvedReference``. Never log it."""

    async def refreshed(self, hook: Hook) -> Mapping[str, Any]:
        """As ``resolved``, after its secret file was read anew."""

    def errors(self) -> list[DeclarationError]:
        """Return the errors of the declarations as they are now; the last valid ones hold meanwhile."""

    def on_change(self, listener: Callable[[list[HookChange]], None]) -> None:
        """Call ``listener`` on the loop after each change; with an empty list when stored definitions are loaded."""
