"""Counts the time in which the worker served nobody: its event loop was held up, or the whole process.

Kong's calls wait meanwhile, each as a running timer of an nginx worker, and a worker of Kong's that has no timer left
drops what comes then. Kong does not count that, so this time is the sign on our side (docs/operations.md).

Limits: a timer every ``BEAT`` seconds. One that is late by less than ``STALL`` seconds counts for nothing; one that is
late by ``LONG`` is logged as well. A machine that slept was not held up: the loop's clock stood still with it.
"""

import asyncio

import structlog

from kong_eventhooks_plugin.telemetry.metrics import Counts

BEAT = 0.25
STALL = 0.25
LONG = 1.0

log = structlog.get_logger()


class LoopStalls:
    """Measures a loop, from ``start`` on."""

    def __init__(self, counts: Counts, loop: asyncio.AbstractEventLoop) -> None:
        self._stalled = counts.stalled_seconds
        self._loop = loop
        self._due = 0.0

    def start(self) -> None:
        self._due = self._loop.time() + BEAT
        self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        late = self._loop.time() - self._due
        if late >= STALL:
            self._stalled[()] += late
            if late >= LONG:
                log.warning("worker_stalled", seconds=round(late, 3))
        self.start()
