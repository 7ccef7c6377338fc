"""The ``webhook`` handler: posts the event as JSON, signed, to the hook's URL (``signed_request``).

With ``config.preset`` the body is the receiver's own form (``presets``), and so is what its answer means, unless
``config.success`` says otherwise. A receiver to whom a ping would be an alarm gets none.

Fails closed: a secret that is there but empty or not readable sends nothing.
"""

from collections.abc import Mapping
from typing import Any

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.answer_judge import AnswerJudge, JudgeAnswer, Verdict
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler, Preview, never_raises
from kong_eventhooks_plugin.handlers.http_client import Client, HttpAnswer
from kong_eventhooks_plugin.handlers.presets import PRESETS, Preset
from kong_eventhooks_plugin.handlers.presets.message import Message
from kong_eventhooks_plugin.handlers.preview_request import preview_of
from kong_eventhooks_plugin.handlers.request_headers import UserHeaders, user_headers
from kong_eventhooks_plugin.handlers.signatures import KongDigest
from kong_eventhooks_plugin.handlers.signed_request import SignedRequest, SignedSender
from kong_eventhooks_plugin.handlers.target_url import Target, parse_target
from kong_eventhooks_plugin.handlers.webhook_body import PING_EVENT, PING_SOURCE, event_body, ping_body
from kong_eventhooks_plugin.model.delivery import Delivered, Discard, Outcome, Retry
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.operation import Operation
from kong_eventhooks_plugin.sandbox.pool import Pool

_JSON = {b"content-type": b"application/json"}
_NOT_JSON = (TypeError, ValueError, OverflowError, RecursionError)


class WebhookHandler(Handler):
    """``digest`` is that of Kong's own signature. ``pool`` evaluates ``config.success``; it is not closed here."""

    name = "webhook"

    def __init__(self, client: Client, digest: KongDigest = "sha256", pool: Pool | None = None) -> None:
        self._sender = SignedSender(client, digest)
        self._judge = AnswerJudge(pool)

    def endpoint(self, config: Mapping[str, Any]) -> str | None:
        try:
            return _target(config).endpoint
        except ValidationError:
            return None

    @never_raises
    async def deliver(self, job: DeliveryJob) -> Outcome:
        return await self._send(self._signed(job), job.hook, job.config, job.now, job.attempt)

    async def preview(self, job: DeliveryJob) -> Preview:
        return preview_of(self._signed(job), job)

    @never_raises
    async def ping(self, hook: Hook, config: Mapping[str, Any], operation: Operation | None, now: float) -> Outcome:
        """Post the hook itself, without its secrets."""
        preset = PRESETS.get(config.get("preset") or "")
        if preset is not None and not preset.pings:
            return Delivered(note=f"no ping was sent: {config['preset']} would take it for an alarm")
        try:
            body = ping_body(hook, operation)
        except _NOT_JSON as error:
            return Discard("internal", f"the hook is not JSON ({type(error).__name__})")
        suffix = f"{operation}_{hook.updated_at}" if operation else f"{now * 1000:.0f}"
        if preset is not None:
            event = Event(f"ping_{hook.id}_{suffix}", PING_SOURCE, PING_EVENT, {"operation": operation}, now)
            return await self._send(self._preset(preset, event, PING_SOURCE, hook, config, now), hook, config, now)
        return await self._send(self._request(config, body, f"ping_{hook.id}_{suffix}", now), hook, config, now)

    async def close(self) -> None:
        await self._sender.close()

    async def _send(
        self, signed: SignedRequest | Outcome, hook: Hook, config: Mapping[str, Any], now: float, attempt: int = 1
    ) -> Outcome:
        if not isinstance(signed, SignedRequest):
            return signed
        judge = self._judge.of(config, hook.id, attempt) or judge_of_preset(config.get("preset"))
        return await self._sender.send(signed, hook.config, now, judge)

    def _signed(self, job: DeliveryJob) -> SignedRequest | Outcome:
        preset = PRESETS.get(job.config.get("preset") or "")
        if preset is not None:
            return self._preset(
                preset, job.event, job.source, job.hook, job.config, job.now, job.delivery_id, job.traceparent
            )
        try:
            body = event_body(job.event, job.source, job.data)
        except _NOT_JSON as error:
            return Discard("internal", f"the event's data is not JSON ({type(error).__name__})")
        return self._request(job.config, body, job.delivery_id, job.now, job.traceparent, of_event=True)

    def _preset(
        self,
        preset: Preset,
        event: Event,
        source: str,
        hook: Hook,
        config: Mapping[str, Any],
        now: float,
        message_id: str | None = None,
        traceparent: str | None = None,
    ) -> SignedRequest | Outcome:
        """Return the request in the receiver's form; ``message_id`` None: of a ping."""
        try:
            rendered = preset.render(Message(event, source, hook.name, config.get("preset_key") or ""))
        except _NOT_JSON as error:
            return Discard("internal", f"the event's data is not JSON ({type(error).__name__})")
        return self._request(
            config,
            rendered.body,
            message_id or event.id,
            now,
            traceparent,
            headers=rendered.headers,
            path=rendered.path,
        )

    def _request(
        self,
        config: Mapping[str, Any],
        body: bytes,
        message_id: str,
        now: float,
        traceparent: str | None = None,
        *,
        of_event: bool = False,
        headers: Mapping[bytes, bytes] = _JSON,
        path: str = "",
    ) -> SignedRequest | Outcome:
        try:
            given = user_headers(config.get("headers"))
            own = UserHeaders({**headers, **given.values}, given.notes)
            target = _target(config, path)
            return self._sender.signed(
                config, target, own, body, message_id, now, traceparent=traceparent, of_event=of_event
            )
        except ValidationError as refused:
            return Retry("config", str(refused))


def judge_of_preset(name: str | None) -> JudgeAnswer | None:
    """Return what judges the answers of a preset's receiver; None where the status alone does."""
    preset = PRESETS.get(name or "")
    if preset is None:
        return None

    async def judge(answer: HttpAnswer) -> Verdict:
        success = 200 <= answer.status < 300
        if answer.status in preset.final:
            return Verdict(False, outcome=Discard("status", f"answered {answer.status}, which is final for {name}"))
        if success and preset.failed(answer.body):
            return Verdict(False, f"{name} reports an error in its answer")
        return Verdict(success)

    return judge


def _target(config: Mapping[str, Any], path: str = "") -> Target:
    url = config.get("url")
    if not isinstance(url, str):
        raise ValidationError({"config": {"url": "required field missing"}})
    return parse_target(url.rstrip("/") + path if path else url)
