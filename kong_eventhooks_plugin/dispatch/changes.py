"""Who takes what the Admin API's route saw, as the dispatcher needs it: the app gives one, and most tests none."""

from typing import Final, Protocol

from kong_eventhooks_plugin.model.observation import ChangeObservation, ChangeTarget
from kong_eventhooks_plugin.sources.changes.events import CRUD, DAO_CRUD

OF_CHANGES: Final = frozenset({CRUD, DAO_CRUD})
"""The sources that tell of changes."""


class ChangeSink(Protocol):
    """Asked only while some hook hears of changes. What each method means: ``kong.plugin_server.contract``."""

    def change_target(self, method: str, path: str) -> ChangeTarget | None:
        """Return what such a request can have changed."""

    def observe_change(self, seen: ChangeObservation) -> None:
        """Take it, and wait for nothing."""


class NullChangeSink:
    """Takes nothing."""

    def change_target(self, method: str, path: str) -> ChangeTarget | None:
        """Return nothing."""
        return None

    def observe_change(self, seen: ChangeObservation) -> None:
        """Let it go."""


NULL_CHANGE_SINK: Final = NullChangeSink()
