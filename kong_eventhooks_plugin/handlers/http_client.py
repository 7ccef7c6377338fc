"""The HTTP client of all handlers: an ``httpx.AsyncClient`` over ``aiohttp_transport``."""

import ssl
from typing import Any

import httpx

from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.aiohttp_transport import AiohttpTransport, EngineLimits
from kong_eventhooks_plugin.telemetry.metrics import Metrics

_DEFAULT_LIMITS = EngineLimits()


class _Client(httpx.AsyncClient):
    """httpx's client without its layers above the transport, which do harm here and cost a quarter of the time.

    They follow redirects, keep every endpoint's cookies, run authentication, and log whole URLs, which for a webhook
    are often the credential.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        # The transport has one timer for the whole exchange.
        super().__init__(transport=transport, trust_env=False, timeout=None)
        self._direct = transport

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send the request as it is; ``auth`` and ``follow_redirects`` have no effect."""
        if self.is_closed:
            raise RuntimeError("the client has been closed")
        response = await self._direct.handle_async_request(request)
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
