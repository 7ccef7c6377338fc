"""Waiting for what another process does: asked again at a short pace until a deadline, with a clear failure."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


SECONDS = 45.0
"""How long other processes may take: far longer than they do, because a machine under load gives them little time."""


def until(ask: Callable[[], T], what: str, seconds: float = SECONDS, pace: float = 0.05) -> T:
    """Return the first true answer of ``ask``; fails with ``what`` and the last answer after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {answer!r}")
        time.sleep(pace)


async def a_second() -> None:
    """Return when a second has passed on this loop, and when it has done what was due by then, however late it is.

    Where the machine stops the whole process for a while, the loop's timers all ring late: what is to happen within a
    second on this loop has happened on return all the same, unless it waits for something else.
    """
    await asyncio.sleep(1.0)
    for _ in range(200):
        await asyncio.sleep(0)
