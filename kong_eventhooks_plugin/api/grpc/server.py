"""The gRPC server on an address: eventhooks.v1 and the standard health service (grpc.health.v1).

Limits, one more or larger is RESOURCE_EXHAUSTED: ``AT_ONCE`` calls and 32 watchers (``guard``, ``api.service.feed``),
``HEALTH_WATCHES`` watches of health, ``RPCS`` calls of all kinds, refused ones included; requests of ``MAX_REQUEST``
bytes, answers of ``MAX_ANSWER``; 16 KiB of metadata. Connections: see ``api.transport``; one that has not begun HTTP/2
after ``OPENING_SECONDS``, one without a call for ``IDLE_SECONDS``, and one whose peer does not answer a ping for 20 s
(which ends its watches) are closed. Every service is SERVING while the server listens; /readyz reports whether the
store accepts events.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from kong_eventhooks_plugin.api.grpc.deliveries_calls import DeliveryCalls
from kong_eventhooks_plugin.api.grpc.error_mapping import abort_with
from kong_eventhooks_plugin.api.grpc.events_calls import STALLED, EventCalls
from kong_eventhooks_plugin.api.grpc.guard import Calling, GrpcCallGuard
from kong_eventhooks_plugin.api.grpc.hooks_calls import HookCalls, SourceCalls
from kong_eventhooks_plugin.api.grpc.relay import Relay
from kong_eventhooks_plugin.api.service.access import AT_ONCE, Access
from kong_eventhooks_plugin.api.service.feed import WATCHERS
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.api.transport.listener import Listener
from kong_eventhooks_plugin.errors import TooBusy

HEALTH_WATCHES: Final = 16
RPCS: Final = AT_ONCE + WATCHERS + HEALTH_WATCHES + 16
MAX_REQUEST: Final = 1 << 20
MAX_ANSWER: Final = 16 << 20
OPENING_SECONDS: Final = 10
IDLE_SECONDS: Final = 300

OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_send_message_length", MAX_ANSWER),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.max_concurrent_streams", RPCS),
    ("grpc.server_handshake_timeout_ms", OPENING_SECONDS * 1_000),
    ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Without these a quiet watch is pinged only twice, and a watcher that sends pings is disconnected.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
)


class GrpcServer:
    def __init__(
        self,
        service: Service,
        access: Access,
        listener: Listener,
        folder: Path,
        *,
        at_once: int = AT_ONCE,
        rpcs: int = RPCS,
        stalled: float = STALLED,
    ) -> None:
        """``folder`` holds gRPC's own socket for a moment."""
        self._listener = listener
        self._folder = folder
        self._relay: Relay | None = None
        self._guard = GrpcCallGuard(access, listener.calling, at_once)
        self._health = _Health(listener.calling)
        self._events = EventCalls(service, stalled)
        self._tables = (
            HookCalls(service).table(),
            SourceCalls().table(),
            DeliveryCalls(service).table(),
            self._events.table(),
        )
        self._server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=rpcs)
        self._server.add_generic_rpc_handlers([self._guard.handlers(table) for table in self._tables])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    async def open(self, listen: str) -> None:
        """Listen on ``host:port``. Raises ``OSError``."""
        await self._listener.bind(listen)
        relay = self._private_port()
        for table in self._tables:
            await self._health.set(table.service.full_name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        relay.open()
        self._listener.start(relay.protocol)

    @property
    def port(self) -> int:
        return self._listener.port

    def _private_port(self) -> Relay:
        try:
            self._relay = relay = Relay(self._folder)
            self._server.add_insecure_port(relay.target)
        except (OSError, RuntimeError) as error:  # the latter is gRPC's
            self._listener.close()
            raise OSError(f"gRPC cannot make a socket in {self._folder}") from error
        return relay

    async def stop(self, grace: float) -> None:
        """End watches at once, calls in progress after ``grace`` seconds."""
        self._listener.close()
        # A health watcher that does not read would block this.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._health.enter_graceful_shutdown()
        self._events.close()
        await self._server.stop(grace)
        await self._guard.finished(grace)
        self._listener.abort()
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()


class _Health(health.HealthServicer):
    """gRPC's own, with a limit on its streams: watching needs no token."""

    def __init__(self, calling: Calling) -> None:
        super().__init__()
        self._calling = calling
        self._watching = 0

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802 - gRPC's name
        if self._watching >= HEALTH_WATCHES:
            await abort_with(context, TooBusy(f"{HEALTH_WATCHES} clients watch the health already"))
        self._watching += 1
        try:
            async with self._calling(context.peer()):
                await super().Watch(request, context)
        finally:
            self._watching -= 1
