"""httpx's transport interface over an ``aiohttp.ClientSession``.

benchmarks/delivery.py compares the choices (32 requests at once, requests per CPU second, aiohttp alone = 1): httpx
alone 0.03, httpx over the package httpx-aiohttp 0.27, our client (``http_client``) over this 0.66.

What keeps an endpoint from harming us, and the limits:

- every address is checked at the dial, where aiohttp makes the socket (``address_rules``);
- no proxies, ``.netrc`` or certificates from the environment, no cookies, no redirects, no decompression: what an
  endpoint answers changes no later request and cannot unfold in memory;
- header lines over 8,190 bytes or more than 128 of them are not read (aiohttp's limits), nor more than so many
  informational answers and bytes beside the body (``http_protocol``); where a status line is followed by what cannot
  be read, the answer has that status and nothing else (``status_line``);
- of a body no more than ``READ_BUFFER`` twice over waits unread; a body that is not read to its end costs its
  connection;
- ``EngineLimits``: time for a connection and in all, how many connections there are, how long an idle one is kept.

aiohttp's exceptions become ours (``http_errors``) here.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from contextvars import ContextVar
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import aiohttp
import httpx
import msgspec
from multidict import CIMultiDict
from yarl import URL

from kong_eventhooks_plugin.errors import AddressRefused
from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.name_resolver import ThreadedNames
from kong_eventhooks_plugin.handlers.status_line import StatusLine
from kong_eventhooks_plugin.http_errors import HTTP_ERRORS, http_error
from kong_eventhooks_plugin.http_protocol import AnswerProtocol, use_protocol
from kong_eventhooks_plugin.settings import DEFAULTS
from kong_eventhooks_plugin.telemetry.metrics import Metrics

READ_BUFFER = 32_768
CACHED_URLS = 1_024

UNREADABLE = "unreadable"
"""The response extension that says why only the status of an answer is known."""

STOPPED = "this process stopped"

SSL_VERIFY = "ssl_verify"
"""The request extension that says whether the endpoint's certificate is checked; missing: it is."""


class EngineLimits(msgspec.Struct, frozen=True):
    """Seconds for a connection (name, TCP and TLS together) and for the whole exchange, body included.

    ``connections`` open at once: past it a request waits, and its time to connect runs. An idle one is closed
    after ``keepalive_seconds``.
    """

    connect_seconds: float = DEFAULTS.connect_timeout_seconds
    total_seconds: float = DEFAULTS.timeout_seconds
    connections: int = 512
    keepalive_seconds: float = 30.0


class _Exchange:
    """What is noted of one request: sockets made, why an address was refused, its answer's status line."""

    __slots__ = ("refused", "sockets", "status_line")

    def __init__(self) -> None:
        self.sockets = 0
        self.refused: str | None = None
        self.status_line = StatusLine()


# aiohttp's tracing would report connections too, at a tenth of the throughput: the socket factory is called anyway.
_exchange: ContextVar[_Exchange | None] = ContextVar("exchange", default=None)


class _Protocol(AnswerProtocol):
    """The protocol of one connection, which notes each answer's status line."""

    _status_line: StatusLine | None = None

    def set_response_params(self, **params: Any) -> None:
        exchange = _exchange.get()
        self._status_line = None if exchange is None else exchange.status_line
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if self._status_line is not None and not self._status_line.ended:
            self._status_line.feed(data)
        super().data_received(data)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends one request, exactly as it is; the caller reads the answer's body."""

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
        """Send it; raises ``HttpError`` and ``AddressRefused``."""
        session = self._session or self._open()
        exchange = _Exchange()
        token = _exchange.set(exchange)
        try:
            answer = await session.request(
                request.method,
                _engine_url(str(request.url)),
                headers=CIMultiDict([(name.decode(), value.decode()) for name, value in request.headers.raw]),
                data=await request.aread() or None,
                allow_redirects=False,
                ssl=self._tls if request.extensions.get(SSL_VERIFY, True) else False,
            )
        except HTTP_ERRORS as error:
            if exchange.refused and not exchange.sockets and isinstance(error, aiohttp.ClientConnectorError):
                raise AddressRefused(exchange.refused) from None
            failure = http_error(error, "the endpoint")
            if exchange.status_line.status is None:
                raise failure from None
            return _status_alone(exchange.status_line.status, str(failure))
        except asyncio.CancelledError:
            # The process drains. An endpoint that has the event would get it again from the next process.
            status = exchange.status_line.status
            if status is None or not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                raise
            return _status_alone(status, STOPPED)
        finally:
            _exchange.reset(token)
            if exchange.sockets:
                self._new.inc(exchange.sockets)
        if not exchange.sockets:
            self._reused.inc()
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._names.close()

    def _open(self) -> aiohttp.ClientSession:
        """Make the session, which belongs to the loop that runs now."""
        limits = self._limits
        connector = aiohttp.TCPConnector(
            limit=limits.connections,
            keepalive_timeout=limits.keepalive_seconds,
            resolver=self._names,
            socket_factory=self._socket,
        )
        use_protocol(connector, _Protocol)
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
        # aiohttp has no argument for it: nothing is sent twice.
        self._session._retry_connection = False  # noqa: SLF001
        return self._session

    def _socket(self, info: Any) -> socket.socket:
        """Make the socket for one address just before it is dialled, or refuse to."""
        family, kind, protocol, _, address = info
        exchange = _exchange.get()
        reason = self._addresses.refusal(str(address[0]))
        if reason is not None:
            if exchange is not None:
                exchange.refused = reason
            raise OSError(errno.EACCES, "address refused")
        if exchange is not None:
            exchange.sockets += 1
        return socket.socket(family, kind, protocol)


def _status_alone(status: int, why: str) -> httpx.Response:
    return httpx.Response(status, stream=httpx.ByteStream(b""), extensions={UNREADABLE: why})


class _Body(httpx.AsyncByteStream):
    """An answer's body, read as it comes. Unless it is read to its end, its connection is closed."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        try:
            while chunk := await content.readany():
                yield chunk
        except HTTP_ERRORS as error:
            raise http_error(error, "the endpoint") from None

    async def aclose(self) -> None:
        # aiohttp keeps the connection only where the body was read to its end.
        self._answer.release()


@lru_cache(CACHED_URLS)
def _engine_url(url: str) -> URL:
    # httpx has encoded it already; encoding it once more could change a signed query.
    return URL(url, encoded=True)
