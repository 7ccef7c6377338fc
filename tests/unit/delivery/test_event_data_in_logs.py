"""What an attempt that failed says: the record quotes the event or the endpoint, the log never does."""

import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import structlog

from kong_eventhooks_plugin.delivery.attempts import Attempts
from kong_eventhooks_plugin.delivery.hook_readiness import Ready
from kong_eventhooks_plugin.delivery.hook_rules import rules_of
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.reports import DeliveryReporter
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.custom_webhooks import pool_and_custom_handler
from tests.support.events import StandInBook, StandInQueue, make_event, make_hook
from tests.support.http_receiver import HttpReceiver, answer
from tests.support.log_lines import KeptLines

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATA = {"consumer": {"username": "Joanna"}}
ERROR = "{% error('no ' .. consumer.username) %}"
JINJA = {"template": "jinja2"}
TYPED = {"headers": {"content-type": "text/{{ consumer.username }}"}, "headers_format": True}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def handlers() -> AsyncIterator[dict[str, Handler]]:
    async with pool_and_custom_handler() as (pool, custom):
        yield {"webhook-custom": custom, "lambda": LambdaHandler(pool, KeptLines())}


async def said(handler: Handler, config: dict[str, Any]) -> tuple[str, str]:
    """Make an attempt as the worker does; return its record's text and what was logged."""
    attempts = Attempts(StandInQueue(), time.time, time.monotonic, random.random)
    reporter = DeliveryReporter(Metrics(), StandInBook())
    hook = make_hook("h", handler=handler.name, config=config)
    delivery = Delivery("d", make_event(data=DATA), hook.id, "rate-limiting", "pending", 0, 1.0, 1.0)
    with structlog.testing.capture_logs() as logs:
        made = await attempts.make(delivery, Ready(hook, handler, config, None, rules_of(config, DeliveryLimits())))
        reporter.attempted(hook, delivery, made.outcome, made.decision.settlement, 0.0)
    assert made.decision.settlement.attempt is not None
    (line,) = logs
    return str(made.decision.settlement.attempt.detail), repr(line)


@pytest.mark.parametrize(
    ("handler", "config", "logged"),
    [
        ("webhook-custom", {"payload": {"text": ERROR}}, "config.payload.text: line 1, column 1: it fails"),
        ("webhook-custom", {"payload": {"a": "{% error({consumer.username}) %}"}}, "config.payload.a: it fails"),
        ("webhook-custom", JINJA | {"body": "{{ ('%(' ~ consumer.username ~ ')d') % {'a': 1} }}"}, "(KeyError)"),
        ("webhook-custom", JINJA | {"body": "{{ [1] | map(consumer.username) | list }}"}, "(TemplateRuntimeError)"),
        ("webhook-custom", TYPED | {"payload": {"a": "b"}}, "cannot be sent"),
        ("lambda", {"functions": ["return function(d) return nil, d.consumer.username end"]}, "returned an error"),
    ],
)
async def test_user_code_and_the_event_are_in_the_record_alone(
    handlers: dict[str, Handler], handler: str, config: dict[str, Any], logged: str
) -> None:
    record, log = await said(handlers[handler], {"url": "http://127.0.0.1:9/", "method": "POST", **config})
    assert "joanna" in record.lower()
    assert "joanna" not in log.lower()
    assert logged in log


@pytest.mark.parametrize("status", [410, 500])
async def test_what_the_endpoint_answers_is_not_logged(handlers: dict[str, Handler], status: int) -> None:
    async with HttpReceiver(answer(status, b"dear Joanna", {"x-who": "Joanna"})) as receiver:
        config = {"url": f"{receiver.url}/{{{{ consumer.username }}}}", "method": "POST", "body": "x"}
        _, log = await said(handlers["webhook-custom"], config)
    assert "Joanna" not in log
