"""/healthz, /readyz and /metrics, for probes and Prometheus.

Limits: connections' are in ``connections``; a request's headers are aiohttp's (8 KiB a line), bodies are not read, an
answer lists at most 100 errors and held hooks and how many more there are. It holds no secret and no event's data; a
caller without the token sees what ``api.service.visibility`` says.
"""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kong_eventhooks_plugin.api.rest.app import ALIVE
from kong_eventhooks_plugin.api.rest.routes import caller_of
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.readiness import Readiness
from kong_eventhooks_plugin.api.service.visibility import without_token
from kong_eventhooks_plugin.telemetry.metrics import Metrics

MAX_LISTED = 100

Check = Callable[[], Awaitable[Readiness]]
Refresh = Callable[[], Awaitable[None]]


def health_routes(check: Check, metrics: Metrics, refresh: Refresh, access: Access) -> list[web.RouteDef]:
    """``refresh`` updates the gauges before they are printed."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(request: web.Request) -> web.Response:
        ready = await check()
        if not access.trusted(caller_of(request)):
            ready = without_token(ready)
        body = msgspec.json.format(msgspec.json.encode(_listed(ready)), indent=2)
        return web.Response(
            body=body + b"\n", status=503 if ready.status == "unready" else 200, content_type="application/json"
        )

    async def prometheus(_: web.Request) -> web.Response:
        await refresh()
        return web.Response(body=generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return [web.get(ALIVE, healthz), web.get("/readyz", readyz), web.get("/metrics", prometheus)]


def _listed(ready: Readiness) -> Readiness:
    """Return it with its lists cut to ``MAX_LISTED``."""
    errors, held = ready.errors, ready.held
    if len(errors) > MAX_LISTED:
        errors = (*errors[:MAX_LISTED], f"and {len(errors) - MAX_LISTED} more")
    if len(held) > MAX_LISTED:
        held = dict(list(held.items())[:MAX_LISTED]) | {"...": f"and {len(held) - MAX_LISTED} more"}
    return msgspec.structs.replace(ready, errors=errors, held=held)
