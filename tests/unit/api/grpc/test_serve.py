"""Starting the server: what it costs where it is off, and where it may listen."""

import socket
import subprocess
import sys

import pytest

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import hooks_pb2
from kong_eventhooks_plugin.api.grpc.serve import serve_grpc
from kong_eventhooks_plugin.errors import SettingsError
from tests.support.api import Api
from tests.support.grpc_server import calling

TOKEN = "a-token-of-some-length"


def test_grpc_is_imported_only_to_serve() -> None:
    asked = (
        "import sys, kong_eventhooks_plugin.cli, kong_eventhooks_plugin.app, kong_eventhooks_plugin.api.grpc.serve;"
        "sys.exit(' '.join(name for name in sys.modules if name.split('.')[0] in ('grpc', 'grpc_health')) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")


async def test_a_door_on_a_free_port(api: Api) -> None:
    server = await serve_grpc(api.service, "127.0.0.1:0", None)
    try:
        async with calling(server.port) as client:
            assert not (await client.hooks.ListHooks(hooks_pb2.ListHooksRequest())).hooks
    finally:
        await server.stop(0)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", ":0", "example.com:8011"])
async def test_beyond_loopback_a_token_is_needed(api: Api, listen: str) -> None:
    with pytest.raises(SettingsError, match=r"grpc_listen: .* no admin token"):
        await serve_grpc(api.service, listen, None)


async def test_with_a_token_it_listens_beyond_loopback(api: Api) -> None:
    server = await serve_grpc(api.service, "0.0.0.0:0", TOKEN)
    await server.stop(0)
    with pytest.raises(SettingsError, match="16 to"):
        await serve_grpc(api.service, "0.0.0.0:0", "short")


async def test_a_port_in_use_is_an_error(api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="cannot listen"):
        await serve_grpc(api.service, f"127.0.0.1:{taken.getsockname()[1]}", None)


async def test_two_doors_do_not_share_a_port(api: Api) -> None:
    server = await serve_grpc(api.service, "127.0.0.1:0", None)
    try:
        with pytest.raises(OSError, match="cannot listen"):
            await serve_grpc(api.service, f"127.0.0.1:{server.port}", None)
    finally:
        await server.stop(0)
