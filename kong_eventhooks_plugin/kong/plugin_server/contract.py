"""What Kong's door needs of the house behind it: the app gives the dispatcher, tests give a recorder."""

from asyncio import Future
from typing import Any, Protocol

from kong_eventhooks_plugin.model.lines import LogLine
from kong_eventhooks_plugin.model.observation import (
    ChangeObservation,
    ChangeTarget,
    InstanceClosed,
    InstanceStarted,
    LogObservation,
)


class PluginHost(Protocol):
    """Called on the event loop by the plugin server. What it raises is counted and logged, and Kong is answered."""

    log_statuses: frozenset[int]
    """Statuses of which some hook can hear something in the log phase; empty: Kong is asked for nothing."""

    has_change_subscribers: bool
    """Whether somebody wants to know of changes through the Admin API's route."""

    def change_target(self, method: str, path: str) -> ChangeTarget | None:
        """Return what a request that the Admin API took can have changed; None where nothing that a hook subscribes to.

        The body of the answer is read only where ``wants_answer`` says so.
        """

    def observe_change(self, seen: ChangeObservation) -> None:
        """Take what the response phase saw. A client waits: nothing is waited for."""

    def observe(self, seen: LogObservation) -> "Future[Any] | None":
        """Take what the log phase saw; the future ends when all it caused is committed (None: no wait)."""

    def instance_started(self, started: InstanceStarted) -> None:
        """Hear of a plugin's configuration."""

    def instance_closed(self, closed: InstanceClosed) -> None:
        """Hear that an instance went."""

    def pop_line(self) -> LogLine | None:
        """Give the oldest line that waits for Kong's error log, None where there is none."""
