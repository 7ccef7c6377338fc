"""/healthz, /readyz and /metrics, for probes and Prometheus.

Limits: connections' are in ``api.transport``; a request's headers are aiohttp's (8 KiB a line), bodies are not read;
how often a page is made is in ``kept_page``; an answer lists at most 100 errors and held hooks and how many more there
are. It holds no secret and no event's data; a caller without the token sees what ``api.service.visibility`` says.
"""

import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kong_eventhooks_plugin.api.rest.app import ALIVE
from kong_eventhooks_plugin.api.rest.kept_page import KeptPage
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

    async def readiness() -> tuple[int, bytes, bytes]:
        ready = await check()
        return 503 if ready.status == "unready" else 200, _body(ready), _body(without_token(ready))

    async def exposition() -> bytes:
        await refresh()
        return generate_latest(metrics.registry)

    ready_page, metrics_page = KeptPage(readiness, time.monotonic), KeptPage(exposition, time.monotonic)

    async def readyz(request: web.Request) -> web.Response:
        status, whole, open_to_all = await ready_page.get()
        body = whole if access.trusted(caller_of(request)) else open_to_all
        return web.Response(body=body, status=status, content_type="application/json")

    async def prometheus(_: web.Request) -> web.Response:
        return web.Response(body=await metrics_page.get(), headers={"content-type": CONTENT_TYPE_LATEST})

    return [web.get(ALIVE, healthz), web.get("/readyz", readyz), web.get("/metrics", prometheus)]


def _body(ready: Readiness) -> bytes:
    return msgspec.json.format(msgspec.json.encode(_listed(ready)), indent=2) + b"\n"


def _listed(ready: Readiness) -> Readiness:
    """Return it with its lists cut to ``MAX_LISTED``."""
    errors, held = ready.errors, ready.held
    if len(errors) > MAX_LISTED:
        errors = (*errors[:MAX_LISTED], f"and {len(errors) - MAX_LISTED} more")
    if len(held) > MAX_LISTED:
        held = dict(list(held.items())[:MAX_LISTED]) | {"...": f"and {len(held) - MAX_LISTED} more"}
    return msgspec.structs.replace(ready, errors=errors, held=held)
