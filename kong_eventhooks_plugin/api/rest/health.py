"""/healthz, /readyz and /metrics: what probes and Prometheus ask.

Limits: connections' are in ``connections``; a request's headers are aiohttp's (8 KiB a line), bodies are not read, an
answer lists at most 100 faults and held hooks and says how many more there are. The page holds no secret and no event's
data.
"""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kong_eventhooks_plugin.api.rest.connections import IDLE_SECONDS, Site
from kong_eventhooks_plugin.api.service.readiness import Readiness
from kong_eventhooks_plugin.telemetry.metrics import Metrics

MAX_LISTED = 100
END_SECONDS = 1.0
"""What calls under way have when the process leaves, twice: Kong's calls and deliveries drain only after them."""


Check = Callable[[], Awaitable[Readiness]]
Refresh = Callable[[], Awaitable[None]]


def health_app(check: Check, metrics: Metrics, refresh: Refresh) -> web.Application:
    """Return the application; ``refresh`` brings the gauges up to date before they are printed."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        ready = await check()
        body = msgspec.json.format(msgspec.json.encode(_listed(ready)), indent=2)
        return web.Response(
            body=body + b"\n", status=503 if ready.status == "unready" else 200, content_type="application/json"
        )

    async def prometheus(_: web.Request) -> web.Response:
        await refresh()
        return web.Response(body=generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    app = web.Application(client_max_size=1)
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", prometheus)])
    return app


def _listed(ready: Readiness) -> Readiness:
    """Return it with its lists cut to what an answer may hold."""
    faults, held = ready.faults, ready.held
    if len(faults) > MAX_LISTED:
        faults = (*faults[:MAX_LISTED], f"and {len(faults) - MAX_LISTED} more")
    if len(held) > MAX_LISTED:
        held = dict(list(held.items())[:MAX_LISTED]) | {"...": f"and {len(held) - MAX_LISTED} more"}
    return msgspec.structs.replace(ready, faults=faults, held=held)


async def serve_health(app: web.Application, listen: str) -> tuple[web.AppRunner, int]:
    """Serve ``app`` on ``host:port`` (port 0: a free one); return what to clean up and the port.

    Raises ``OSError`` where the address cannot be had.
    """
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
