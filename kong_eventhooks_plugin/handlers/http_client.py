"""The HTTP client of all handlers: one request at a time over aiohttp's connections and its parser.

It takes from aiohttp what is hard (name resolution, connecting, TLS, kept connections, parsing answers) and leaves its
session, request and response, which cost more than all of that; benchmarks/delivery.py compares them.

What keeps an endpoint from harming us, and the limits:

- every address is checked at the dial, where aiohttp makes the socket (``address_rules``). Through a ``proxy`` only a
  host that is an address can be: it is, before the proxy is asked; the proxy's own address is the operator's choice;
- no proxies, ``.netrc`` or certificates from the environment, no cookies, no redirects, no decompression: what an
  endpoint answers changes no later request and cannot unfold in memory. Nothing is sent twice;
- header lines over 8,190 bytes or more than 128 of them are not read (aiohttp's limits), nor more than so many
  informational answers and bytes beside the body (``http_protocol``); where a status line is followed by what cannot
  be read, the answer has that status and nothing else (``status_line``);
- of a body ``MAX_BODY_BYTES`` are read, and no more than ``READ_BUFFER`` twice over waits unread; a body that is not
  read to its end costs its connection;
- ``ClientLimits``: time for a connection and in all, how many connections there are, how long an idle one is kept.

aiohttp's exceptions become ours (``http_errors``) here.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol, cast

import aiohttp
import msgspec
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_parser import RawResponseMessage
from yarl import URL

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.errors import AddressRefused, HttpError
from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.client_tls import TlsContexts, TlsMaterial
from kong_eventhooks_plugin.handlers.forward_proxy import ForwardProxy, literal_address
from kong_eventhooks_plugin.handlers.name_resolver import ThreadedNames
from kong_eventhooks_plugin.handlers.plain_answers import plain_answer
from kong_eventhooks_plugin.handlers.status_line import StatusLine
from kong_eventhooks_plugin.http_errors import HTTP_ERRORS, http_error
from kong_eventhooks_plugin.http_protocol import AnswerProtocol, is_informational, use_protocol
from kong_eventhooks_plugin.settings import DEFAULTS
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from kong_eventhooks_plugin.time_limits import TimeLimits

MAX_BODY_BYTES = 20_000
READ_BUFFER = 32_768
CACHED_ORIGINS = 1_024

USER_AGENT = f"kong-event-hooks/{__version__}"
STOPPED = "this process stopped"

_LF, _CR = 10, 13
"""As numbers: for a text bytes make an exception before they look."""

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods of which a request without a body says nothing of its length."""


class ClientLimits(msgspec.Struct, frozen=True):
    """Seconds for a connection (name, TCP and TLS together) and for the whole exchange, body included.

    ``connections`` open at once: past it a request waits, and its time to connect runs. An idle one is closed
    after ``keepalive_seconds``.
    """

    connect_seconds: float = DEFAULTS.connect_timeout_seconds
    total_seconds: float = DEFAULTS.timeout_seconds
    connections: int = 512
    keepalive_seconds: float = 30.0


class HttpRequest(msgspec.Struct, frozen=True):
    """``origin`` is scheme, host and port; ``path`` has the query. ``headers`` have no ``host`` and no length.

    ``verify``: whether the endpoint's certificate is checked. ``seconds`` for the whole exchange; None: as for all.
    ``tls`` is the hook's own certificate and authorities.
    """

    method: str
    origin: str
    host: bytes
    path: bytes
    headers: Mapping[bytes, bytes]
    body: bytes = b""
    verify: bool = True
    seconds: float | None = None
    tls: TlsMaterial | None = None


class HttpAnswer(msgspec.Struct, frozen=True):
    """``unread`` says why there is less of it than the endpoint sent. A body past ``MAX_BODY_BYTES`` may be cut."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    unread: str | None = None


class Client(Protocol):
    """What handlers need of a client."""

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Send it; raises ``HttpError`` and ``AddressRefused``."""

    async def close(self) -> None:
        """Close all connections; twice does no harm."""


class _Exchange:
    """What is noted of one request: sockets made, why an address was refused, what has come of its answer."""

    __slots__ = ("body", "headers", "proxied", "refused", "sockets", "status", "status_line")

    def __init__(self) -> None:
        self.sockets = 0
        self.proxied = False
        self.refused: str | None = None
        self.status_line = StatusLine()
        self.status: int | None = None
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.body = b""

    def answer(self, unread: str | None = None) -> HttpAnswer | None:
        """Return what has come; None where not even the status has."""
        status = self.status_line.status if self.status is None else self.status
        return None if status is None else HttpAnswer(status, self.headers, self.body, unread)


# aiohttp's tracing would report connections too, at a tenth of the throughput: the socket factory is called anyway.
_exchange: ContextVar[_Exchange | None] = ContextVar("exchange", default=None)


class _Protocol(AnswerProtocol):
    """The protocol of one connection, which notes the status line of an answer whose head cannot be read."""

    _status_line: StatusLine | None = None
    _may_be_plain = False
    """Nothing of the answer has come yet, and no parser was made for it."""

    def expect(self, method: str, status_line: StatusLine) -> None:
        """Prepare for the answer to the next request."""
        self._status_line = status_line
        self._may_be_plain = method != "HEAD" and not self._tail
        if self._may_be_plain:
            self.answered = False
            self._parser = None
        else:
            self._make_parser(skip_payload=method == "HEAD")

    def _make_parser(self, *, skip_payload: bool = False) -> None:
        self.set_response_params(
            skip_payload=skip_payload, read_until_eof=True, auto_decompress=False, read_bufsize=READ_BUFFER
        )

    def data_received(self, data: bytes) -> None:
        if self._may_be_plain:
            self._may_be_plain = False
            if (plain := plain_answer(data)) is not None:
                self._status_line = None
                self.feed_data(plain)  # type: ignore[arg-type]  # what is read of a head has the same names
                return
            self._make_parser()
        super().data_received(data)
        if self._status_line is not None:
            if self.answered:
                self._status_line = None
            elif not self._status_line.ended:
                self._status_line.feed(data)


class _Dial(aiohttp.ClientRequest):
    """What aiohttp's connector needs to know of a request: all of an origin's requests share one."""

    _key: ConnectionKey | None = None
    refused: str | None = None
    """Why the proxy is not asked for its host."""

    @property
    def connection_key(self) -> ConnectionKey:
        if self._key is None:
            self._key = super().connection_key
        return self._key


class HttpClient(Client):
    """Dials only what ``addresses`` allows; ``tls`` replaces the system's certificates. Use it from one event loop."""

    def __init__(
        self,
        metrics: Metrics,
        addresses: AddressRules | None = None,
        limits: ClientLimits | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: ForwardProxy | None = None,
    ) -> None:
        self._proxy = proxy
        self._addresses = addresses or AddressRules()
        self._limits = limits or ClientLimits()
        self._tls: ssl.SSLContext | bool = tls or True
        self._connector: aiohttp.TCPConnector | None = None
        self._closed = False
        self._times = TimeLimits()
        self._contexts = TlsContexts()
        self._names = ThreadedNames()
        self._connections = metrics.counts.http_connections
        # An infinite threshold keeps aiohttp from rounding times up to whole seconds.
        self._timeout = aiohttp.ClientTimeout(connect=self._limits.connect_seconds, ceil_threshold=float("inf"))
        self._dial = lru_cache(CACHED_ORIGINS)(self._make_dial)

    async def send(self, request: HttpRequest) -> HttpAnswer:
        if self._closed:
            raise RuntimeError("the client has been closed")
        head = _head(request)
        exchange = _Exchange()
        token = _exchange.set(exchange)
        try:
            with self._times.within(self._limits.total_seconds if request.seconds is None else request.seconds):
                return await self._send(request, head, exchange)
        except HTTP_ERRORS as error:
            if exchange.refused and not exchange.sockets and isinstance(error, aiohttp.ClientConnectorError):
                raise AddressRefused(exchange.refused) from None
            failure = http_error(error, "the endpoint")
            if (answer := exchange.answer(str(failure))) is None:
                raise failure from None
            return answer
        except asyncio.CancelledError:
            # The process drains. An endpoint that has the event would get it again from the next process.
            answer = exchange.answer(STOPPED)
            if answer is None or not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                raise
            return answer
        finally:
            _exchange.reset(token)
            if exchange.sockets:
                self._connections["new",] += exchange.sockets

    async def close(self) -> None:
        self._closed = True
        if self._connector is not None:
            await self._connector.close()
        await self._names.close()

    async def _send(self, request: HttpRequest, head: bytes, exchange: _Exchange) -> HttpAnswer:
        connector = self._connector or self._open()
        if request.tls is None:
            dial = self._dial(request.origin, self._tls if request.verify else False)
        else:
            # Not kept: it would keep contexts whose files have changed since.
            dial = self._make_dial(request.origin, await self._contexts.get(request.tls, verify=request.verify))
        if dial.proxy is not None:
            if dial.refused is not None:
                raise AddressRefused(dial.refused)
            exchange.proxied = True
            if not dial.is_ssl():
                head = _head(request, self._proxy)
        try:
            connection = await connector.connect(dial, [], self._timeout)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None
        if not exchange.sockets:
            self._connections["reused",] += 1
        try:
            answer = await _converse(connection, request.method, head + request.body, exchange)
        except BaseException:
            connection.close()
            raise
        connection.release()
        return answer

    def _open(self) -> aiohttp.TCPConnector:
        """Make the connector, which belongs to the loop that runs now."""
        connector = self._connector = aiohttp.TCPConnector(
            limit=self._limits.connections,
            keepalive_timeout=self._limits.keepalive_seconds,
            resolver=self._names,
            socket_factory=self._socket,
        )
        use_protocol(connector, _Protocol)
        return connector

    def _make_dial(self, origin: str, tls: ssl.SSLContext | bool) -> _Dial:
        url = URL(origin, encoded=True)  # The host is encoded already.
        if self._proxy is None or not self._proxy.applies(url.raw_host or ""):
            return _Dial("GET", url, ssl=tls)
        headers = {"user-agent": USER_AGENT}
        if self._proxy.authorization is not None and url.scheme == "https":
            headers["proxy-authorization"] = self._proxy.authorization.decode()
        dial = _Dial("GET", url, ssl=tls, proxy=self._proxy.url, proxy_headers=headers)
        address = literal_address(url.raw_host or "")
        dial.refused = None if address is None else self._addresses.refusal(str(address))
        return dial

    def _socket(self, info: Any) -> socket.socket:
        """Make the socket for one address just before it is dialled, or refuse to."""
        family, kind, protocol, _, address = info
        exchange = _exchange.get()
        reason = None if exchange is not None and exchange.proxied else self._addresses.refusal(str(address[0]))
        if reason is not None:
            if exchange is not None:
                exchange.refused = reason
            raise OSError(errno.EACCES, "address refused")
        if exchange is not None:
            exchange.sockets += 1
        return socket.socket(family, kind, protocol)


def _head(request: HttpRequest, proxy: ForwardProxy | None = None) -> bytes:
    """Return the request's head, as a proxy wants it; raises ``HttpError`` where a part of it would end a line."""
    path = request.path if proxy is None else request.origin.encode() + request.path
    lines = [request.method.encode() + b" " + path + b" HTTP/1.1", b"host: " + request.host]
    if proxy is not None and proxy.authorization is not None:
        lines.append(b"proxy-authorization: " + proxy.authorization)
    lines += map(b": ".join, request.headers.items())
    if request.body or request.method not in _WITHOUT_BODY:
        lines.append(b"content-length: %d" % len(request.body))
    whole = b"".join(lines)
    if _LF in whole or _CR in whole or 0 in whole:
        raise HttpError("config", "the request cannot be sent")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


async def _converse(
    connection: aiohttp.connector.Connection, method: str, message: bytes, exchange: _Exchange
) -> HttpAnswer:
    """Send one request and read its answer."""
    protocol, transport = connection.protocol, connection.transport
    if not isinstance(protocol, _Protocol) or transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.expect(method, exchange.status_line)
    transport.write(message)
    while True:
        answer, content = cast("tuple[RawResponseMessage, aiohttp.StreamReader | bytes]", await protocol.read())
        if not is_informational(answer.code):
            break
    exchange.status, exchange.headers = answer.code, answer.raw_headers
    if isinstance(content, bytes):
        exchange.body = content
    else:
        await _read(content, exchange)
    if transport.get_write_buffer_size():
        protocol.force_close()  # it was answered before it was read
    return HttpAnswer(answer.code, answer.raw_headers, exchange.body)


async def _read(content: aiohttp.StreamReader, exchange: _Exchange) -> None:
    while len(exchange.body) < MAX_BODY_BYTES and not content.at_eof():
        exchange.body += content.read_nowait() if content.is_eof() else await content.readany()
