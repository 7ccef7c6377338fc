"""The plugin server over ProtoBuf:1.

Limits: ``CONNECTIONS`` open at a time (Kong opens one for each call that it makes at a time; past it see ``acceptor``).
When we leave: ``LINGER_SECONDS`` for a peer to send the rest of a call of which half is here, and to let a connection
go that we have ended.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.acceptor import Acceptor
from kong_eventhooks_plugin.kong.plugin_server.call_handler import CallHandler
from kong_eventhooks_plugin.kong.plugin_server.commit_deadlines import CALLS, TICK_SECONDS, CommitDeadlines
from kong_eventhooks_plugin.kong.plugin_server.connection import STALL_SECONDS, Connection
from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.observation_backlog import ObservationBacklog
from kong_eventhooks_plugin.kong.plugin_server.server_context import ServerContext
from kong_eventhooks_plugin.kong.plugin_server.socket_errors import SocketErrors
from kong_eventhooks_plugin.kong.plugin_server.worker_link import WorkerLink
from kong_eventhooks_plugin.kong.supervisor.call_marks import NO_SLOT, SLOTS
from kong_eventhooks_plugin.kong.wire.frames import FRAME_BYTES, ByteBudget
from kong_eventhooks_plugin.telemetry.metrics import Metrics

CONNECTIONS = SLOTS
LINGER_SECONDS = 0.5
_SWEEPS_TO_STALL = 12


class PluginServer:
    """Serves every connection on one socket.

    ``plugin_infos`` is plugin name -> its entry of ``Plugins`` in the document for Kong; ``clock`` gives Unix seconds.
    ``max_waiting``: calls that may wait for a commit. One ``serve`` and one ``drain`` in a server's life, both on the
    running loop. Without ``link`` its connections end with it.
    """

    def __init__(
        self,
        host: PluginHost,
        metrics: Metrics,
        instances: PluginInstances,
        plugin_infos: Mapping[str, Mapping[str, Any]],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        max_connections: int = CONNECTIONS,
        frame_bytes: int = FRAME_BYTES,
        stall_seconds: float = STALL_SECONDS,
        max_waiting: int = CALLS,
        link: WorkerLink | None = None,
    ) -> None:
        self._link = link
        self._errors = SocketErrors(metrics.counts, clock=monotonic)
        self._context = ServerContext(
            host=host,
            instances=instances,
            call_handler=CallHandler(host, instances, plugin_infos, self._errors, clock),
            errors=self._errors,
            counts=metrics.counts,
            byte_budget=ByteBudget(),
            deadlines=CommitDeadlines(monotonic, calls=max_waiting),
            backlog=ObservationBacklog(host.requests.observe),
            clock=clock,
            monotonic=monotonic,
            frame_bytes=frame_bytes,
            marks=bytearray(SLOTS + 1) if link is None else link.marks,
            hands_over=lambda: link is not None and link.holds,
        )
        self._sweep_seconds = stall_seconds / _SWEEPS_TO_STALL
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[Any]] = set()
        self._acceptor = Acceptor(self._errors, max_connections, lambda: self.connections, self._adopt)
        self._draining = False
        self._stall_timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many connections are open or being opened."""
        return len(self._open) + len(self._opening)

    @property
    def busy(self) -> int:
        """How many of them have a call under way."""
        return sum(connection.busy for connection in self._open)

    @property
    def waiting(self) -> int:
        """How many calls, answered or not, wait for the commit of what they brought."""
        return self._context.deadlines.committing + self._context.deadlines.answered

    async def serve(self, sock: socket.socket) -> None:
        """Begin to accept on ``sock``, which listens already, and return."""
        self._acceptor.start(sock)
        if self._link is not None:
            self._link.on_adopt(self._adopt)
        self._check_stalled()

    def stop_accepting(self) -> None:
        self._draining = True
        self._acceptor.stop()

    async def drain(self, seconds: float) -> None:
        """Stop accepting, give the calls under way at most ``seconds`` to end, then let every connection go.

        What Kong sends on a connection that we have ended is answered by our successor: Kong reads "closed" and calls
        again, on a new connection, which waits in the backlog. But not so a ``StartInstance``: ended there, Kong
        raises, and outside ``log`` the client gets a 500. So the rest of a call of which half is here is waited for.
        """
        self.stop_accepting()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        for connection in tuple(self._open):
            connection.end_when_idle()
        await self._until(lambda: not self._mid_frame(), min(seconds, LINGER_SECONDS))
        for connection in self._mid_frame():
            connection.end()
        self._context.backlog.flush()
        await self._until(lambda: not self.busy and not self._opening, seconds)
        await self._until(lambda: not self._open and not self._opening, LINGER_SECONDS)
        self._context.backlog.flush()  # what the last calls brought
        for connection in tuple(self._open):
            connection.abort()
        await self._until(lambda: not self._open, LINGER_SECONDS)

    def _mid_frame(self) -> list[Connection]:
        return [connection for connection in self._open if connection.mid_frame]

    async def _until(self, over: Callable[[], bool], seconds: float) -> None:
        """Return when ``over()``, checked whenever a connection's state may have changed, or after ``seconds``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not over() and (left := deadline - loop.time()) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, TICK_SECONDS))
            except TimeoutError:
                continue

    # ---- connections come and go ----

    def _adopt(self, peer: socket.socket) -> None:
        """Serve a connection: one just accepted, or one that a predecessor served."""
        peer.setblocking(False)
        slot = NO_SLOT if self._link is None else self._link.hold(peer)
        task = asyncio.get_running_loop().create_task(self._connect(peer, slot))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    async def _connect(self, peer: socket.socket, slot: int) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self._context, self, slot, peer), peer
            )
        except OSError as error:
            with contextlib.suppress(OSError):  # the supervisor's copy would keep it open
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()
            self._removed(slot)
            self._errors("peer_gone", error)

    def _opened(self, task: "asyncio.Task[Any]") -> None:
        self._opening.discard(task)
        self._acceptor.resume()

    def connected(self, connection: Connection) -> None:
        self._open.add(connection)
        if self._draining:
            connection.end_when_idle()

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection.handed_over and self._link is not None:
            self._link.released(connection.slot)
        else:
            self._removed(connection.slot)
        self._changed.set()
        self._acceptor.resume()

    def _removed(self, slot: int) -> None:
        if self._link is not None:
            self._link.removed(slot)

    def _check_stalled(self) -> None:
        for connection in tuple(self._open):
            connection.sweep(_SWEEPS_TO_STALL)
        self._stall_timer = asyncio.get_running_loop().call_later(self._sweep_seconds, self._check_stalled)
