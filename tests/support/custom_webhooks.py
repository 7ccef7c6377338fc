"""``webhook-custom`` and ``lambda`` handlers over a real pool and a real client."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.http_client import ClientLimits, HttpClient
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.webhook_custom import WebhookCustomHandler
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import SandboxLimits
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.log_lines import KeptLines
from tests.support.sandbox import running_pool
from tests.support.waiting import SECONDS

UNHURRIED = SandboxLimits(wall_seconds=SECONDS, cpu_seconds=SECONDS)
"""For suites that break no limit: no task of theirs is ended because the machine is slow."""


@asynccontextmanager
async def custom_handler(pool: Pool) -> AsyncIterator[WebhookCustomHandler]:
    handler = WebhookCustomHandler(HttpClient(Metrics(), AddressRules()), pool)
    try:
        yield handler
    finally:
        await handler.close()


@asynccontextmanager
async def pool_and_custom_handler() -> AsyncIterator[tuple[Pool, WebhookCustomHandler]]:
    async with running_pool() as pool, custom_handler(pool) as handler:
        yield pool, handler


class OwningCustomHandler(WebhookCustomHandler):
    """Closes its pool with itself: for suites that make a handler a test."""

    async def close(self) -> None:
        await super().close()
        await self._pool.close()


class OwningLambdaHandler(LambdaHandler):
    """The same for lambdas."""

    async def close(self) -> None:
        await super().close()
        await self._pool.close()


def webhook_custom_handler(
    limits: ClientLimits | None = None,
    addresses: AddressRules | None = None,
    tls: ssl.SSLContext | None = None,
    metrics: Metrics | None = None,
    pool: Pool | None = None,
    **options: Any,
) -> WebhookCustomHandler:
    """The webhook-custom handler over the real client and a pool, its own where none is given."""
    client = HttpClient(metrics or Metrics(), addresses, limits, tls)
    if pool is None:
        return OwningCustomHandler(client, Pool(UNHURRIED), **options)
    return WebhookCustomHandler(client, pool, **options)


def lambda_handler() -> LambdaHandler:
    """The lambda handler over a pool of its own; its lines go nowhere."""
    return OwningLambdaHandler(Pool(UNHURRIED), KeptLines())
