"""on_change, snooze and identity from the recorded log down to a real queue: what fires and what is counted."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.model.scope import HookScope
from kong_eventhooks_plugin.queue.contract import Receipt
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.events import SEEN_AT, StandInBook, make_hook, recorded, seen, serialized


class Setup:
    """A dispatcher over a real queue, and a clock."""

    def __init__(self, path: Path) -> None:
        self.now = SEEN_AT
        self.queue = SqliteQueue(path / "events.db", clock=lambda: self.now)
        self.metrics = Metrics()
        self.registry = StandInBook()
        sources = (RateLimiting(), ResponseRateLimiting())
        self.dispatcher = Dispatcher(self.registry, self.queue, sources, self.metrics, lambda: self.now)
        self.requests = 0

    async def tell(self, client: str, request: str | None = None, **changes: Any) -> str:
        """One request of a client over the limit: ``fires``, ``again`` for a request told before, or a reason."""
        self.requests += 1
        log = serialized(
            client_ip=client, request={"id": request or f"r-{self.requests}", "method": "GET", "uri": "/"}, **changes
        )
        future = self.dispatcher.observe(seen(log))
        assert future is not None
        receipt: Receipt = await future
        if receipt.duplicate:
            return "again"
        return "fires" if receipt.fired else next(iter(receipt.held_back.values()))


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    made = Setup(tmp_path)
    await made.queue.open()
    yield made
    await made.queue.close()


@pytest.mark.parametrize(
    ("asked", "steps", "expected"),
    [
        ({}, [("A", 0), ("A", 0)], ["fires", "fires"]),
        (
            {"on_change": True},
            [("A", 0), ("A", 1), ("B", 2), ("A", 3)],
            ["fires", "unchanged", "fires", "fires"],
        ),
        (
            {"snooze": 10},
            [("A", 0), ("B", 9), ("B", 10), ("A", 11)],
            ["fires", "snoozed", "fires", "snoozed"],
        ),
        (
            {"on_change": True, "snooze": 10},
            [("A", 0), ("B", 1), ("A", 9), ("A", 10), ("B", 10)],
            ["fires", "fires", "snoozed", "fires", "snoozed"],
        ),
        ({"enabled": False}, [("A", 0)], ["disabled"]),
    ],
    ids=["neither", "on_change", "snooze", "both", "switched off"],
)
async def test_what_fires(
    setup: Setup, asked: dict[str, Any], steps: list[tuple[str, float]], expected: list[str]
) -> None:
    # The second hook hears nothing that is told; it keeps Kong being asked where the first is switched off.
    setup.registry.change(make_hook("watched", **asked), make_hook("elsewhere", scope=HookScope(route="elsewhere")))
    got = []
    for client, after in steps:
        setup.now = SEEN_AT + after
        got.append(await setup.tell(client))
    assert got == expected
    held = {("watched", reason): expected.count(reason) for reason in set(expected) - {"fires"}}
    assert setup.metrics.counts.held_back == held


async def test_a_request_told_again_fires_once(setup: Setup) -> None:
    setup.registry.change(make_hook("watched"))
    assert [await setup.tell("A", "same"), await setup.tell("A", "same")] == ["fires", "again"]
    assert setup.metrics.counts.events == {("rate-limiting", "rate-limit-exceeded"): 1}


async def test_a_dbless_reload_is_no_change(setup: Setup) -> None:
    setup.registry.change(make_hook("watched", on_change=True))
    renewed = serialized()["service"] | {"created_at": 7, "updated_at": 9}
    assert [await setup.tell("A"), await setup.tell("A", service=renewed)] == ["fires", "unchanged"]


async def test_the_whole_recording(setup: Setup) -> None:
    every, sms = make_hook("all", source="rate-limiting-advanced"), make_hook("sms", source="response-ratelimiting")
    setup.registry.change(every, sms)
    for observation in recorded().values():
        future = setup.dispatcher.observe(observation)
        if future is not None:
            await future
    assert setup.metrics.counts.events == {
        ("rate-limiting", "rate-limit-exceeded"): 4,
        ("response-ratelimiting", "rate-limit-exceeded"): 2,
    }
    assert (await setup.queue.stats()).depth["pending"] == 4 + 2 + 2
    assert not setup.metrics.counts.events_lost
