"""A hook: which event calls which handler, and where it is declared."""

from typing import Any, Literal

import msgspec

from kong_eventhooks_plugin.model.scope import GLOBAL, HookScope

OriginPlace = Literal["instance", "admin-api", "file", "api"]
"""Where a hook is declared: the configuration of a plugin instance, the Admin API's list of plugins, a kong.yml that
the sidecar reads, our own API."""

PRECEDENCE: tuple[OriginPlace, ...] = ("instance", "admin-api", "file", "api")
"""Strongest first: the same name from a weaker place is the same hook, and the stronger definition is in force."""


class Origin(msgspec.Struct, frozen=True):
    """Where a definition is. ``key`` groups what is replaced together (a plugin's id, a file's path)."""

    place: OriginPlace
    key: str
    path: str
    """For people: ``/etc/kong/kong.yml: plugins[0].config.hooks[2]``."""


class Hook(msgspec.Struct, frozen=True):
    """A validated definition. ``config`` has its defaults filled in and its references unresolved.

    ``snooze`` is in seconds. ``filter`` is a CEL expression that must be true of an event for the hook to fire.
    ``created_at`` and ``updated_at`` are Unix seconds.
    """

    id: str
    name: str
    source: str
    handler: str
    config: dict[str, Any]
    origin: Origin
    event: str | None = None
    on_change: bool = False
    snooze: int | None = None
    filter: str | None = None
    scope: HookScope = GLOBAL
    enabled: bool = True
    tags: tuple[str, ...] = ()
    created_at: int = 0
    updated_at: int = 0

    @property
    def given_name(self) -> str | None:
        """The name; None where the API made the hook without one: its id stands in for one in logs and metrics."""
        return None if self.origin.place == "api" and self.name == self.id else self.name

    def same_definition(self, other: "Hook") -> bool:
        """Return whether both are the same but for when and where they were declared."""
        own = {"origin": self.origin, "created_at": self.created_at, "updated_at": self.updated_at}
        return self == msgspec.structs.replace(other, **own)
