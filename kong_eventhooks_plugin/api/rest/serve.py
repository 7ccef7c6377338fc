"""Serves the REST API and the health pages until cancelled."""

import asyncio

import structlog
from aiohttp import web

from kong_eventhooks_plugin.api.rest.health import serve_health
from kong_eventhooks_plugin.background import retry

log = structlog.get_logger()


async def run_rest(app: web.Application, listen: str) -> None:
    """Serve on ``listen``, once nobody else does: at a reload our predecessor holds the port for a moment."""
    runner, port = await retry(lambda: serve_health(app, listen), (OSError,), _in_use)
    log.info("api_listening", port=port, paths="/event-hooks /deliveries /events /readyz /metrics")
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _in_use(error: str) -> None:
    log.warning("address_in_use", setting="listen", error=error)
