"""Observations that wait: in order, some a turn, within limits, and none is forgotten."""

import asyncio
from asyncio import Future
from typing import Any

import pytest

from kong_eventhooks_plugin.kong.plugin_server import observation_backlog
from kong_eventhooks_plugin.kong.plugin_server.observation_backlog import A_TURN, ObservationBacklog
from kong_eventhooks_plugin.model.observation import LogObservation


class Taken:
    """Takes observations; each is committed when the test says so."""

    def __init__(self) -> None:
        self.texts: list[str | bytes] = []
        self.commits: list[Future[Any]] = []

    def __call__(self, seen: LogObservation) -> "Future[Any]":
        self.texts.append(seen.serialized)
        self.commits.append(asyncio.get_running_loop().create_future())
        return self.commits[-1]


def observed(text: object) -> LogObservation:
    return LogObservation("event-hooks", 429, str(text), 0.0)


async def test_they_are_handed_on_in_order_some_a_turn() -> None:
    taken = Taken()
    backlog = ObservationBacklog(taken)
    for number in range(A_TURN + 1):
        backlog.add(observed(number))
    assert taken.texts == []
    await asyncio.sleep(0)
    assert len(backlog) == 1
    await asyncio.sleep(0)
    assert taken.texts == [str(number) for number in range(A_TURN + 1)]


async def test_the_future_ends_as_the_commit_does() -> None:
    taken = Taken()
    backlog = ObservationBacklog(taken)
    good, bad, gone = (backlog.add(observed(number)) for number in range(3))
    await asyncio.sleep(0)
    taken.commits[0].set_result("receipt")
    taken.commits[1].set_exception(OSError("a disk"))
    taken.commits[2].cancel()
    await asyncio.sleep(0)
    assert good.result() == "receipt"
    assert isinstance(bad.exception(), OSError)
    assert gone.cancelled()


async def test_nothing_to_wait_for_and_a_bug() -> None:
    nothing = ObservationBacklog(lambda seen: None).add(observed(1))
    bug = ObservationBacklog(lambda seen: 1 / 0).add(observed(1))  # type: ignore[arg-type,return-value]
    await asyncio.sleep(0)
    assert nothing.result() is None
    assert isinstance(bug.exception(), ZeroDivisionError)


@pytest.mark.parametrize(("limit", "value"), [("OBSERVATIONS", 2), ("BYTES", 2)])
async def test_past_a_limit_the_oldest_goes_on(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(observation_backlog, limit, value)
    taken = Taken()
    backlog = ObservationBacklog(taken)
    for number in range(4):
        backlog.add(observed(number))
    assert taken.texts == ["0", "1"]
    assert len(backlog) == 2


async def test_a_log_that_was_read_counts_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observation_backlog, "BYTES", 2 * observation_backlog.READ - 1)
    taken = Taken()
    backlog = ObservationBacklog(taken)
    for number in range(2):
        backlog.add(LogObservation("event-hooks", 429, str(number), 0.0, log=object()))
    assert taken.texts == ["0"]
    backlog.flush()
    assert taken.texts == ["0", "1"]


async def test_a_server_that_stops_hands_everything_on() -> None:
    taken = Taken()
    backlog = ObservationBacklog(taken)
    for number in range(3 * A_TURN):
        backlog.add(observed(number))
    backlog.flush()
    assert len(taken.texts) == 3 * A_TURN
    await asyncio.sleep(0)  # what was scheduled finds nothing
    assert len(backlog) == 0
