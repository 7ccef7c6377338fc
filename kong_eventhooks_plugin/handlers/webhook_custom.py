"""The ``webhook-custom`` handler: a request that the definition makes up, its strings rendered in the sandbox.

``method`` (default POST), ``url``, ``headers``, and ``body`` as it is, or else ``payload`` as the content type says
(``payload_encoding``); ``request_templates`` says which strings are templates. Signatures, addresses, answers and
retries are ``webhook``'s. There is no ping: a chat channel has no use for it.

A template that fails on an event, and a result that no request can hold (a path that leads elsewhere), end the delivery
for good: it would fail the next time, too.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.answer_judge import AnswerJudge
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler, Preview, Used, never_raises
from kong_eventhooks_plugin.handlers.http_client import Client
from kong_eventhooks_plugin.handlers.measured_run import measure
from kong_eventhooks_plugin.handlers.payload_encoding import Encoded, encode_payload, json_body_error
from kong_eventhooks_plugin.handlers.preview_request import preview_of
from kong_eventhooks_plugin.handlers.request_headers import user_headers
from kong_eventhooks_plugin.handlers.request_templates import (
    TemplatedRequest,
    dialect_of,
    rendered,
    templates,
)
from kong_eventhooks_plugin.handlers.sandbox_failure import outcome_of
from kong_eventhooks_plugin.handlers.signatures import KongDigest
from kong_eventhooks_plugin.handlers.signed_request import SignedRequest, SignedSender
from kong_eventhooks_plugin.handlers.target_url import MAX_URL, Target, authority, parse_target
from kong_eventhooks_plugin.model.delivery import Discard, Outcome, Retry
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Failed, Render, Rendered, Result

_REFUSED = "the request that the templates make cannot be sent"
_CONTENT_TYPE = b"content-type"
_DOTS = (".", "..")
_STEPS = re.compile(r"[/\\]")
_ENCODED_AGAIN = re.compile("%(?:25)+")
_BLANK = "".join(map(chr, range(33))) + "\x7f"


class WebhookCustomHandler(Handler):
    """``pool`` is not closed here."""

    name = "webhook-custom"

    def __init__(self, client: Client, pool: Pool, digest: KongDigest = "sha256") -> None:
        self._sender = SignedSender(client, digest)
        self._pool = pool
        self._judge = AnswerJudge(pool)

    def endpoint(self, config: Mapping[str, Any]) -> str | None:
        try:
            return parse_target(authority(str(config.get("url") or ""))).endpoint
        except ValidationError:
            return None

    @never_raises
    async def deliver(self, job: DeliveryJob) -> Outcome:
        task = _task(job)
        result = None if task is None else await self._pool.run(task, job.hook.id)
        signed = self._signed(job, result)
        if not isinstance(signed, SignedRequest):
            return signed
        judge = self._judge.of(job.config, job.hook.id, job.attempt)
        return await self._sender.send(signed, job.hook.config, job.now, judge)

    async def preview(self, job: DeliveryJob) -> Preview:
        task = _task(job)
        measured = None if task is None else await measure(self._pool, task, job.hook)
        signed = self._signed(job, None if measured is None else measured.result)
        return preview_of(signed, job, () if measured is None else (*measured.used, *self._output(measured.result)))

    async def close(self) -> None:
        await self._sender.close()

    def _output(self, result: Result) -> tuple[Used, ...]:
        if not isinstance(result, Rendered):
            return ()
        size = sum(len(text.encode("utf-8", "replace")) for text in result.texts)
        return (Used("sandbox_output_bytes", size, self._pool.limits.output_bytes),)

    def _signed(self, job: DeliveryJob, result: Result | None) -> SignedRequest | Outcome:
        """Return the request with the templates' ``result``; None: there are none."""
        if isinstance(result, Failed):
            return outcome_of(result, job.attempt)
        config = job.config
        if result is None:
            request = TemplatedRequest.of(config)
        elif isinstance(result, Rendered):
            request = rendered(config, result.texts)
        else:
            return Retry("internal", "no text came back")
        try:
            target = _checked_target(config, request.url)
            headers = user_headers(request.headers, rendered=bool(config.get("headers_format")))
            encoded = _encoded(config, request, headers.values.get(_CONTENT_TYPE))
            if encoded.content_type is not None:
                headers.values[_CONTENT_TYPE] = encoded.content_type.encode()
            return self._sender.signed(
                config,
                target,
                headers,
                encoded.body,
                job.delivery_id,
                job.now,
                method=str(config.get("method") or "POST"),
                query=encoded.query,
                traceparent=job.traceparent,
            )
        except ValidationError as refused:
            return _refused(config, refused) if templates(config) else Retry("config", str(refused))


def _task(job: DeliveryJob) -> Render | None:
    wanted = templates(job.config)
    if not wanted:
        return None
    return Render(
        templates=tuple(wanted),
        data=job.event.data,
        event=job.event.event,
        source=job.source,
        dialect=dialect_of(job.config),
    )


def _checked_target(config: Mapping[str, Any], url: str) -> Target:
    """Return the rendered URL's target; raises ``ValidationError`` where the definition leads elsewhere."""
    template = str(config.get("url") or "")
    if url != template and len(url) <= MAX_URL:
        if authority(url) != authority(template):
            raise ValidationError({"config": {"url": "its scheme or host would change"}})
        if _dots(url) > _dots(template):
            raise ValidationError({"config": {"url": "a value is . or .., which leads elsewhere"}})
    return parse_target(url)


def _dots(url: str) -> int:
    """Return how many steps of a URL's path some server takes for ``.`` or ``..``.

    Some decode first, even twice; some cut a step at its ``;`` (Tomcat's path parameters), or what is blank behind it.
    """
    path = url.partition("?")[0].partition("#")[0]
    steps = _STEPS.split(unquote(_ENCODED_AGAIN.sub("%", path)))
    return sum(step.partition(";")[0].strip(_BLANK) in _DOTS for step in steps)


def _encoded(config: Mapping[str, Any], request: TemplatedRequest, content_type: bytes | None) -> Encoded:
    header = None if content_type is None else content_type.decode()
    try:
        if request.body is not None:
            if error := json_body_error(request.body, header):
                raise ValidationError({"config": {"body": error}})
            return Encoded(body=request.body.encode(), content_type=header)
        if request.payload is None:
            return Encoded(content_type=header)
        return encode_payload(request.payload, header, str(config.get("method") or "POST"))
    except (UnicodeEncodeError, msgspec.MsgspecError, OverflowError, TypeError) as error:
        raise ValidationError({"config": {"payload": f"cannot be encoded ({type(error).__name__})"}}) from None


def _refused(config: Mapping[str, Any], refused: ValidationError) -> Outcome:
    """Return the outcome of a rendered request that cannot be sent, because of the definition or of this event."""
    try:
        user_headers(config.get("headers"))
        parse_target(authority(str(config.get("url") or "")))
    except ValidationError:
        return Retry("config", str(refused), logged=_REFUSED)
    return Discard("template", str(refused), logged=_REFUSED)
