"""What handlers send of the count of events that were held back."""

import json
import random
import time
from typing import Any

import pytest

from kong_eventhooks_plugin.cli.deliveries import describe
from kong_eventhooks_plugin.delivery.attempts import Attempts
from kong_eventhooks_plugin.delivery.hook_readiness import Ready
from kong_eventhooks_plugin.delivery.hook_rules import rules_of
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.model.suppression import Suppressed
from tests.support.delivery_jobs import webhook_handler
from tests.support.events import StandInQueue, make_event, make_hook
from tests.support.http_receiver import HttpReceiver, answer

COUNT = Suppressed(12_344, 1795278761.9)


@pytest.mark.parametrize(
    ("suppressed", "data", "expected"),
    [
        pytest.param(COUNT, {"limit": 4}, {"count": 12_344, "since": 1795278761}, id="a count"),
        pytest.param(None, {"limit": 4}, None, id="nothing was held back"),
        pytest.param(Suppressed(0, 9.5, 7), {}, {"count": 0, "since": 9, "unread": 7}, id="not all was read"),
        pytest.param(COUNT, {"suppressed": "mine"}, "mine", id="the event's own field"),
    ],
)
async def test_a_body_has_how_many_were_held_back(
    suppressed: Suppressed | None, data: dict[str, Any], expected: Any
) -> None:
    handler = webhook_handler()
    attempts = Attempts(StandInQueue(), time.time, time.monotonic, random.random)
    event = make_event(data=data)
    async with HttpReceiver(answer(200)) as receiver:
        config = {"url": receiver.url}
        hook = make_hook("h", source=event.source, handler="webhook", config=config)
        delivery = Delivery("d", event, hook.id, event.source, "pending", 0, 1.0, 1.0, suppressed=suppressed)
        await attempts.make(delivery, Ready(hook, handler, config, None, rules_of(config, DeliveryLimits())))
        (request,) = await receiver.received(1)
    await handler.close()
    body = json.loads(request.body)
    assert body.get("suppressed") == expected
    assert delivery.event.data == data


def test_the_command_line_prints_it() -> None:
    delivery = {
        "id": "d", "event_hook": {"id": "h", "name": "h"}, "created_at": 1.0, "due_at": 1.0, "settled_at": None,
        "suppressed": {"count": 12_344, "since": 0.0, "unread": 0}, "data": {}, "attempts": [],
    }  # fmt: skip
    assert "suppressed    12344 since 1970-01-01" in describe(delivery)
    delivery["suppressed"] = {"count": 2, "since": 0.0, "unread": 7}
    assert "suppressed    2, and 7 unread since 1970-01-01" in describe(delivery)
