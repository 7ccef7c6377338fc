"""The HTTP client of all handlers: httpx in front, aiohttp under it.

Handlers and tests see an ``httpx.AsyncClient``; only this file and ``engine`` know what drives it.
"""

import ssl
from typing import Any

import httpx

from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.aiohttp_transport import AiohttpTransport, EngineLimits
from kong_eventhooks_plugin.telemetry.metrics import Metrics

_DEFAULT_LIMITS = EngineLimits()


class _Client(httpx.AsyncClient):
    """httpx's client, straight to the engine.

    What stands between in httpx does nothing for us and costs a quarter of the time: it follows redirects, keeps
    every endpoint's cookies, runs authentication, and logs whole URLs, which for a webhook are often the credential.
    """

    def __init__(self, engine: httpx.AsyncBaseTransport) -> None:
        # Time is kept by the engine, which has one timer for the whole exchange.
        super().__init__(transport=engine, trust_env=False, timeout=None)
        self._engine = engine

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send the request as it is; ``auth`` and ``follow_redirects`` are not heeded."""
        if self.is_closed:
            raise RuntimeError("the client has been closed")
        response = await self._engine.handle_async_request(request)
        response.request = request
        if not stream:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response


def make_client(
    metrics: Metrics,
    addresses: AddressRules | None = None,
    limits: EngineLimits = _DEFAULT_LIMITS,
    tls: ssl.SSLContext | None = None,
) -> httpx.AsyncClient:
    """Return a client that dials only what ``addresses`` allows; ``tls`` replaces the system's certificates.

    Redirects are not followed and nothing is read from the environment. Use it from one event loop.
    """
    return _Client(AiohttpTransport(metrics, addresses or AddressRules(), limits, tls))
