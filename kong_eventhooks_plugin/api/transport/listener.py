"""Listens on an address of the API and accepts connections: REST's and gRPC's alike, with TLS where that is set.

Limits: connections see ``connections``; TLS' handshake, and before it the first byte, has ``HANDSHAKE_SECONDS``; a
peer that takes no byte for ``UNREAD_SECONDS`` is cut, and its pending data is dropped. Plain HTTP on a port with TLS
is answered with a 400 that says so. A failed handshake is logged, at a limited rate, with the reason from OpenSSL's
list: nothing that a peer made up.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final

from kong_eventhooks_plugin.acceptor import Acceptor
from kong_eventhooks_plugin.api.transport.connections import ApiConnection, ApiConnections, Call, TrackedProtocol
from kong_eventhooks_plugin.background import RateLimitedLogger

BACKLOG: Final = 128
HANDSHAKE_SECONDS: Final = 10.0
SHUTDOWN_SECONDS: Final = 1.0
"""How long the end of a connection with TLS waits for the peer's."""

UNREAD_SECONDS: Final = 60
CLOSING: Final = 16
"""How many closed connections may still hold a descriptor before no more is accepted."""

_PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
    b'Content-Length: 55\r\n\r\n{"message":"this port speaks TLS: call it as https://"}'
)
_HANDSHAKE: Final = b"\x16"
"""The first byte of TLS (RFC 8446, 5.1)."""

Protocol = Callable[[], tuple[asyncio.Protocol, Hashable]]
"""Makes the protocol of a new connection; with it the key under which its calls come (``ApiConnections.calling``)."""


class Listener:
    """``setting`` names the address, ``limit`` is of connections. Make it on the loop."""

    def __init__(self, setting: str, limit: int, tls: ssl.SSLContext | None = None) -> None:
        self.setting = setting
        self.port = 0
        self._tls = tls
        self._connections = ApiConnections(setting, limit)
        self._starting: dict[ApiConnection, asyncio.Task[None]] = {}
        self._open: set[ApiConnection] = set()
        self._acceptors: list[Acceptor] = []
        self._sockets: list[socket.socket] = []
        self._log = RateLimitedLogger(asyncio.get_running_loop().time)

    @property
    def secure(self) -> bool:
        return self._tls is not None

    def calling(self, key: Hashable) -> Call:
        return self._connections.calling(key)

    async def bind(self, listen: str) -> None:
        """Bind ``host:port`` (port 0: a free one); callers wait until ``start``. Raises ``OSError``."""
        host, _, port = listen.rpartition(":")
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            host.strip("[]") or "127.0.0.1", int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                self._sockets.append(_bound(family, address))
        except OSError:
            self._close_sockets()
            raise
        self.port = self._sockets[0].getsockname()[1]

    def start(self, protocol: Protocol) -> None:
        for listening in self._sockets:
            acceptor = Acceptor(
                self._not_accepted,
                self._connections.limit + CLOSING,
                lambda: len(self._open),
                partial(self._accepted, protocol=protocol),
            )
            acceptor.start(listening)
            self._acceptors.append(acceptor)

    def close(self) -> None:
        """Accept no more, and end what has not begun; open connections stay."""
        for acceptor in self._acceptors:
            acceptor.stop()
        for connection in tuple(self._starting):
            connection.abort()
        self._close_sockets()

    def abort(self) -> None:
        """Close every connection."""
        self._connections.abort()

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    def _accepted(self, sock: socket.socket, protocol: Protocol) -> None:
        sock.setblocking(False)
        connection = ApiConnection(sock)
        self._open.add(connection)
        self._connections.add(connection)
        self._starting[connection] = asyncio.get_running_loop().create_task(self._begin(connection, protocol))

    async def _begin(self, connection: ApiConnection, protocol: Protocol) -> None:
        try:
            await self._connect(connection, protocol)
        except ssl.SSLError as error:
            reason = error.reason or "no reason"
            self._log.warning("api_tls_handshake_failed", reason, setting=self.setting, reason=reason)
        except OSError:
            pass  # the peer left, or took too long
        finally:
            del self._starting[connection]
            if connection.transport is None:
                self._closed(connection)

    async def _connect(self, connection: ApiConnection, protocol: Protocol) -> None:
        loop, options = asyncio.get_running_loop(), {}
        if self._tls is not None:
            if not await _begins_tls(connection.sock):
                return
            options = {"ssl_handshake_timeout": HANDSHAKE_SECONDS, "ssl_shutdown_timeout": SHUTDOWN_SECONDS}

        def made() -> asyncio.Protocol:
            inner, key = protocol()
            self._connections.name(connection, key)
            return TrackedProtocol(inner, connection, self._closed)

        await loop.connect_accepted_socket(made, connection.sock, ssl=self._tls, **options)

    def _closed(self, connection: ApiConnection) -> None:
        self._connections.remove(connection)
        self._open.discard(connection)
        for acceptor in self._acceptors:
            acceptor.resume()

    def _not_accepted(self, reason: str, error: OSError | None = None, **_: int) -> None:
        if error is not None:
            self._log.warning("api_accept_failed", reason, setting=self.setting, error=str(error))


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # [::] is every address
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux alone; connections inherit it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1_000)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


async def _begins_tls(sock: socket.socket) -> bool:
    """Wait for the first byte and return whether it is TLS'; else answer and close. May raise ``OSError``."""
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    begins = False
    loop.add_reader(sock, readable.cancel)
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await asyncio.wait([readable])
        first = sock.recv(1, socket.MSG_PEEK)
        begins = first == _HANDSHAKE
        if first and not begins:
            sock.recv(65_536)  # what is unread when it is closed would reset the connection, and the answer with it
            sock.send(_PLAIN_HTTP)
    finally:
        loop.remove_reader(sock)
        if not begins:
            sock.close()
    return begins
