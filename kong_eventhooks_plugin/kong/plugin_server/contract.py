"""What the phases and the plugin server call back into. ``components.py`` fills a ``PluginHost``, tests use a recorder.

Everything is called on the event loop. What it raises is counted and logged, and Kong is answered.
"""

from asyncio import Future
from collections.abc import Iterable
from typing import Protocol

import msgspec

from kong_eventhooks_plugin.kong.plugin_server.error_log_lines import WaitingLine
from kong_eventhooks_plugin.kong.plugin_server.log_first import LogFirst
from kong_eventhooks_plugin.kong.plugin_server.node_question import NodeQuestion
from kong_eventhooks_plugin.model.observation import (
    ChangeObservation,
    ChangeTarget,
    InstanceClosed,
    InstanceStarted,
    LogObservation,
)
from kong_eventhooks_plugin.queue.contract import Receipt

Committed = Receipt | list[Receipt | BaseException]
"""What an observation led to: of one event, or of each of several."""


class UnreadLogs(Protocol):
    """Says which logs need not be read (``dispatch.quiet_flood.QuietFlood``)."""

    @property
    def now(self) -> bool:
        """Whether there may be such: then the status is asked for before the log."""

    def skips(self, status: int) -> bool:
        """Return whether the log of a request that ended so is not to be read; count it then."""


class RequestObserver(Protocol):
    """Takes what the log phase saw (``dispatch.dispatcher.Dispatcher``)."""

    log_statuses: frozenset[int]
    """Statuses for which some hook may fire in the log phase; empty: Kong is asked for nothing."""

    @property
    def quiet(self) -> UnreadLogs | None:
        """None: the log of each request with such a status is read."""

    def observe(self, seen: LogObservation) -> "Future[Committed] | None":
        """Return a future that ends when all that the observation caused is committed; None: nothing to wait for."""


class ChangeObserver(Protocol):
    """Takes what the response phase saw of the Admin API (``sources.changes.observer.ChangeObserver``)."""

    @property
    def has_change_subscribers(self) -> bool:
        """Whether some hook subscribes to changes."""

    def change_target(self, method: str, path: str) -> ChangeTarget | None:
        """Return what a request that the Admin API took can have changed; None: nothing that a hook subscribes to.

        The body of the answer is read only where the target's ``wants_answer`` says so.
        """

    def observe_change(self, seen: ChangeObservation) -> None:
        """Take the observation and wait for nothing: a client waits."""


class InstanceLifecycle(Protocol):
    """Takes the plugins' configurations (``hooks.in_force.registry.HookRegistry``)."""

    def instance_started(self, started: InstanceStarted) -> "Future[None] | None":
        """Return a future that ends when what the configuration declares is in force; None: it is already."""

    def instance_closed(self, closed: InstanceClosed) -> "Future[None] | None": ...


class LineSource(Protocol):
    """Holds lines for Kong's error log (``error_log_lines.LineBuffer``)."""

    def pop(self) -> WaitingLine | None:
        """Return the oldest line that waits, None without one. ``written`` or ``put_back`` must follow."""

    def arrival(self, fired: Iterable[str]) -> "Future[None] | None":
        """Return a future that ends when a line waits; None where the hooks that ``fired`` need no waiting for."""

    def written(self, waiting: WaitingLine) -> None:
        """Kong has the line."""

    def put_back(self, waiting: WaitingLine) -> None:
        """Kong may not have the line."""


class PluginHost(msgspec.Struct, frozen=True, eq=False):
    """``changes`` is None where there is no Admin API to read; ``node`` where Kong is not asked which node it is."""

    requests: RequestObserver
    lifecycle: InstanceLifecycle
    lines: LineSource
    changes: ChangeObserver | None = None
    log_first: LogFirst = msgspec.field(default_factory=LogFirst)
    node: NodeQuestion | None = None
