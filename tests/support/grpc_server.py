"""An open gRPC server over a running API, and its stubs on a real channel."""

import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, NamedTuple, TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import (
    deliveries_pb2_grpc,
    events_pb2_grpc,
    hooks_pb2_grpc,
    sources_pb2_grpc,
)
from kong_eventhooks_plugin.api.grpc.server import GrpcServer
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.transport.listener import Listener
from tests.support.api import Api

M = TypeVar("M", bound=Message)


class Client(NamedTuple):
    """The stubs of every service, and what they stand on."""

    server: GrpcServer
    channel: grpc.aio.Channel
    hooks: Any
    sources: Any
    deliveries: Any
    events: Any


@contextlib.asynccontextmanager
async def calling(port: int, server: Any = None) -> AsyncIterator[Client]:
    """A channel to a port, and the stubs on it."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Client(
            server,
            channel,
            hooks_pb2_grpc.HookServiceStub(channel),
            sources_pb2_grpc.SourceServiceStub(channel),
            deliveries_pb2_grpc.DeliveryServiceStub(channel),
            events_pb2_grpc.EventServiceStub(channel),
        )


@contextlib.asynccontextmanager
async def open_server(
    api: Api, token: str | None = None, *, connections: int = 64, **limits: Any
) -> AsyncIterator[Client]:
    """A server on a free port, and a client of it."""
    server = GrpcServer(api.service, Access(token), Listener("grpc_listen", connections), api.folder, **limits)
    await server.open("127.0.0.1:0")
    try:
        async with calling(server.port, server) as client:
            yield client
    finally:
        await server.stop(0)


class Refused(NamedTuple):
    """How a call ended."""

    code: grpc.StatusCode
    text: str
    status: Status | None

    def detail(self, kind: type[M]) -> M:
        """Return the one detail of a kind."""
        assert self.status is not None, "no details were sent"
        (found,) = [packed for packed in self.status.details if packed.Is(kind.DESCRIPTOR)]
        detail = kind()
        found.Unpack(detail)
        return detail


async def refused(call: Awaitable[Any]) -> Refused:
    """Return how a call that has to fail failed."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    return Refused(error.code(), error.details() or "", rpc_status.from_call(error))
