"""Waiting for an event or until a time; injected, so that tests own the clock."""

import asyncio
from typing import Protocol

from kong_eventhooks_plugin.background import is_set_within
from kong_eventhooks_plugin.queue.contract import Clock


class Wait(Protocol):
    """Waits until ``event`` is set or until the time ``until`` (Unix seconds; None: for ever)."""

    async def __call__(self, event: asyncio.Event, until: float | None) -> None:
        """Return at whichever comes first; the event stays as it is."""


def waiting(clock: Clock) -> Wait:
    """Return what waits in real time, by ``clock``."""

    async def wait(event: asyncio.Event, until: float | None) -> None:
        await is_set_within(event, None if until is None else max(0.0, until - clock()))

    return wait


async def pause(wait: Wait, clock: Clock, seconds: float) -> None:
    await wait(asyncio.Event(), clock() + seconds)
