"""Serves the REST API and the health pages until cancelled."""

import asyncio

import structlog
from aiohttp import web

from kong_eventhooks_plugin.api.rest.connections import IDLE_SECONDS, Site
from kong_eventhooks_plugin.background import retry

END_SECONDS = 1.0
"""How long a stopping process waits for calls in progress, twice: Kong's calls and deliveries drain only after them."""

log = structlog.get_logger()


async def serve_rest(app: web.Application, listen: str) -> tuple[web.AppRunner, int]:
    """Serve ``app`` on ``host:port`` (port 0: a free one); return the runner and the port. Raises ``OSError``."""
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=IDLE_SECONDS,
        auto_decompress=False,
        shutdown_timeout=END_SECONDS,
    )
    await runner.setup()
    try:
        await Site(runner, host.strip("[]") or "127.0.0.1", int(port)).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, runner.addresses[0][1]


async def run_rest(app: web.Application, listen: str) -> None:
    """Serve on ``listen``, once nobody else does: at a reload our predecessor holds the port for a moment."""
    runner, port = await retry(
        lambda: serve_rest(app, listen),
        (OSError,),
        lambda error: log.warning("address_in_use", setting="listen", error=error),
    )
    log.info("api_listening", port=port, paths="/event-hooks /deliveries /events /readyz /metrics")
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
