"""The server on an address: what it costs where it is off, where it may listen, what its connections may cost."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from kong_eventhooks_plugin.api.grpc import server as server_module
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import events_pb2, hooks_pb2
from kong_eventhooks_plugin.api.grpc.serve import grpc_server
from kong_eventhooks_plugin.api.grpc.server import GrpcServer
from kong_eventhooks_plugin.api.grpc.structs import to_struct
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.transport.listener import Listener
from tests.support.api import Api
from tests.support.grpc_server import calling, open_server
from tests.support.waiting import SECONDS

LOG = hooks_pb2.Hook(name="h", source="custom", handler="log", config=to_struct({}))


def test_grpc_is_imported_only_to_serve() -> None:
    asked = (
        "import sys, kong_eventhooks_plugin.cli, kong_eventhooks_plugin.app, kong_eventhooks_plugin.api.grpc.serve;"
        "sys.exit(' '.join(name for name in sys.modules if name.split('.')[0] in ('grpc', 'grpc_health')) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def server(api: Api) -> GrpcServer:
    return grpc_server(api.service, Access(), Listener("grpc_listen", 2), api.folder)


async def test_a_port_in_use_is_an_error_and_a_later_try_succeeds(api: Api) -> None:
    opened = server(api)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await opened.open(f"127.0.0.1:{port}")
    await opened.open(f"127.0.0.1:{port}")
    try:
        async with calling(port) as client:
            assert not (await client.hooks.ListHooks(hooks_pb2.ListHooksRequest())).hooks
        with pytest.raises(OSError, match="in use"):
            await server(api).open(f"127.0.0.1:{port}")
    finally:
        await opened.stop(0)


async def test_its_own_socket_has_no_path(api: Api) -> None:
    """Who could open it would need no certificate."""
    opened = server(api)
    await opened.open("127.0.0.1:0")
    try:
        assert [path.name for path in api.folder.iterdir() if path.name.startswith(".grpc")] == []
    finally:
        await opened.stop(0)
    assert [path.name for path in api.folder.iterdir() if path.name.startswith(".grpc")] == []


async def test_a_folder_without_room_for_it_is_an_error(api: Api) -> None:
    with pytest.raises(OSError, match="missing"):
        await grpc_server(api.service, Access(), Listener("grpc_listen", 2), api.folder / "missing").open("127.0.0.1:0")


@contextlib.asynccontextmanager
async def peers(port: int) -> AsyncIterator[Callable[[], Awaitable[asyncio.StreamReader]]]:
    """Hold connections that say no more than HTTP/2's preface."""
    opened = []

    async def hold() -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.append(writer)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        await reader.readexactly(9)
        return reader

    yield hold
    for writer in opened:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_one_connection_too_many_closes_an_idle_one_not_a_watch(api: Api) -> None:
    async with open_server(api, connections=3) as client, peers(client.server.port) as hold:
        watch = client.events.Watch(events_pb2.WatchRequest())
        await watch.initial_metadata()
        idle = await hold()
        for _ in range(3):
            await hold()
        async with asyncio.timeout(SECONDS):
            await idle.read()
        async with calling(client.server.port) as other:
            await other.events.Publish(events_pb2.PublishRequest(event="seen"))
            await other.hooks.CreateHook(hooks_pb2.CreateHookRequest(definition=LOG))
            await other.events.Publish(events_pb2.PublishRequest(event="seen"))
        async with asyncio.timeout(SECONDS):
            assert (await watch.read()).event.event.event == "seen"
        watch.cancel()


@pytest.mark.parametrize("option", ["grpc.max_connection_idle_ms", "grpc.server_handshake_timeout_ms"])
async def test_one_without_a_call_or_without_http_2_is_closed(
    api: Api, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    assert option in dict(server_module.OPTIONS)
    monkeypatch.setattr(server_module, "OPTIONS", tuple((dict(server_module.OPTIONS) | {option: 100}).items()))
    async with open_server(api) as client, peers(client.server.port) as hold:
        if option == "grpc.max_connection_idle_ms":
            reader = await hold()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
        async with asyncio.timeout(SECONDS):
            await reader.read()
        if option != "grpc.max_connection_idle_ms":
            writer.close()


async def test_much_passes_both_ways(api: Api) -> None:
    """More than the sockets' buffers hold."""
    async with open_server(api) as client:
        await client.hooks.CreateHook(hooks_pb2.CreateHookRequest(definition=LOG))
        data = to_struct({"text": "x" * 900_000})
        await asyncio.gather(
            *(client.events.Publish(events_pb2.PublishRequest(event=f"e{i}", data=data)) for i in range(8))
        )
        listed = await client.events.ListEvents(events_pb2.ListEventsRequest(page_size=8))
        assert listed.events[0].event.data["text"] == "x" * 900_000
