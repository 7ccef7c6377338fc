"""Kong's door over ProtoBuf:1: accepts connections on a listening socket that somebody else owns.

Limits: ``CONNECTIONS`` open at a time (Kong opens one for each call that it makes at a time); past it, and while the
process has no file descriptor left, nothing is accepted and callers wait in the socket's backlog, where nothing is
lost. When we leave: ``LINGER_SECONDS`` for a peer to send the rest of a call of which half is here, and to let a
connection go that we have ended.
"""

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable, Mapping, MutableSequence
from typing import Any, Protocol

from kong_eventhooks_plugin.kong.plugin_server.call_handler import CallHandler
from kong_eventhooks_plugin.kong.plugin_server.connection import STALL_SECONDS, TICK_SECONDS, Connection, ServerContext
from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.socket_errors import SocketErrors
from kong_eventhooks_plugin.kong.supervisor.call_marks import NO_SLOT, SLOTS
from kong_eventhooks_plugin.kong.wire.frames import FRAME_BYTES, ByteBudget
from kong_eventhooks_plugin.telemetry.metrics import Metrics

CONNECTIONS = SLOTS
LINGER_SECONDS = 0.5
_ACCEPTS_AT_ONCE = 64
_SWEEPS_TO_STALL = 12
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_DESCRIPTOR_PAUSE = 0.5


class ConnectionHolder(Protocol):
    """Holds connections beside us, so that they outlive us (``worker_link.WorkerLink``, over the supervisor)."""

    marks: MutableSequence[int]

    @property
    def holds(self) -> bool:
        """Whether a connection that we let go lives on."""

    def hold(self, connection: socket.socket) -> int:
        """Hold a connection; return its slot."""

    def removed(self, slot: int) -> None:
        """Hear that a connection has ended."""

    def released(self, slot: int) -> None:
        """Hear that we no longer serve a connection: somebody else may."""

    def on_adopt(self, adopt: Callable[[socket.socket], None]) -> None:
        """Have ``adopt`` called with each connection that we are to serve."""


class NullHolder:
    """Holds nothing: connections end with us."""

    holds = False

    def __init__(self) -> None:
        self.marks: MutableSequence[int] = bytearray(SLOTS + 1)

    def hold(self, connection: socket.socket) -> int:
        """Hold nothing."""
        return NO_SLOT

    def removed(self, slot: int) -> None:
        """Hear it."""

    def released(self, slot: int) -> None:
        """Hear it."""

    def on_adopt(self, adopt: Callable[[socket.socket], None]) -> None:
        """Have nothing to hand over."""


class PluginServer:
    """Serves every connection on one socket.

    ``plugin_infos`` is plugin name -> its entry of ``Plugins`` in the document for Kong; ``clock`` gives Unix seconds.
    One ``serve`` and one ``drain`` in a server's life, both on the running loop.
    """

    def __init__(
        self,
        house: PluginHost,
        metrics: Metrics,
        instances: PluginInstances,
        plugin_infos: Mapping[str, Mapping[str, Any]],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        max_connections: int = CONNECTIONS,
        frame_bytes: int = FRAME_BYTES,
        stall_seconds: float = STALL_SECONDS,
        keeper: ConnectionHolder | None = None,
    ) -> None:
        self._holder: ConnectionHolder = keeper or NullHolder()
        faults = SocketErrors(metrics.counts, clock=monotonic)
        self._context = ServerContext(
            host=house,
            instances=instances,
            call_handler=CallHandler(house, instances, plugin_infos, faults, clock),
            errors=faults,
            counts=metrics.counts,
            byte_budget=ByteBudget(),
            waiting={},
            start_ticking=self._start_ticking,
            opened=self._connected,
            closed=self._closed,
            clock=clock,
            monotonic=monotonic,
            frame_bytes=frame_bytes,
            marks=self._holder.marks,
            hands_over=lambda: self._holder.holds,
        )
        self._errors = faults
        self._max = max_connections
        self._sweep_seconds = stall_seconds / _SWEEPS_TO_STALL
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[Any]] = set()
        self._sock: socket.socket | None = None
        self._accepting = False
        self._draining = False
        self._ticking = False
        self._stall_timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    @property
    def connections(self) -> int:
        """Return how many connections are open or being opened."""
        return len(self._open) + len(self._opening)

    @property
    def busy(self) -> int:
        """Return how many of them have a call under way."""
        return sum(connection.busy for connection in self._open)

    async def serve(self, sock: socket.socket) -> None:
        """Begin to accept on ``sock`` and return. It listens already, and is neither closed nor unlinked here."""
        sock.setblocking(False)
        self._sock = sock
        self._holder.on_adopt(self._adopt)
        self._resume_accepting()
        self._check_stalled()

    async def drain(self, seconds: float) -> None:
        """Stop accepting, give the calls under way at most ``seconds`` to end, then let every connection go.

        What Kong sends on a connection that we have ended is answered by our successor: Kong reads "closed" and calls
        again, on a new connection, which waits in the backlog. But not so a ``StartInstance``: ended there, Kong
        raises, and outside ``log`` the client gets a 500. So the rest of a call of which half is here is waited for.
        """
        self._draining = True
        self._pause_accepting()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        for connection in tuple(self._open):
            connection.end_when_idle()
        await self._until(lambda: not self._mid_frame(), min(seconds, LINGER_SECONDS))
        for connection in self._mid_frame():
            connection.end()
        await self._until(lambda: not self.busy and not self._opening, seconds)
        await self._until(lambda: not self._open and not self._opening, LINGER_SECONDS)
        for connection in tuple(self._open):
            connection.abort()
        await self._until(lambda: not self._open, LINGER_SECONDS)

    def _mid_frame(self) -> list[Connection]:
        return [connection for connection in self._open if connection.mid_frame]

    async def _until(self, over: Callable[[], bool], seconds: float) -> None:
        """Return when ``over()``, looked at whenever a connection's state may have changed, or after ``seconds``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not over() and (left := deadline - loop.time()) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, TICK_SECONDS))
            except TimeoutError:
                continue

    # ---- connections come and go ----

    def _accept(self) -> None:
        sock = self._sock
        if sock is None:
            return
        for _ in range(_ACCEPTS_AT_ONCE):
            if self.connections >= self._max:
                self._errors("connections", limit=self._max)
                self._pause_accepting()
                return
            try:
                peer, _ = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._cannot_accept(error)
                return
            self._adopt(peer)

    def _adopt(self, peer: socket.socket) -> None:
        """Serve a connection: one just accepted, or one that a predecessor served."""
        peer.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._connect(peer, self._holder.hold(peer)))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _cannot_accept(self, error: OSError) -> None:
        """Wait for descriptors to come free; any other error is looked at again when the loop tells of a caller."""
        self._errors("no_descriptors", error)
        if error.errno in _NO_DESCRIPTOR:
            self._pause_accepting()
            asyncio.get_running_loop().call_later(_DESCRIPTOR_PAUSE, self._resume_accepting)

    async def _connect(self, peer: socket.socket, slot: int) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self._context, slot, peer), peer
            )
        except OSError as error:
            with contextlib.suppress(OSError):  # a keeper's copy would keep it open
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()
            self._holder.removed(slot)
            self._errors("peer_gone", error)

    def _opened(self, task: "asyncio.Task[Any]") -> None:
        self._opening.discard(task)
        self._resume_accepting()

    def _connected(self, connection: Connection) -> None:
        self._open.add(connection)
        if self._draining:
            connection.end_when_idle()

    def _closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection.handed_over:
            self._holder.released(connection.slot)
        else:
            self._holder.removed(connection.slot)
        self._changed.set()
        self._resume_accepting()

    def _resume_accepting(self) -> None:
        if self._accepting or self._draining or self._sock is None or self.connections >= self._max:
            return
        self._accepting = True
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    def _pause_accepting(self) -> None:
        if self._accepting and self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._accepting = False

    # ---- limits on waiting ----

    def _start_ticking(self) -> None:
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._answer_late)

    def _answer_late(self) -> None:
        self._ticking = False
        waiting = self._context.waiting
        now = self._context.monotonic()
        for connection in [connection for connection, deadline in waiting.items() if deadline <= now]:
            connection.answer_early()
        if waiting:
            self._start_ticking()

    def _check_stalled(self) -> None:
        for connection in tuple(self._open):
            connection.sweep(_SWEEPS_TO_STALL)
        self._stall_timer = asyncio.get_running_loop().call_later(self._sweep_seconds, self._check_stalled)
