"""Serves the REST API and the health pages until cancelled.

Limits: connections' are in ``api.transport``, a request's in ``request_protocol``; a connection without a complete
request for ``IDLE_SECONDS`` is closed.
"""

import asyncio
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import structlog
from aiohttp import web

from kong_eventhooks_plugin.api.rest.publish_lane import PUBLISHING, PublishLane
from kong_eventhooks_plugin.api.rest.request_protocol import RequestProtocol
from kong_eventhooks_plugin.api.transport.listener import Listener
from kong_eventhooks_plugin.background import retry

IDLE_SECONDS = 75.0
"""Longer than Kong keeps an idle connection to an upstream (60 s), so that Kong closes first."""

END_SECONDS = 1.0
"""How long a stopping process waits for calls in progress, twice: Kong's calls and deliveries drain only after them."""

LINGER_SECONDS = 1.0
"""How long what comes behind a refused body is read and dropped, so that its sender reads the refusal."""

log = structlog.get_logger()

Calling = Callable[[Hashable], AbstractAsyncContextManager[Any]]
"""See ``api.transport.connections``; the key of a connection is its protocol."""


class RestServer:
    def __init__(self, app: web.Application, listener: Listener) -> None:
        self._listener = listener
        self._publishing = app.get(PUBLISHING)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=IDLE_SECONDS,
            auto_decompress=False,
            shutdown_timeout=END_SECONDS,
            lingering_time=LINGER_SECONDS,
        )

    @property
    def port(self) -> int:
        return self._listener.port

    async def open(self, listen: str) -> None:
        """Listen on ``host:port``. Raises ``OSError``."""
        await self._listener.bind(listen)
        await self._runner.setup()
        server = cast("web.Server", self._runner.server)
        publishing, calling = self._publishing, self._listener.calling

        def protocol() -> tuple[asyncio.Protocol, Hashable]:
            handler = RequestProtocol(server) if publishing is None else PublishLane(server, publishing, calling)
            return handler, handler

        self._listener.start(protocol)

    async def stop(self) -> None:
        self._listener.close()
        await self._runner.cleanup()


async def run_rest(app: web.Application, listener: Listener, listen: str) -> None:
    """Serve on ``listen``, once nobody else does: at a reload our predecessor holds the port for a moment."""
    server = RestServer(app, listener)
    await retry(
        lambda: server.open(listen),
        (OSError,),
        lambda error: log.warning("address_in_use", setting=listener.setting, error=error),
    )
    log.info("api_listening", port=server.port, tls=listener.secure, paths=main_paths(app))
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()


def main_paths(app: web.Application) -> str:
    """Return what somebody who reads the log may open: ``/`` is the console, where there is one."""
    served = {resource.canonical for resource in app.router.resources()}
    return " ".join(
        path for path in ("/", "/event-hooks", "/deliveries", "/events", "/readyz", "/metrics") if path in served
    )
