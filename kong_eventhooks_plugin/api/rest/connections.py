"""Where the API and the health pages listen, and what connections to them may cost.

aiohttp takes as many connections as come and keeps each as long as its peer likes, with whatever waits for it. Kong's
socket needs this process's descriptors and memory more than somebody who holds connections open.

Limits: ``CONNECTIONS`` at the same time; one more ends the oldest (not the newest: a probe has to get in). One on which
no request arrives, or ends to arrive, for ``IDLE_SECONDS`` is closed; one whose peer takes nothing for
``UNREAD_SECONDS`` is cut, and what waits for it is let go.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final, cast

import structlog
from aiohttp import web

CONNECTIONS: Final = 1_024
IDLE_SECONDS: Final = 75.0
"""Longer than Kong keeps an idle connection to an upstream (60 s), so that it is Kong that closes one."""

UNREAD_SECONDS: Final = 60
LOG_SECONDS: Final = 60.0

log = structlog.get_logger()


class Site(web.BaseSite):
    """Listens on ``host`` and ``port`` for a runner, within the limits of the file's head."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._logged_at = -LOG_SECONDS

    @property
    def name(self) -> str:
        """Return the address, as aiohttp wants it."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises ``OSError``."""
        await super().start()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._connected, self._host, self._port)
        self._server = server
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux alone has it; connections inherit it
            for listening in server.sockets:
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1_000)

    def _connected(self) -> asyncio.BaseProtocol:
        server = cast("web.Server", self._runner.server)
        connections = server.connections
        if len(connections) >= CONNECTIONS:
            self._end_oldest(connections)
        return server()

    def _end_oldest(self, connections: Sequence[web.RequestHandler]) -> None:
        transports = (connection.transport for connection in connections)
        oldest = next((each for each in transports if each is not None and not each.is_closing()), None)
        if oldest is not None:
            oldest.abort()
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            log.warning("api_connections_limited", limit=CONNECTIONS)
