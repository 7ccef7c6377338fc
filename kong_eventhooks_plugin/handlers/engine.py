"""aiohttp as the engine under httpx: httpx's transport interface over an ``aiohttp.ClientSession``.

benchmarks/delivery.py compares the choices (32 requests at once, requests per CPU second, aiohttp alone = 1): httpx
alone 0.03, httpx over the package httpx-aiohttp 0.27, our client (``client``) over this 0.66.

What keeps an endpoint from harming us, and the limits:

- every address is judged at the dial, where aiohttp makes the socket (``addresses``);
- no proxies, ``.netrc`` or certificates from the environment, no cookies, no redirects, no decompression: what an
  endpoint answers changes no later request and cannot unfold in memory;
- header lines over 8,190 bytes or more than 128 of them are a protocol error (aiohttp's limits); of a body
  no more than ``READ_BUFFER`` twice over waits unread; a body that is not read to its end costs its connection;
- ``EngineLimits``: time for a connection and in all, how many connections there are, how long an idle one is kept.

aiohttp's exceptions are mapped to httpx's here and nowhere else. Their texts are ours: theirs can quote a URL, or bytes
that an endpoint sent back.
"""

import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from kong_eventhooks_plugin.errors import AddressRefused
from kong_eventhooks_plugin.handlers.addresses import AddressRules
from kong_eventhooks_plugin.handlers.resolver import ThreadedNames
from kong_eventhooks_plugin.telemetry.metrics import Metrics

READ_BUFFER = 32_768
CACHED_URLS = 1_024

SSL_VERIFY = "ssl_verify"
"""The request extension that says whether the endpoint's certificate is checked; missing: it is."""


class EngineLimits(msgspec.Struct, frozen=True):
    """Seconds for a connection (name, TCP and TLS together) and for the whole exchange, body included.

    ``connections`` open at once: past it a request waits, and its time to connect runs. An idle one is closed
    after ``keepalive_seconds``.
    """

    connect_seconds: float = 5.0
    total_seconds: float = 15.0
    connections: int = 512
    keepalive_seconds: float = 30.0


class TlsFailed(httpx.ConnectError):
    """The endpoint's certificate or its TLS is not acceptable."""


class _Dial:
    """What one request's dialling did: sockets made, and why an address was refused."""

    __slots__ = ("refused", "sockets")

    def __init__(self) -> None:
        self.sockets = 0
        self.refused: str | None = None


_TRANSLATED = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, RuntimeError)

# aiohttp's tracing would tell of connections too, at a tenth of the throughput: the socket factory is called anyway.
_dial: ContextVar[_Dial | None] = ContextVar("dial", default=None)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends one request, exactly as it is given; its answer's body is read by whoever asked."""

    def __init__(
        self, metrics: Metrics, addresses: AddressRules, limits: EngineLimits, tls: ssl.SSLContext | None = None
    ) -> None:
        self._addresses = addresses
        self._limits = limits
        self._tls: ssl.SSLContext | bool = tls or True
        self._session: aiohttp.ClientSession | None = None
        self._names = ThreadedNames()
        self._new = metrics.http_connections.labels("new")
        self._reused = metrics.http_connections.labels("reused")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it; raises httpx's exceptions and ``AddressRefused``."""
        session = self._session or self._open()
        dial = _Dial()
        token = _dial.set(dial)
        try:
            answer = await session.request(
                request.method,
                _engine_url(str(request.url)),
                headers=CIMultiDict([(name.decode(), value.decode()) for name, value in request.headers.raw]),
                data=await request.aread() or None,
                allow_redirects=False,
                ssl=self._tls if request.extensions.get(SSL_VERIFY, True) else False,
            )
        except _TRANSLATED as error:
            raise translated(error, dial) from None
        finally:
            _dial.reset(token)
            if dial.sockets:
                self._new.inc(dial.sockets)
        if not dial.sockets:
            self._reused.inc()
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def aclose(self) -> None:
        """Close every connection; closing twice is fine."""
        if self._session is not None:
            await self._session.close()
        await self._names.close()

    def _open(self) -> aiohttp.ClientSession:
        """Make the session: it belongs to the loop that runs now, so it cannot be made before."""
        limits = self._limits
        connector = aiohttp.TCPConnector(
            limit=limits.connections,
            keepalive_timeout=limits.keepalive_seconds,
            resolver=self._names,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # An infinite threshold keeps aiohttp from rounding times up to whole seconds.
            timeout=aiohttp.ClientTimeout(
                total=limits.total_seconds, connect=limits.connect_seconds, ceil_threshold=float("inf")
            ),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER,
        )
        return self._session

    def _socket(self, info: Any) -> socket.socket:
        """Make the socket for one address just before it is dialled, or refuse to."""
        family, kind, protocol, _, address = info
        dial = _dial.get()
        reason = self._addresses.refusal(str(address[0]))
        if reason is not None:
            if dial is not None:
                dial.refused = reason
            raise OSError(errno.EACCES, "address refused")
        if dial is not None:
            dial.sockets += 1
        return socket.socket(family, kind, protocol)


class _Body(httpx.AsyncByteStream):
    """An answer's body, read as it comes. Not read to its end, it costs the connection."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        try:
            while chunk := await content.readany():
                yield chunk
        except _TRANSLATED as error:
            raise translated(error, _Dial()) from None

    async def aclose(self) -> None:
        # aiohttp keeps the connection only where the body was read to its end.
        self._answer.release()


def translated(error: Exception, dial: _Dial) -> Exception:
    """Return httpx's (or our) exception for one of aiohttp's, with a text of our own."""
    if dial.refused and not dial.sockets and isinstance(error, aiohttp.ClientConnectorError):
        return AddressRefused(dial.refused)
    return next(make(error) for kinds, make in _TRANSLATIONS if isinstance(error, kinds))


_Kinds = tuple[type[Exception], ...]
_TRANSLATIONS: tuple[tuple[_Kinds, Callable[[Any], Exception]], ...] = (
    ((aiohttp.ConnectionTimeoutError,), lambda _: httpx.ConnectTimeout("no connection in time")),
    ((TimeoutError,), lambda _: httpx.ReadTimeout("no answer in time")),
    ((aiohttp.ClientSSLError, ssl.SSLError), lambda error: TlsFailed(_tls_text(error))),
    ((aiohttp.ClientConnectorDNSError,), lambda _: httpx.ConnectError("the host's name was not resolved")),
    ((aiohttp.ClientConnectorError,), lambda error: httpx.ConnectError(f"no connection: {_os_text(error)}")),
    (
        (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, HttpProcessingError),
        lambda _: httpx.RemoteProtocolError("the answer is not HTTP"),
    ),
    (
        (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError),
        lambda _: httpx.UnsupportedProtocol("the URL cannot be dialled"),
    ),
    (
        (aiohttp.ClientConnectionError, OSError),
        lambda error: httpx.ReadError(f"the connection broke: {_os_text(error)}"),
    ),
    # aiohttp's own last check of header names and values; anything that it may raise in versions to come.
    ((Exception,), lambda _: httpx.LocalProtocolError("the request cannot be sent")),
)
"""First match first: what is more special stands above."""


def _os_text(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else "closed by the endpoint"


def _tls_text(error: Exception) -> str:
    cause: Any = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate refused: {cause.verify_message}"
    return f"TLS failed: {getattr(cause, 'reason', None) or 'handshake'}"


@lru_cache(CACHED_URLS)
def _engine_url(url: str) -> URL:
    # httpx has encoded it already; encoding it once more could change a signed query.
    return URL(url, encoded=True)
