"""Who holds connections beside us, so that they outlive us."""

import socket
from collections.abc import Callable, MutableSequence
from typing import Protocol

from kong_eventhooks_plugin.kong.supervisor.call_marks import NO_SLOT, SLOTS


class ConnectionHolder(Protocol):
    """``worker_link.WorkerLink``, over the supervisor."""

    marks: MutableSequence[int]

    @property
    def holds(self) -> bool:
        """Whether a connection that we release lives on."""

    def hold(self, connection: socket.socket) -> int:
        """Hold a connection; return its slot."""

    def removed(self, slot: int) -> None:
        """Forget a connection that has ended."""

    def released(self, slot: int) -> None:
        """Let somebody else serve the connection: we no longer do."""

    def on_adopt(self, adopt: Callable[[socket.socket], None]) -> None:
        """Call ``adopt`` with each connection that we are to serve."""


class NullHolder:
    """Holds nothing: connections end with us."""

    holds = False

    def __init__(self) -> None:
        self.marks: MutableSequence[int] = bytearray(SLOTS + 1)

    def hold(self, connection: socket.socket) -> int:
        return NO_SLOT

    def removed(self, slot: int) -> None: ...

    def released(self, slot: int) -> None: ...

    def on_adopt(self, adopt: Callable[[socket.socket], None]) -> None: ...
