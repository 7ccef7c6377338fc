"""The ``webhook-custom`` handler: a request that the definition makes up, its strings rendered in the sandbox.

``method`` (default POST), ``url``, ``headers``, and ``body`` as it is, or else ``payload`` as the content type says
(``payload_encoding``); what is a template and what is not: ``templated``. Signatures, addresses, answers and retries
are ``webhook``'s. There is no ping: what would a chat channel do with it.

A template that fails on an event, and a result that no request can hold (a line end in a header, a path that leads
elsewhere), end the delivery for good: it would fail the next time, too. Where the sandbox had no time for it, it is
tried again, where a limit on wall time was broken ``TRIES`` times in all.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec
import structlog

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.aiohttp_transport import SSL_VERIFY
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Operation
from kong_eventhooks_plugin.handlers.exchange import exchange
from kong_eventhooks_plugin.handlers.payload_encoding import Encoded, encode_payload
from kong_eventhooks_plugin.handlers.request_headers import BASE_HEADERS, header_secrets, user_headers
from kong_eventhooks_plugin.handlers.request_templates import (
    TemplatedRequest,
    content_type,
    dialect_of,
    rendered,
    templates,
)
from kong_eventhooks_plugin.handlers.signatures import KongDigest, signed_headers
from kong_eventhooks_plugin.handlers.target_url import Target, target
from kong_eventhooks_plugin.model.delivery import Discard, Outcome, Retry
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Failed, Render, Rendered

TRIES = 3

_CONTENT_TYPE = b"content-type"
_DOTS = (".", "..")
_STEPS = re.compile(r"[/\\]")

log = structlog.get_logger()


class WebhookCustomHandler:
    """See the file's head. ``client`` comes from ``client.make_client``; ``pool`` is not closed here."""

    name = "webhook-custom"

    def __init__(self, client: httpx.AsyncClient, pool: Pool, digest: KongDigest = "sha256") -> None:
        self._client = client
        self._pool = pool
        self._digest: KongDigest = digest

    def endpoint(self, config: Mapping[str, Any]) -> str | None:
        """Return scheme, host and port of the URL; None where it is not a URL."""
        try:
            return target(authority(str(config.get("url") or ""))).endpoint
        except ValidationError:
            return None

    async def deliver(self, job: DeliveryJob) -> Outcome:
        """Render and send."""
        try:
            request = await self._rendered(job)
            return await self._send(job, request) if isinstance(request, TemplatedRequest) else request
        except Exception as error:  # noqa: BLE001 - a handler never raises: a bug must not cost the delivery
            # Without the exception's text and traceback: they may hold the URL.
            log.warning("webhook_custom_handler_failed", error=type(error).__name__, hook=job.hook.name)
            return Retry("internal", f"the handler failed ({type(error).__name__})")

    async def ping(
        self, hook: Hook, config: Mapping[str, Any], operation: Operation | None, now: float
    ) -> Outcome | None:
        """Return None: see the file's head."""

    async def close(self) -> None:
        """Close the client, which closes its connections."""
        await self._client.aclose()

    async def _rendered(self, job: DeliveryJob) -> TemplatedRequest | Outcome:
        asked = templates(job.config)
        if not asked:
            return TemplatedRequest.of(job.config)
        task = Render(
            templates=tuple(asked),
            data=job.event.data,
            event=job.event.event,
            source=job.source,
            dialect=dialect_of(job.config),
        )
        result = await self._pool.run(task, job.hook.id)
        if isinstance(result, Rendered):
            return rendered(job.config, result.texts)
        return no_answer(result, job.attempt) if isinstance(result, Failed) else Retry("internal", "no text came back")

    async def _send(self, job: DeliveryJob, request: TemplatedRequest) -> Outcome:
        config, made = job.config, bool(templates(job.config))
        try:
            place = _place(config, request.url)
            own = dict(user_headers({"headers": request.headers}))
            encoded = _encoded(config, request)
            signed = signed_headers(config, encoded.body, job.delivery_id, int(job.now), self._digest)
        except ValidationError as refused:
            return _refused(config, refused) if made else Retry("config", str(refused))
        if encoded.content_type is not None:
            own[_CONTENT_TYPE] = encoded.content_type.strip().encode()
        if place.authorization is not None:
            own.setdefault(b"authorization", place.authorization)
        message = httpx.Request(
            str(config.get("method") or "POST"),
            _with_query(place.url, encoded.query),
            headers=list(({**BASE_HEADERS, **own, **signed}).items()),
            stream=httpx.ByteStream(encoded.body),
            extensions={SSL_VERIFY: config.get("ssl_verify") is not False},
        )
        return await exchange(self._client, message, job.now, [*place.sensitive, *header_secrets(own)])


def no_answer(failed: Failed, attempt: int) -> Outcome:
    """Return what it means for a delivery that the sandbox has no answer."""
    if failed.temporary and failed.reason != "wall":
        return Retry("internal", f"sandbox {failed.reason}: {failed.text}")
    if failed.temporary and attempt < TRIES:
        return Retry("template", failed.text)
    return Discard("template", failed.text)


def authority(url: str) -> str:
    """Return a URL up to its path, query or fragment, which is where a template may begin."""
    start = url.find("//") + 2
    ends = [at for at in (url.find(mark, start) for mark in "/?#") if at >= 0]
    return url[: min(ends, default=len(url))]


def _place(config: Mapping[str, Any], url: str) -> Target:
    """Return where the rendered URL leads; raises ``ValidationError`` where that is not where the definition does."""
    template = str(config.get("url") or "")
    if url != template:
        if authority(url) != authority(template):
            raise ValidationError({"config": {"url": "its scheme or host would change"}})
        if _dots(url) > _dots(template):
            raise ValidationError({"config": {"url": "a value is . or .., which leads elsewhere"}})
    return target(url)


def _dots(url: str) -> int:
    """Return how many steps of a URL's path are ``.`` or ``..``; some servers see them only after decoding."""
    path = url.partition("?")[0].partition("#")[0]
    return sum(step in _DOTS for step in _STEPS.split(unquote(path)))


def _encoded(config: Mapping[str, Any], request: TemplatedRequest) -> Encoded:
    header = content_type(request.headers)
    try:
        if request.body is not None:
            return Encoded(body=request.body.encode(), content_type=header)
        if request.payload is None:
            return Encoded(content_type=header)
        return encode_payload(request.payload, header, str(config.get("method") or "POST"))
    except (UnicodeEncodeError, msgspec.MsgspecError, OverflowError, TypeError) as error:
        raise ValidationError({"config": {"payload": f"cannot be encoded ({type(error).__name__})"}}) from None


def _with_query(url: httpx.URL, query: str) -> httpx.URL:
    if not query:
        return url
    own = url.query.decode("ascii")
    return url.copy_with(query=(f"{own}&{query}" if own else query).encode())


def _refused(config: Mapping[str, Any], refused: ValidationError) -> Outcome:
    """Return what it means that a rendered request cannot be sent: the definition's fault, or this event's."""
    try:
        dict(user_headers(config))
        target(authority(str(config.get("url") or "")))
    except ValidationError:
        return Retry("config", str(refused))
    return Discard("template", str(refused))
