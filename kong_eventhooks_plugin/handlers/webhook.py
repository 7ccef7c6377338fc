"""The ``webhook`` handler: posts the event as JSON, signed, to the hook's URL.

Headers, the later winning: ``content-type``, ``user-agent``, ``accept`` and ``accept-encoding``; a user and password
that the URL holds; the definition's own (``headers``); ``webhook-id`` (the delivery's id, the same for every attempt)
and ``webhook-timestamp``; and with a ``secret`` ``webhook-signature`` and ``x-kong-signature`` (``signed``).

Fails closed: a secret that is there but empty or not readable sends nothing.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import structlog

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.aiohttp_transport import SSL_VERIFY
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Operation
from kong_eventhooks_plugin.handlers.exchange import exchange
from kong_eventhooks_plugin.handlers.request_headers import BASE_HEADERS, header_secrets, user_headers
from kong_eventhooks_plugin.handlers.signatures import KongDigest, signed_headers
from kong_eventhooks_plugin.handlers.target_url import Target, target
from kong_eventhooks_plugin.handlers.webhook_body import event_body, ping_body
from kong_eventhooks_plugin.model.delivery import Discard, Outcome, Retry
from kong_eventhooks_plugin.model.hook import Hook

_BASE = {b"content-type": b"application/json", **BASE_HEADERS}
_UNSIGNED = (TypeError, ValueError, OverflowError, RecursionError)

log = structlog.get_logger()


class WebhookHandler:
    """See the file's head. ``client`` comes from ``client.make_client``; ``digest`` is of Kong's own signature."""

    name = "webhook"

    def __init__(self, client: httpx.AsyncClient, digest: KongDigest = "sha256") -> None:
        self._client = client
        self._digest: KongDigest = digest

    def endpoint(self, config: Mapping[str, Any]) -> str | None:
        """Return scheme, host and port of the URL; None where it is not a URL."""
        try:
            return _target(config).endpoint
        except ValidationError:
            return None

    async def deliver(self, job: DeliveryJob) -> Outcome:
        """Post the event."""
        try:
            body = event_body(job.event, job.source)
        except _UNSIGNED as error:
            return Discard("internal", f"the event's data is not JSON ({type(error).__name__})")
        return await self._post(job.config, body, job.delivery_id, job.now)

    async def ping(self, hook: Hook, config: Mapping[str, Any], operation: Operation | None, now: float) -> Outcome:
        """Post the hook itself, without its secrets."""
        try:
            body = ping_body(hook, operation)
        except _UNSIGNED as error:
            return Discard("internal", f"the hook is not JSON ({type(error).__name__})")
        told = f"{operation}_{hook.updated_at}" if operation else f"{now * 1000:.0f}"
        return await self._post(config, body, f"ping_{hook.id}_{told}", now)

    async def close(self) -> None:
        """Close the client, which closes its connections."""
        await self._client.aclose()

    async def _post(self, config: Mapping[str, Any], body: bytes, message_id: str, now: float) -> Outcome:
        try:
            place = _target(config)
            own = dict(user_headers(config))
            signed = signed_headers(config, body, message_id, int(now), self._digest)
        except ValidationError as refused:
            return Retry("config", str(refused))
        if place.authorization is not None:
            own.setdefault(b"authorization", place.authorization)
        request = httpx.Request(
            "POST",
            place.url,
            headers=list((_BASE | own | signed).items()),
            stream=httpx.ByteStream(body),
            extensions={SSL_VERIFY: config.get("ssl_verify") is not False},
        )
        try:
            return await exchange(self._client, request, now, [*place.sensitive, *header_secrets(own)])
        except Exception as error:  # noqa: BLE001 - a handler never raises: a bug must not cost the delivery
            # Without the exception's text and traceback: they may hold the URL.
            log.warning("webhook_handler_failed", error=type(error).__name__, endpoint=place.endpoint)
            return Retry("internal", f"the handler failed ({type(error).__name__})")


def _target(config: Mapping[str, Any]) -> Target:
    url = config.get("url")
    if not isinstance(url, str):
        raise ValidationError({"config": {"url": "required field missing"}})
    return target(url)
