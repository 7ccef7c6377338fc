"""The HTTP client of all handlers: httpx in front, aiohttp under it.

Handlers and tests see an ``httpx.AsyncClient``; only this file and ``engine`` know what drives it.
"""

import logging
import ssl

import httpx

from kong_eventhooks_plugin.handlers.addresses import AddressRules
from kong_eventhooks_plugin.handlers.engine import AiohttpTransport, EngineLimits
from kong_eventhooks_plugin.telemetry import Metrics

_DEFAULT_LIMITS = EngineLimits()


class _NoCookies(httpx.Cookies):
    """A jar that stays empty."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Keep nothing: no endpoint may set what another request sends, or fill our memory with it."""


class _Client(httpx.AsyncClient):
    """httpx's client without its cookies, which are kept for every host and cost a quarter of its time."""

    _no_cookies = _NoCookies()

    @property
    def cookies(self) -> httpx.Cookies:
        return self._no_cookies

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise AttributeError("this client keeps no cookies")


def make_client(
    metrics: Metrics,
    addresses: AddressRules | None = None,
    limits: EngineLimits = _DEFAULT_LIMITS,
    tls: ssl.SSLContext | None = None,
) -> httpx.AsyncClient:
    """Return a client that dials only what ``addresses`` allows; ``tls`` replaces the system's certificates.

    Redirects are not followed and nothing is read from the environment. Use it from one event loop.
    """
    # httpx logs every request's whole URL at info level, and a webhook's URL is often its credential.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    transport = AiohttpTransport(metrics, addresses or AddressRules(), limits, tls)
    # Time is kept by the engine, which has one timer for the whole exchange.
    return _Client(transport=transport, trust_env=False, follow_redirects=False, timeout=None)
