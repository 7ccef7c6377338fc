"""The plugin server over MsgPack:1: kong-pdk's plugin server behind a listener of ours.

kong-pdk's own listener removes the socket's path when it starts (the supervisor holds ours), ends the process when its
parent is process 1 (which is normal in a container), needs a thread or gevent's own loop, lets a peer call any method
of the server, and may send an answer in part. So the socket is served here, on the event loop.

The state of an event hangs on its id, and each of Kong's answers is a call of its own that may come on any connection.
So a draining server stops accepting, ends each connection as its event ends, and leaves the others open until no event
waits for Kong's answers. An event that two servers share a socket over (a reload) can still be lost in the middle of
its requests: Kong may send the answer to the other one, and over this protocol it does not call again.

Limits, and what happens past them:

- ``CONNECTIONS`` open at a time; past it see ``acceptor``.
- ``ANSWER_SECONDS`` for what an event causes to be committed, from its call on: then Kong is answered, the commit goes
  on, and ``late`` is counted. An answer of Kong's that came later than that still leaves ``LEAST_SECONDS``.
- ``CALLS`` that wait for a commit at a time: past it a call is answered at once, and ``early`` is counted.
- ``IDLE_SECONDS`` without a byte from a peer, or for a peer to read: then the connection is closed (Kong keeps an idle
  one for 60 s). Messages have theirs in ``msgpack_rpc``, events in ``kong_pdk_plugins``.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from kong_pdk.exception import PluginServerException

from kong_eventhooks_plugin.acceptor import Acceptor
from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server import msgpack_rpc
from kong_eventhooks_plugin.kong.plugin_server.commit_deadlines import ANSWER_SECONDS, CALLS
from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.kong_pdk_plugins import Commit, PdkPlugins, PhaseTurn, StartedInstance
from kong_eventhooks_plugin.kong.plugin_server.msgpack_rpc import RequestReader, RpcRequest
from kong_eventhooks_plugin.kong.plugin_server.socket_errors import SocketErrors
from kong_eventhooks_plugin.kong.wire.frames import ByteBudget
from kong_eventhooks_plugin.telemetry.metrics import Metrics

CONNECTIONS = 4_096
LEAST_SECONDS = 0.1
IDLE_SECONDS = 120.0
_EXPIRE_EVERY = 5.0
_READ_BYTES = 64 << 10

_METHODS = {
    "plugin.GetPluginInfo": "get_plugin_info",
    "plugin.StartInstance": "start_instance",
    "plugin.InstanceStatus": "instance_status",
    "plugin.CloseInstance": "close_instance",
    "plugin.HandleEvent": "handle_event",
    "plugin.Step": "step",
    "plugin.StepError": "step_error",
    "plugin.StepCredential": "step",
    "plugin.StepRoute": "step",
    "plugin.StepService": "step",
    "plugin.StepConsumer": "step",
    "plugin.StepMultiMap": "step",
    "plugin.StepMemoryStats": "step",
}
"""What a peer may call, and the method of kong-pdk's server that answers it. Nothing else."""

_COUNTED = {
    "handle_event": ("handle_event",),
    "start_instance": ("start_instance",),
    "close_instance": ("close_instance",),
}
_OTHER = ("other",)


class KongPdkServer:
    """Serves every connection on one socket; see ``server.PluginServer``."""

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
        answer_seconds: float = ANSWER_SECONDS,
        max_waiting: int = CALLS,
    ) -> None:
        self._plugin_calls = metrics.counts.plugin_calls
        self._errors = SocketErrors(metrics.counts, clock=monotonic)
        self._plugins = PdkPlugins(
            host, metrics.counts, self._errors, instances, plugin_infos, clock=clock, monotonic=monotonic
        )
        self._monotonic = monotonic
        self._answer_seconds = answer_seconds
        self._max_waiting = max_waiting
        self._waiting = 0
        self._byte_budget = ByteBudget()
        self._draining = False
        self._open: set[asyncio.Task[None]] = set()
        self._acceptor = Acceptor(self._errors, max_connections, lambda: self.connections, self._adopt)
        self._busy = 0
        self._quiet = asyncio.Event()
        self._expirer: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    @property
    def busy(self) -> int:
        """How many calls are being answered and events wait for Kong."""
        return self._busy + len(self._plugins.events)

    @property
    def waiting(self) -> int:
        """How many calls wait for a commit."""
        return self._waiting

    async def serve(self, sock: socket.socket) -> None:
        """Begin to accept on ``sock``, which listens already, and return."""
        self._acceptor.start(sock)
        self._expire()

    def stop_accepting(self) -> None:
        self._draining = True
        self._acceptor.stop()

    async def drain(self, seconds: float) -> None:
        """Stop accepting, give what is under way at most ``seconds`` to end, then close every connection."""
        self.stop_accepting()
        self._wait_for_close()
        try:
            await asyncio.wait_for(self._quiet.wait(), seconds)
        except TimeoutError:
            self._errors("peer_gone", what="not drained in time", events=len(self._plugins.events))
        if self._expirer is not None:
            self._expirer.cancel()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    # ---- connections ----

    def _adopt(self, peer: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._connection(peer))
        self._open.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: "asyncio.Task[None]") -> None:
        self._open.discard(task)
        self._acceptor.resume()

    async def _connection(self, peer: socket.socket) -> None:
        """Serve one peer to its end; no exception leaves here but the cancellation of a drain."""
        peer.setblocking(False)
        writer: asyncio.StreamWriter | None = None
        requests = RequestReader(self._byte_budget)
        try:
            reader, writer = await asyncio.open_unix_connection(sock=peer, limit=_READ_BYTES)
            await self._converse(reader, writer, requests)
        except BadMessage as error:
            self._errors("bad_call", what=str(error))
        except (OSError, TimeoutError):
            # The peer has gone, or does not write or read: Kong opens another connection when it needs one. What it has
            # not read is not waited for.
            if writer is not None:
                writer.transport.abort()
        except Exception as error:  # noqa: BLE001 - one peer must not harm the others
            self._errors("internal_error", error)
        finally:
            requests.close()
            if writer is None:
                peer.close()
            else:
                writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: RequestReader
    ) -> None:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                data = await reader.read(_READ_BYTES)
            if not data:
                return
            requests.feed(data)
            for request in requests.requests():
                if not await self._answer(request, writer):
                    return

    async def _answer(self, request: RpcRequest, writer: asyncio.StreamWriter) -> bool:
        """Answer one call; False where the connection is to end, because we drain."""
        self._busy += 1
        try:
            answer, goes_on = await self._call(request)
            writer.write(answer)
            async with asyncio.timeout(IDLE_SECONDS):
                await writer.drain()
        finally:
            self._busy -= 1
            self._wait_for_close()
        return goes_on or not self._draining

    def _wait_for_close(self) -> None:
        if self._draining and not self.busy:
            self._quiet.set()

    # ---- calls ----

    async def _call(self, request: RpcRequest) -> tuple[bytes, bool]:
        """Return the answer, and whether Kong is expected to continue the event."""
        method = _METHODS.get(request.method)
        self._plugin_calls[_COUNTED.get(method or "", _OTHER)] += 1
        if method is None:
            self._errors("unknown_call", call=request.method)
            return msgpack_rpc.error(request, f"{request.method} is not known here"), False
        try:
            value = getattr(self._plugins, method)(request.argument)
        except PluginServerException as error:
            return msgpack_rpc.error(request, str(error)), False
        except (KeyError, TypeError, AttributeError) as error:
            self._errors("bad_call", call=request.method, what=type(error).__name__)
            return msgpack_rpc.error(request, f"{request.method}: not the argument that belongs there"), False
        except Exception as error:  # noqa: BLE001 - our bug; Kong logs the text and goes on
            self._errors("internal_error", error, call=request.method)
            return msgpack_rpc.error(request, f"{request.method} failed"), False
        if isinstance(value, StartedInstance):
            if value.in_force is not None:
                await asyncio.wait({value.in_force})
            return msgpack_rpc.result(request, value.answer), False
        if not isinstance(value, PhaseTurn):
            return msgpack_rpc.result(request, value), False
        await self._wait_for_commit(value)
        return msgpack_rpc.result(request, value.answer()), not value.over

    async def _wait_for_commit(self, turn: PhaseTurn) -> None:
        """Wait until what the event caused is committed, but no longer than Kong may wait."""
        commit: Commit = turn.commit
        if commit is None:
            return
        commit.add_done_callback(self._on_commit)
        if self._waiting >= self._max_waiting:
            self._errors("early")
            return
        left = turn.since + self._answer_seconds - self._monotonic()
        self._waiting += 1
        try:
            _, waiting = await asyncio.wait({commit}, timeout=max(left, LEAST_SECONDS))
        finally:
            self._waiting -= 1
        if waiting:
            self._errors("late")

    def _on_commit(self, commit: "asyncio.Future[Any]") -> None:
        """Count a commit that failed, however late."""
        if commit.cancelled():
            self._errors("not_accepted", what="cancelled")
        elif (error := commit.exception()) is not None:
            self._errors("not_accepted", error)

    def _expire(self) -> None:
        self._plugins.expire()
        self._wait_for_close()
        self._expirer = asyncio.get_running_loop().call_later(_EXPIRE_EVERY, self._expire)


def close_adopted(connection: socket.socket) -> None:
    """Close a connection of a predecessor that used the other protocol: Kong opens another one."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
