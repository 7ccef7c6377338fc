"""The table of nodes (``queue.nodes``), on a connection of its own: no long transaction delays a heartbeat.

Each call has ``PATIENCE`` seconds; past it the connection is given up. What other processes declare is read again only
where it has changed.

The same connection notifies the other processes (NOTIFY) and listens to them, once in ``WAKING`` seconds for all hooks
that have work: at most ``WOKEN`` of them, the rest is found by polling, as everything is in a database without LISTEN.
Each process has a channel of its own for the hooks that it delivers. One of another version may not listen to it: it is
told on the channel of all.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from kong_eventhooks_plugin.background import cancel
from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.nodes import NOTHING_SPOOLED, RELEASING, Beat, Node, SpoolState, forgotten
from kong_eventhooks_plugin.queue.postgresql.connection import Address, Connection
from kong_eventhooks_plugin.queue.postgresql.errors import ServerError, to_queue_error
from kong_eventhooks_plugin.queue.postgresql.lane import StoreClock
from kong_eventhooks_plugin.queue.postgresql.statements import SQL

T = TypeVar("T")

PATIENCE: Final = 5.0
WAKING: Final = 0.02
WOKEN: Final = 100
LONGEST_ID: Final = 64
"""Characters of the id of a hook that is notified of; a payload has less than 8,000 bytes."""
CHANNEL: Final = "kong_event_hooks"
DEFINITIONS: Final = "definitions"
"""The payload where hooks that the API makes have changed; it is sent with the transaction that changes them."""
CHANGES: Final = "changes"
"""The payload where changes have been forwarded (``queue.polling``)."""

_decode = msgspec.json.Decoder(list[str]).decode


class PostgresNodes:
    """``queue.nodes.NodeTable``."""

    def __init__(self, address: Address, clock: StoreClock) -> None:
        self._address = address
        self._clock = clock
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._closed = True
        self._ours: Node | None = None
        self._is_declared = False
        """Whether the connection has said it: a store that went back may have an older row of ours."""
        self._known: dict[str, tuple[float, Node]] = {}
        self.spooled: Callable[[], SpoolState] = lambda: NOTHING_SPOOLED
        """Returns what waits in this node's spool; each heartbeat says it."""
        self._has_work: Callable[[str], None] = lambda _: None
        self._changed: Callable[[], None] = lambda: None
        self._definitions_changed: Callable[[], None] = lambda: None
        self._changes_forwarded: Callable[[], None] = lambda: None
        self.listens = False
        """Whether notifications arrive on this connection: one has."""
        self._waking: dict[str, set[str]] = {}
        """By channel: the hooks that have work."""
        self._waker: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Allow calls: the schema is there."""
        self._closed = False

    async def close(self) -> None:
        if self._waker is not None:
            await cancel(self._waker)
        async with self._lock:
            self._closed = True
            self._drop()

    async def beat(self, ours: Node) -> Beat:
        return await self._call(lambda connection: self._beat(connection, ours))

    async def set_gone(self, node: Node) -> bool:
        async def set_gone(connection: Connection) -> bool:
            now = await self._clock.read(connection)
            is_news = bool(await connection.fetchval(SQL.set_node_gone, node.process, node.seen_at, now))
            if is_news:
                await connection.execute(SQL.notify, CHANNEL, "[]")
            return is_news

        return await self._call(set_gone)

    async def release_leases(self) -> Sequence[str]:
        async def release(connection: Connection) -> list[str]:
            now = await self._clock.read(connection)
            return [row[0] for row in await connection.fetch(SQL.release_leases_of_gone, now - RELEASING)]

        return await self._call(release)

    def wake(self, hook_id: str, owner: Node | None) -> None:
        if self._closed or sum(map(len, self._waking.values())) >= WOKEN or len(hook_id) > LONGEST_ID:
            return
        self._waking.setdefault(self._channel_to(owner), set()).add(hook_id)
        if self._waker is None or self._waker.done():
            self._waker = asyncio.get_running_loop().create_task(self._wake_all())

    def on_definitions(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called where the stored definitions have changed, or may have unheard."""
        self._definitions_changed = changed

    def on_forwarded(self, forwarded: Callable[[], None]) -> None:
        """Have ``forwarded`` called where another process has forwarded changes."""
        self._changes_forwarded = forwarded

    def on_news(self, has_work: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._has_work, self._changed = has_work, changed

    def _channel_to(self, owner: Node | None) -> str:
        ours = self._ours
        if owner is None or ours is None or owner.version != ours.version or owner.process == ours.process:
            return CHANNEL
        return _channel(owner.process)

    async def _wake_all(self) -> None:
        while self._waking:
            with contextlib.suppress(StoreUnavailable):
                await self._call(self._notify_of_work)
            await asyncio.sleep(WAKING)

    async def _notify_of_work(self, connection: Connection) -> None:
        payloads = [msgspec.json.encode(sorted(hook_ids)).decode() for hook_ids in self._waking.values()]
        channels = list(self._waking)
        self._waking.clear()
        await connection.execute(SQL.notify_of_work, channels, payloads)

    def _notified(self, connection: Connection, pid: int, _channel: str, payload: str) -> None:
        """Take a notification: the ids of hooks that have work, or none of them, where a node has changed."""
        self.listens = True
        if payload == DEFINITIONS:
            self._definitions_changed()
            return
        if payload == CHANGES:
            self._changes_forwarded()
            return
        if pid == connection.get_server_pid():
            return
        try:
            hook_ids = _decode(payload)
        except msgspec.MsgspecError:
            return
        for hook_id in hook_ids:
            self._has_work(hook_id)
        if not hook_ids:
            self._changed()

    async def _call(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with self._lock, asyncio.timeout(PATIENCE):
                return await self._connected(work)
        except TimeoutError as error:
            raise StoreUnavailable(f"{self._address.name}: no answer within {PATIENCE:g} s") from error

    async def _connected(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        if self._closed:
            raise StoreUnavailable(f"{self._address.name}: is not open")
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._address.connect()
                self._is_declared = False
                with contextlib.suppress(ServerError):  # there is no LISTEN: each process polls
                    await self._connection.add_listener(CHANNEL, self._notified)
            return await work(self._connection)
        except Exception as error:
            self._drop()
            raise to_queue_error(error, self._address.name) from error
        except BaseException:
            self._drop()
            raise

    async def _beat(self, connection: Connection, ours: Node) -> Beat:
        now = await self._clock.read(connection)
        spooled = self.spooled()
        since = None if spooled.oldest is None else self._clock.to_store(spooled.oldest)
        is_there = await connection.fetchval(SQL.beat, ours.process, now, spooled.offers, spooled.bytes, since)
        lost = is_there is None and self._ours is not None
        if is_there is None or ours != self._ours or not self._is_declared:
            values = (ours.process, ours.id, ours.name, ours.version, ours.kong, ours.state, now, sorted(ours.hooks))
            with contextlib.suppress(ServerError):
                await connection.add_listener(_channel(ours.process), self._notified)
            await connection.execute(SQL.declare_node, *values)
            await connection.execute(SQL.notify, CHANNEL, "[]")
            self._ours, self._is_declared = ours, True
        seen = {row[0]: (row[1], row[2]) for row in await connection.fetch(SQL.nodes_seen)}
        await self._read_changed(connection, {process: declared_at for process, (declared_at, _) in seen.items()})
        nodes = [replace(node, seen_at=seen[process][1]) for process, (_, node) in self._known.items()]
        if gone := forgotten(nodes, now):
            await connection.execute(SQL.forget_nodes, gone)
        return Beat(tuple(nodes), now, lost)

    async def _read_changed(self, connection: Connection, declared: dict[str, float]) -> None:
        """Read anew of which processes something has changed beside their heartbeat."""
        self._known = {process: known for process, known in self._known.items() if known[0] == declared.get(process)}
        changed = [process for process in declared if process not in self._known]
        if changed:
            for declared_at, *row in await connection.fetch(SQL.declared_by, changed):
                self._known[row[0]] = (declared_at, node_from(row))

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if self.listens:
            self.listens = False
            self._definitions_changed()
        if connection is not None:
            connection.terminate()


def _channel(process: str) -> str:
    """Return what a process alone listens to; a name has at most 63 bytes."""
    return f"{CHANNEL}_{blake2b(process.encode(), digest_size=16).hexdigest()}"


def node_from(row: Sequence[Any]) -> Node:
    """Return the node of a row as ``all_nodes`` has it."""
    process, identity, name, version, kong, state, started_at, seen_at, hooks = row
    return Node(process, identity, name, version, frozenset(hooks), kong, state, started_at, seen_at)
