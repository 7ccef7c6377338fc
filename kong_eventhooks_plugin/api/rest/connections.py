"""The address of the API and the health pages, and the limits of its connections.

aiohttp accepts any number of connections and keeps each as long as its peer likes, with all data pending for it. The
plugin socket needs this process's descriptors and memory more.

Limits: ``CONNECTIONS`` at the same time; one more closes the oldest (not the newest: a probe must get in). A connection
without a complete request for ``IDLE_SECONDS`` is closed; one whose peer reads nothing for ``UNREAD_SECONDS`` is cut,
and its pending data is dropped.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final, cast

import structlog
from aiohttp import web

CONNECTIONS: Final = 1_024
IDLE_SECONDS: Final = 75.0
"""Longer than Kong keeps an idle connection to an upstream (60 s), so that Kong closes first."""

UNREAD_SECONDS: Final = 60
LOG_SECONDS: Final = 60.0

log = structlog.get_logger()


class Site(web.BaseSite):
    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._logged_at = -LOG_SECONDS

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        await super().start()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._connected, self._host, self._port)
        self._server = server
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux alone; connections inherit it
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
