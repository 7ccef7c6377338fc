"""Log lines that come seldom, and what they say of those left out; a wait that ends."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin import background
from kong_eventhooks_plugin.background import KEYS, PERIOD, REMIND_SECONDS, RateLimitedLogger, is_set_within, retry
from kong_eventhooks_plugin.errors import QueueError


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def logged(*steps: tuple[float, str], clock: Hands | None = None) -> list[dict[str, Any]]:
    hands = clock or Hands()
    start = hands.now
    with capture_logs() as lines:
        seldom = RateLimitedLogger(hands)
        for after, key in steps:
            hands.now = start + after
            seldom.error("event_lost", key, reason=key)
    return [dict(line) for line in lines]


def test_one_line_in_a_period_and_the_next_says_how_many_were_left_out() -> None:
    lines = logged((0, "a"), (1, "a"), (PERIOD - 0.1, "a"), (PERIOD, "a"), (PERIOD + 1, "a"))
    assert [(line["event"], line["suppressed"], line["log_level"]) for line in lines] == [
        ("event_lost", 0, "error"),
        ("event_lost", 2, "error"),
    ]


def test_every_key_has_its_own_period() -> None:
    assert [line["reason"] for line in logged((0, "a"), (0, "b"), (1, "a"))] == ["a", "b"]


def test_a_clock_set_back_does_not_silence() -> None:
    assert len(logged((0, "a"), (-5000, "a"))) == 2


def test_keys_are_bounded() -> None:
    hands = Hands()
    assert len(logged(*((0, str(key)) for key in range(KEYS * 3)), clock=hands)) == KEYS + 1


async def test_an_event_that_is_set_for_a_moment_ends_the_wait() -> None:
    event = asyncio.Event()
    waits = asyncio.create_task(is_set_within(event, 5))
    await asyncio.sleep(0)
    event.set()
    event.clear()
    assert await waits
    assert not await is_set_within(event, 0.001)


async def test_an_error_that_stays_is_reported_once_then_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    now, texts, reported = [0.0], iter(["a", "b", "a", "b", "a", "b", "a"]), list[str]()

    async def pause() -> None:
        now[0] += REMIND_SECONDS / 5

    async def fails() -> str:
        if (text := next(texts, None)) is None:
            return "opened"
        raise QueueError(text)

    monkeypatch.setattr(background, "_retry_pause", pause)
    monkeypatch.setattr(background.time, "monotonic", lambda: now[0])
    assert await retry(fails, (QueueError,), reported.append) == "opened"
    assert reported == ["a", "b", "a"], "each again after a while"
