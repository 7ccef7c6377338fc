"""A small webhook receiver for trials: accepts a POST on any path and verifies its signatures.

It answers 204; 401 where it has a secret and a signature is missing, wrong or too old (the sender's attempts show it);
413 past ``BODY``.

Limits: bodies of ``BODY`` bytes; a timestamp may be ``TOLERANCE`` seconds away, as Standard Webhooks advises.
"""

import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Self

import msgspec
import structlog
from aiohttp import web

from kong_eventhooks_plugin.handlers.signatures import KongDigest, key_of, kong_signature, standard_signature

BODY = 1 << 20
TOLERANCE = 300.0

log = structlog.get_logger()


class Received(msgspec.Struct, frozen=True):
    """One request. ``verified`` is None without a secret; ``errors`` are those of the signatures."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    verified: bool | None
    errors: tuple[str, ...] = ()

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty where it is none."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def id(self) -> str | None:
        """The delivery's id, the same for every attempt; None where the sender gave none."""
        return self.headers.get("webhook-id")


class Receiver:
    """Calls ``on_delivery`` with each request; a status that it returns is the answer, None: the receiver's own.

    Port 0 is a free one. Raises ``ValueError`` for an invalid secret.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        secret: str | None = None,
        on_delivery: Callable[[Received], int | None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._host = host
        self._port = port
        self._secret = secret
        self._on_delivery = on_delivery
        self._clock = clock
        if secret is not None:
            key_of(secret)
        app = web.Application(client_max_size=BODY)
        app.router.add_route("*", "/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen; raises ``OSError`` where the address cannot be bound."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        now = self._clock()
        headers = {name.lower(): value for name, value in request.headers.items()}
        errors = () if self._secret is None else tuple(signature_errors(self._secret, headers, body, now))
        verified = None if self._secret is None else not errors
        received = Received(request.method, request.path_qs, headers, body, now, verified, errors)
        status = None
        try:
            status = self._on_delivery(received)
        except Exception:
            log.exception("on_delivery_failed", path=received.path)
        if status is not None:
            return web.Response(status=status, text="not now\n")
        if verified is False:
            return web.Response(status=HTTPStatus.UNAUTHORIZED, text="; ".join(errors) + "\n")
        return web.Response(status=HTTPStatus.NO_CONTENT)


def signature_errors(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> Iterator[str]:
    """Yield the errors of a request's signatures. ``headers`` have lower-case names."""
    kongs = headers.get("x-kong-signature", "")
    digest: KongDigest = "sha1" if kongs.startswith("sha1=") else "sha256"
    if not _same(kongs, kong_signature(secret, body, digest)):
        yield "x-kong-signature is wrong" if kongs else "x-kong-signature is missing"
    stamp, message_id = headers.get("webhook-timestamp", ""), headers.get("webhook-id", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
        yield "webhook-timestamp is no time"
        return
    if abs(now - int(stamp)) > TOLERANCE:
        yield f"webhook-timestamp is more than {TOLERANCE:.0f} s away"
    expected = standard_signature([key_of(secret)], message_id, int(stamp), body)
    signatures = headers.get("webhook-signature", "")
    if not any([_same(each, expected) for each in signatures.split(" ")]):  # noqa: C419 - all are compared, whichever matches
        yield "webhook-signature is wrong" if signatures else "webhook-signature is missing"


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
