"""Jobs for handlers, the handlers themselves over the real client, and what is logged meanwhile."""

import ssl
from collections.abc import Mapping
from typing import Any

from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.contract import DeliveryJob
from kong_eventhooks_plugin.handlers.http_client import ClientLimits, HttpClient
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.events import SEEN_AT, make_event, make_hook

# For endpoints that never answer: short enough for a test. A machine under load may not be done with one that does.
IMPATIENT = ClientLimits(connect_seconds=0.5, total_seconds=0.7)


def make_job(
    config: Mapping[str, Any], data: Any = None, handler: str = "webhook", now: float = SEEN_AT
) -> DeliveryJob:
    """A first attempt of a delivery whose event holds ``data``."""
    hook: Hook = make_hook("alert", handler=handler, config=dict(config))
    event = make_event() if data is None else make_event(data=data)
    return DeliveryJob(delivery_id(event.id, hook.id), event, hook.source, hook, config, 1, now)


def webhook_handler(
    limits: ClientLimits | None = None,
    addresses: AddressRules | None = None,
    tls: ssl.SSLContext | None = None,
    metrics: Metrics | None = None,
    **options: Any,
) -> WebhookHandler:
    """The webhook handler over the real client."""
    client = HttpClient(metrics or Metrics(), addresses, limits, tls)
    return WebhookHandler(client, **options)
