"""The open connections of one address, REST's or gRPC's: how many there may be, and which makes room for one more.

Limit: ``limit`` at the same time. One more (a probe must get in) closes another: the one that has had no call for the
longest time; one with a call under way only where all have one. The limit on calls is lower, so that needs calls that
are all about to be refused. One log line in ``LOG_SECONDS``.
"""

import asyncio
import socket
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final, cast

from kong_eventhooks_plugin.api.transport.turns import Turns
from kong_eventhooks_plugin.background import RateLimitedLogger

LOG_SECONDS: Final = 60.0


class ApiConnection:
    """A connection, from when it is accepted; it has a transport after TLS' handshake."""

    __slots__ = ("calls", "key", "sock", "transport")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.transport: asyncio.Transport | None = None
        self.key: Hashable = None
        self.calls = 0

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        else:
            # Whoever reads it finds its end. To cancel what opens it would leave uvloop with a closed handle and nobody
            # told: it closes that without ``connection_lost``.
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class ApiConnections:
    """``setting`` names the address in the log."""

    def __init__(self, setting: str, limit: int) -> None:
        self.limit = limit
        self._setting = setting
        self._open: dict[ApiConnection, None] = {}  # the one without a call for the longest time first
        self._by_key: dict[Hashable, ApiConnection] = {}
        self._turns = Turns()
        self._log = RateLimitedLogger(asyncio.get_running_loop().time, LOG_SECONDS)

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: ApiConnection) -> None:
        if len(self._open) >= self.limit:
            self._close_one()
        self._open[connection] = None

    def name(self, connection: ApiConnection, key: Hashable) -> None:
        """Say under which key calls on the connection come."""
        connection.key = key
        self._by_key[key] = connection

    def remove(self, connection: ApiConnection) -> None:
        self._open.pop(connection, None)
        self._by_key.pop(connection.key, None)

    def abort(self) -> None:
        """Close all of them at once."""
        for connection in tuple(self._open):
            connection.abort()

    def calling(self, key: Hashable) -> "Call":
        """Return what waits for the call's turn; while it runs, its connection is not idle."""
        return Call(self, key)

    def turn(self) -> asyncio.Future[None] | None:
        return self._turns.turn()

    def begin(self, key: Hashable) -> ApiConnection | None:
        connection = self._by_key.get(key)
        if connection is not None:
            connection.calls += 1
        return connection

    def end(self, connection: ApiConnection) -> None:
        connection.calls -= 1
        if connection in self._open:
            self._open[connection] = self._open.pop(connection)  # now the last

    def _close_one(self) -> None:
        self._log.warning("api_connections_limited", self._setting, setting=self._setting, limit=self.limit)
        idle = (connection for connection in self._open if not connection.calls)
        closed = next(idle, None) or next(iter(self._open))
        self.remove(closed)
        closed.abort()


class Call:
    """One call of a connection, as a context, whose turn has come; ``contextlib``'s costs each call a generator more.

    Without a task: ``turn`` returns what ends when the turn has come, None where it has; then ``begin``, later ``end``.
    """

    __slots__ = ("_connection", "_connections", "_key")

    def __init__(self, connections: ApiConnections, key: Hashable) -> None:
        self._connections = connections
        self._key = key
        self._connection: ApiConnection | None = None

    async def __aenter__(self) -> None:
        if (turn := self.turn()) is not None:
            await turn
        self.begin()

    async def __aexit__(self, *_: object) -> None:
        self.end()

    def turn(self) -> asyncio.Future[None] | None:
        return self._connections.turn()

    def begin(self) -> None:
        self._connection = self._connections.begin(self._key)

    def end(self) -> None:
        if self._connection is not None:
            self._connections.end(self._connection)


class TrackedProtocol(asyncio.Protocol):
    """Calls ``closed`` when its connection has ended; everything else goes to ``inner`` directly."""

    def __init__(
        self, inner: asyncio.Protocol, connection: ApiConnection, closed: Callable[[ApiConnection], None]
    ) -> None:
        self._inner = inner
        self._connection = connection
        self._closed = closed
        for name in ("data_received", "eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(inner, name))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.transport = cast("asyncio.Transport", transport)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed(self._connection)
        if self._connection.transport is not None:
            self._inner.connection_lost(exc)
