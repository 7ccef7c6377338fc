"""Every example of docs/handlers.md does what the page says."""

import json
from typing import Any

import pytest
import yaml

from kong_eventhooks_plugin.handlers.contract import DeliveryJob
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.model.delivery import Delivered
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Decide, Decided
from tests.support.custom_webhooks import custom_handler
from tests.support.delivery_jobs import webhook_handler
from tests.support.doc_blocks import ROOT, Block, blocks
from tests.support.events import make_event, make_hook
from tests.support.http_receiver import HttpReceiver
from tests.support.log_lines import KeptLines

pytestmark = pytest.mark.asyncio(loop_scope="module")

BLOCKS = list(blocks(ROOT / "docs" / "handlers.md"))
EVENT = json.loads(next(block.text for block in BLOCKS if block.words == ("event",)))
EXAMPLES = [
    (yaml.safe_load(block.text), BLOCKS[number + 1]) for number, block in enumerate(BLOCKS) if block.language == "yaml"
]
"""A hook, and the block after it: what it sends or writes."""


def job_of(handler: str, config: dict[str, Any]) -> DeliveryJob:
    hook = make_hook("example", handler=handler, config=config, source=EVENT["source"])
    event = make_event(**EVENT)
    return DeliveryJob(delivery_id(event.id, hook.id), event, hook.source, hook, config, 1, event.time)


@pytest.mark.parametrize(
    ("hook", "shown"), EXAMPLES, ids=[f"{n}-{hook['handler']}" for n, (hook, _) in enumerate(EXAMPLES)]
)
async def test_an_example_does_what_the_page_says(pool: Pool, hook: dict[str, Any], shown: Block) -> None:
    config, lines = hook["handler_config"], KeptLines()
    if hook["handler"].startswith("webhook"):
        assert (shown.language, shown.words) == ("json", ("body",))
        async with HttpReceiver() as receiver, custom_handler(pool) as custom:
            handler = custom if hook["handler"] == "webhook-custom" else webhook_handler()
            outcome = await handler.deliver(job_of(hook["handler"], config | {"url": receiver.url}))
            await handler.close()
            assert json.loads(receiver.requests[0].body) == json.loads(shown.text)
    else:
        one = LambdaHandler(pool, lines) if hook["handler"] == "lambda" else LogHandler(lines)
        outcome = await one.deliver(job_of(hook["handler"], config))
        assert {line.level for line in lines} == {*shown.words}
        assert any(shown.text.strip() in line.text for line in lines)
    assert isinstance(outcome, Delivered)


async def test_the_filter_of_the_page_holds(pool: Pool) -> None:
    (filter_,) = (block.text.strip() for block in BLOCKS if block.language == "cel")
    task = Decide((filter_,), EVENT["data"], EVENT["event"], EVENT["source"])
    assert await pool.run(task) == Decided((True,))


async def test_the_page_has_examples_of_every_handler_it_is_about() -> None:
    assert {hook["handler"] for hook, _ in EXAMPLES} == {"webhook", "webhook-custom", "lambda", "log"}
    assert len(EXAMPLES) >= 8
