"""Which nodes live, by their heartbeats in the store that they share (``queue.nodes``), and which hooks are ours.

Every ``BEAT`` seconds a process writes a heartbeat and reads all others'. It takes one for gone whose heartbeat has not
changed for ``GONE`` seconds in which its own reached the store: where the store was away, or this process stood still,
everybody has that time anew, and no clock of another machine counts. A process of this machine that has exited is gone
at once. ``HOLD`` seconds after its own last heartbeat a process takes itself for gone, before any other does: it claims
and starts nothing until the next one.

Hooks that become ours are delivered once ``prepare`` has run; what others take over is theirs at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from msgspec.structs import replace

from kong_eventhooks_plugin.background import RateLimitedLogger
from kong_eventhooks_plugin.delivery.rendezvous import Distribution
from kong_eventhooks_plugin.delivery.waiting import Wait
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.contract import Clock
from kong_eventhooks_plugin.queue.holders import exited
from kong_eventhooks_plugin.queue.nodes import RELEASING, Beat, Node, NodeState, NodeTable

BEAT: Final = 1.0
HOLD: Final = 5.0
GONE: Final = 6.0
TOGETHER: Final = 10.0
"""Nodes that start within so many seconds start together."""
LEAVING: Final = 1.0
"""Seconds that ``leave`` waits for the store."""

NOBODY: Final = Distribution(())

log = structlog.get_logger()


async def _nothing() -> None:
    return None


class Membership:
    """``ours`` returns what this process says of itself; ``monotonic`` is a clock that never jumps.

    Implements ``share.Share``. ``deliver`` is False where this process accepts only.
    """

    def __init__(
        self,
        table: NodeTable,
        ours: Callable[[], Node],
        clock: Clock,
        wait: Wait,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        deliver: bool = True,
    ) -> None:
        self._table = table
        self._ours = ours
        self._clock = clock
        self._monotonic = monotonic
        self._wait = wait
        self._limited_log = RateLimitedLogger(monotonic)
        self._wakeup = asyncio.Event()
        self._state: NodeState = "live" if deliver else "accepting"
        self._process, self._node = "", ""
        self._declared: frozenset[str] = frozenset()
        self._found_declared: frozenset[str] = frozenset()
        self._beaten_at: float | None = None
        self._until = (0.0, 0.0)
        self._silent: dict[str, tuple[float, float]] = {}
        self._prepare: Callable[[], Awaitable[None]] = _nothing
        self._moved: Callable[[], None] = lambda: None
        self._has_work: Callable[[str], None] = lambda _: None
        self._prepared = NOBODY
        self.distribution = NOBODY
        """As the last heartbeat found it."""

    def follow(
        self, prepare: Callable[[], Awaitable[None]], moved: Callable[[], None], has_work: Callable[[str], None]
    ) -> None:
        """Have ``moved`` called when hooks may have moved, ``has_work`` when a hook may have work that others made due.

        ``prepare`` may raise ``QueueError``; it is tried again with the next heartbeat.
        """
        self._prepare, self._moved, self._has_work = prepare, moved, has_work
        self._table.on_news(has_work, self.hurry)

    @property
    def process(self) -> str:
        """Ours; empty before the first heartbeat."""
        return self._process

    @property
    def held(self) -> bool:
        clock, monotonic = self._until
        return self._state == "live" and self._clock() < clock and self._monotonic() < monotonic

    def owns(self, hook_id: str) -> bool:
        return self.held and self._is_ours(self.distribution, hook_id) and self._is_ours(self._prepared, hook_id)

    def declared_elsewhere(self, hook_id: str) -> bool:
        """Return whether another live node declares a hook."""
        return self.distribution.declared(hook_id, but=self._node)

    def found_declared(self, hook_id: str) -> bool:
        """Return whether another node declared a hook before this one did."""
        return hook_id in self._found_declared

    def wake(self, hook_id: str) -> None:
        self._table.wake(hook_id, self.distribution.owner(hook_id))

    async def keep(self) -> None:
        """Send heartbeats until this process is gone."""
        while self._state != "gone":
            self._wakeup.clear()
            await self.beat()
            await self._wait(self._wakeup, self._clock() + BEAT)

    def hurry(self) -> None:
        """Send a heartbeat now: something has changed."""
        self._wakeup.set()

    async def beat(self) -> None:
        row = self._own_row()
        asked_at, until = self._monotonic(), (self._clock() + HOLD, self._monotonic() + HOLD)
        try:
            found = await self._table.beat(row)
            self._until = until
            self._note_declared(row, found)
            self._note(found, asked_at)
            await self._judge(found)
            if self._prepared is not self.distribution:
                await self._prepare()
                self._prepared = self.distribution
                self._moved()
        except QueueError as error:
            self._limited_log.warning("heartbeat_failed", "heartbeat", error=str(error))

    async def leave(self, state: NodeState) -> None:
        """Say that this process ends: ``leaving``, then ``gone``."""
        if self._state == "gone":
            return
        self._state = state
        try:
            async with asyncio.timeout(LEAVING):
                await self._table.beat(self._own_row())
        except (QueueError, TimeoutError) as error:
            log.warning("heartbeat_failed", error=str(error))

    def _own_row(self) -> Node:
        return replace(self._ours(), state=self._state)

    def _is_ours(self, distribution: Distribution, hook_id: str) -> bool:
        owner = distribution.owner(hook_id)
        return owner is not None and owner.process == self._process

    def _note_declared(self, row: Node, found: Beat) -> None:
        """Remember which hooks others declared before we did."""
        before = self.distribution
        if not self._process:
            # Those that start with us find them at the same time.
            began = next((node.started_at for node in found.nodes if node.process == row.process), found.at)
            before = Distribution([node for node in found.nodes if node.started_at < began - TOGETHER])
        self._process, self._node = row.process, row.id
        new = {hook_id for hook_id in row.hooks - self._declared if before.declared(hook_id, but=row.id)}
        self._declared = row.hooks
        self._found_declared = (self._found_declared | new) & row.hooks

    def _note(self, found: Beat, asked_at: float) -> None:
        """Count how long each other process has been silent while we were heard; adopt what has changed."""
        counted = 0.0 if self._beaten_at is None else min(asked_at - self._beaten_at, 2 * BEAT)
        self._beaten_at = asked_at
        silent = {}
        for node in found.nodes:
            seen_at, seconds = self._silent.get(node.process, (node.seen_at, 0.0))
            silent[node.process] = (node.seen_at, seconds + counted if seen_at == node.seen_at else 0.0)
        self._silent = silent
        before = {_said(node) for node in self.distribution.nodes}
        if found.lost:
            log.warning("node_taken_for_gone", hint="it stood still, or did not reach the store")
        if found.lost or before != {_said(node) for node in found.nodes}:
            self._log_changes(found)
            self.distribution = Distribution(found.nodes)
            if found.lost:
                self._prepared = NOBODY
            self._moved()

    def _log_changes(self, found: Beat) -> None:
        states = {node.process: node.state for node in self.distribution.nodes}
        ours = self._ours()
        for node in found.nodes:
            was = states.get(node.process, "gone")
            if node.id == ours.id or node.state == was or self.distribution is NOBODY:
                continue
            if node.state in {"live", "accepting"}:
                log.info("node_joined", node=node.name, node_id=node.id, version=node.version)
            elif was == "live":
                log.info("node_left", node=node.name, node_id=node.id)

    async def _judge(self, found: Beat) -> None:
        """Note who is gone, and have what they leased delivered."""
        noted = False
        for node in found.nodes:
            silent = self._silent[node.process][1]
            is_gone = node.state != "gone" and (silent >= GONE or exited(node.process))
            if is_gone and node.process != self._process and await self._table.set_gone(node):
                log.warning("node_gone", node=node.name, node_id=node.id, seconds=round(silent, 1))
                noted = True
        if noted or any(node.state == "gone" and found.at - node.seen_at < RELEASING for node in found.nodes):
            for hook_id in await self._table.release_leases():
                self._has_work(hook_id)
        if noted:
            self.hurry()


def _said(node: Node) -> Node:
    return replace(node, seen_at=0.0)
