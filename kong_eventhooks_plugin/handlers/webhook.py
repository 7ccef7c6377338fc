"""The ``webhook`` handler: posts the event as JSON, signed, to the hook's URL (``signed_request``).

Fails closed: a secret that is there but empty or not readable sends nothing.
"""

from collections.abc import Mapping
from typing import Any

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.answer_judge import AnswerJudge
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler, never_raises
from kong_eventhooks_plugin.handlers.http_client import Client
from kong_eventhooks_plugin.handlers.request_headers import user_headers
from kong_eventhooks_plugin.handlers.signatures import KongDigest
from kong_eventhooks_plugin.handlers.signed_request import SignedSender
from kong_eventhooks_plugin.handlers.target_url import Target, parse_target
from kong_eventhooks_plugin.handlers.webhook_body import event_body, ping_body
from kong_eventhooks_plugin.model.delivery import Discard, Outcome, Retry, with_notes
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.masking import is_reference
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

    async def deliver(self, job: DeliveryJob) -> Outcome:
        try:
            body = event_body(job.event, job.source)
        except _NOT_JSON as error:
            return Discard("internal", f"the event's data is not JSON ({type(error).__name__})")
        return await self._post(
            job.hook, job.config, body, job.delivery_id, job.now, job.traceparent, attempt=job.attempt, of_event=True
        )

    async def ping(self, hook: Hook, config: Mapping[str, Any], operation: Operation | None, now: float) -> Outcome:
        """Post the hook itself, without its secrets."""
        try:
            body = ping_body(hook, operation)
        except _NOT_JSON as error:
            return Discard("internal", f"the hook is not JSON ({type(error).__name__})")
        suffix = f"{operation}_{hook.updated_at}" if operation else f"{now * 1000:.0f}"
        return await self._post(hook, config, body, f"ping_{hook.id}_{suffix}", now)

    async def close(self) -> None:
        await self._sender.close()

    @never_raises
    async def _post(
        self,
        hook: Hook,
        config: Mapping[str, Any],
        body: bytes,
        message_id: str,
        now: float,
        traceparent: str | None = None,
        *,
        attempt: int = 1,
        of_event: bool = False,
    ) -> Outcome:
        try:
            headers = user_headers(config.get("headers"))
            values = _JSON | headers.values
            target = _target(config)
            outcome = await self._sender.send(
                config,
                target,
                values,
                body,
                message_id,
                now,
                traceparent=traceparent,
                of_event=of_event,
                secret_url=is_reference(hook.config.get("url")),
                judge=self._judge.of(config, hook.id, attempt),
            )
            return with_notes(outcome, headers.notes)
        except ValidationError as refused:
            return Retry("config", str(refused))


def _target(config: Mapping[str, Any]) -> Target:
    url = config.get("url")
    if not isinstance(url, str):
        raise ValidationError({"config": {"url": "required field missing"}})
    return parse_target(url)
