"""When a transaction is begun for what could wait for one of others."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import cast

from kong_eventhooks_plugin.queue.patience import SETTLED_WITHIN, Patience


class Loop:
    """A loop's clock and timers, in the test's hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> object:
        self.timers.append((self.now + seconds, call))
        return object()

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            self.now, call = self.timers.pop(0)
            call()
        self.now = until


def test_it_ends_for_the_first_that_waits_and_has_one_timer() -> None:
    loop, ended = Loop(), []
    patience: Patience[str] = Patience(
        cast("AbstractEventLoop", loop), lambda: ended.append((loop.now, patience.take()))
    )
    patience.add("a")
    assert patience.take() == ["a"], "a transaction of others"
    loop.advance(SETTLED_WITHIN / 2)
    patience.add("b")
    began = loop.now
    loop.advance(SETTLED_WITHIN / 4)
    patience.add("c")
    assert len(loop.timers) == 1
    loop.advance(SETTLED_WITHIN)
    assert ended == [(began + SETTLED_WITHIN, ["b", "c"])]
    assert not loop.timers


def test_a_timer_that_finds_nothing_is_not_set_again() -> None:
    loop, ended = Loop(), []
    patience: Patience[str] = Patience(cast("AbstractEventLoop", loop), lambda: ended.append(loop.now))
    patience.add("a")
    patience.take()
    loop.advance(SETTLED_WITHIN)
    assert (ended, loop.timers) == ([], [])
    patience.add("b")
    loop.advance(SETTLED_WITHIN)
    assert len(ended) == 1
