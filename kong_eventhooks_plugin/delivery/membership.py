"""Which nodes live, by their heartbeats in the store that they share (``queue.nodes``).

Every ``BEAT`` seconds a process writes a heartbeat and reads all others'. It takes one for gone whose heartbeat has not
changed for ``GONE`` seconds in which its own reached the store: where the store was away, or this process stood still,
everybody has that time anew, and no clock of another machine counts. A process of this machine that has exited is gone
at once. ``HOLD`` seconds after its own last heartbeat a process takes itself for gone, before any other does.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog
from msgspec.structs import replace

from kong_eventhooks_plugin.background import RateLimitedLogger
from kong_eventhooks_plugin.delivery.waiting import Wait
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.contract import Clock
from kong_eventhooks_plugin.queue.holders import exited
from kong_eventhooks_plugin.queue.nodes import RELEASING, Beat, Node, NodeState, NodeTable

BEAT: Final = 1.0
HOLD: Final = 5.0
GONE: Final = 6.0
LEAVING: Final = 1.0
"""Seconds that ``leave`` waits for the store."""

log = structlog.get_logger()


class Membership:
    """``ours`` returns what this process says of itself; ``monotonic`` is a clock that never jumps."""

    def __init__(
        self,
        table: NodeTable,
        ours: Callable[[], Node],
        clock: Clock,
        wait: Wait,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._ours = ours
        self._clock = clock
        self._monotonic = monotonic
        self._wait = wait
        self._limited_log = RateLimitedLogger(monotonic)
        self._wakeup = asyncio.Event()
        self._state: NodeState = "live"
        self._beaten_at: float | None = None
        self._silent: dict[str, tuple[float, float]] = {}
        self.nodes: tuple[Node, ...] = ()
        """Every process of the last heartbeat, those that are gone too."""

    async def keep(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            self._wakeup.clear()
            await self.beat()
            await self._wait(self._wakeup, self._clock() + BEAT)

    def hurry(self) -> None:
        """Send a heartbeat now: something of what this process says has changed."""
        self._wakeup.set()

    async def beat(self) -> None:
        asked_at = self._monotonic()
        try:
            found = await self._table.beat(self._own_row())
            self._note(found, asked_at)
            await self._judge(found)
        except QueueError as error:
            self._limited_log.warning("heartbeat_failed", "heartbeat", error=str(error))

    async def leave(self, state: NodeState) -> None:
        """Say that this process ends: ``leaving``, then ``gone``."""
        self._state = state
        try:
            async with asyncio.timeout(LEAVING):
                await self._table.beat(self._own_row())
                if state == "gone":
                    await self._table.release_leases()
        except (QueueError, TimeoutError) as error:
            log.warning("heartbeat_failed", error=str(error))

    def _own_row(self) -> Node:
        return replace(self._ours(), state=self._state)

    def _note(self, found: Beat, asked_at: float) -> None:
        """Count how long each other process has been silent while we were heard."""
        counted = 0.0 if self._beaten_at is None else min(asked_at - self._beaten_at, 2 * BEAT)
        self._beaten_at = asked_at
        silent = {}
        for node in found.nodes:
            seen_at, seconds = self._silent.get(node.process, (node.seen_at, 0.0))
            silent[node.process] = (node.seen_at, seconds + counted if seen_at == node.seen_at else 0.0)
        self._silent = silent
        if found.lost:
            log.warning("node_taken_for_gone", hint="it stood still, or did not reach the store")
        self._log_changes({node.process: node for node in self.nodes}, found.nodes)
        self.nodes = found.nodes

    def _log_changes(self, before: Mapping[str, Node], after: Iterable[Node]) -> None:
        ours = self._ours()
        for node in after:
            was = before.get(node.process)
            if node.id != ours.id and node.state != ("gone" if was is None else was.state):
                if node.state == "live":
                    log.info("node_joined", node=node.name, node_id=node.id, version=node.version)
                elif was is not None and was.state == "live" and node.state == "leaving":
                    log.info("node_left", node=node.name, node_id=node.id)

    async def _judge(self, found: Beat) -> None:
        """Note who is gone, and have what they leased delivered."""
        ours = self._ours().process
        noted = False
        for node in found.nodes:
            silent = self._silent[node.process][1]
            is_gone = node.state != "gone" and (silent >= GONE or exited(node.process))
            if is_gone and node.process != ours and await self._table.set_gone(node):
                log.warning("node_gone", node=node.name, node_id=node.id, seconds=round(silent, 1))
                noted = True
        if noted or any(node.state == "gone" and found.at - node.seen_at < RELEASING for node in found.nodes):
            await self._table.release_leases()
        if noted:
            self.hurry()
