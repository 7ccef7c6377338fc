"""The API on the port of a real sidecar: what the composition root alone can get wrong."""

import asyncio
import shutil
import signal
import socket
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kong_eventhooks_plugin.cli import cli
from tests.e2e.test_processes import Processes, World
from tests.support.authority import Authority, Pair
from tests.support.http import http_client
from tests.support.waiting import SECONDS

FEW_DESCRIPTORS = ("sh", "-c", 'ulimit -Sn 256; ulimit -Hn 512; exec "$0" "$@"')


async def test_hooks_made_over_rest_are_kept_and_fire(tmp_path: Path) -> None:
    token = "a-token-of-more-than-twenty-bytes"
    (tmp_path / "token").write_text(token)
    with Processes() as processes:
        data = tmp_path / "data"
        data.mkdir(mode=0o700)
        world = World(tmp_path, data, processes)
        running = await asyncio.to_thread(world.sidecar, "--api-token-file", str(tmp_path / "token"))
        base = f"http://127.0.0.1:{(await asyncio.to_thread(running.wait_for, 'api_listening'))['port']}"
        async with http_client(base) as client:
            refused = await client.post("/event-hooks", json={"source": "custom", "handler": "log"})
            assert refused.status_code == 401
            assert (await client.get("/")).headers["location"] == "/console/login?next=%2F"
            client.headers["kong-admin-token"] = token
            made = await client.post("/event-hooks", json={"source": "custom", "handler": "log", "name": "mine"})
            assert made.status_code == 201
            fired = await client.post("/events", json={"event": "hello", "data": {"x": 1}})
            assert [one["event_hook"]["name"] for one in fired.json()["fired"]] == ["mine"]
            silent = await client.post("/event-hooks", json={"source": "crud", "event": "consumers", "handler": "log"})
            assert silent.status_code == 201
            readiness = (await client.get("/readyz")).json()
            assert readiness["status"] == "degraded"
            assert "the source crud needs the setting admin_url; the hook never fires" in readiness["errors"][0]
            broken = {"source": "custom", "handler": "lambda", "config": {"functions": ["return function( end"]}}
            assert (await client.post("/event-hooks", json=broken)).status_code == 400
            assert (await client.get("/event-hooks/mine")).json()["id"] == made.json()["id"]
            assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.1")


@pytest.mark.long
async def test_kongs_calls_and_probes_get_in_while_the_api_is_flooded(tmp_path: Path) -> None:
    """400 connections to each address of a process that may open 512 files."""
    with Processes() as processes:
        data = tmp_path / "data"
        data.mkdir(mode=0o700)
        world = World(tmp_path, data, processes)
        running = world.sidecar("--grpc-listen=127.0.0.1:0", "--console=false", under=FEW_DESCRIPTORS)
        api, rpc = [
            (await asyncio.to_thread(running.wait_for, event))["port"] for event in ("api_listening", "grpc_listening")
        ]
        held = [await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port)) for port in (api, rpc) * 400]
        try:
            async with world.kong() as node:
                assert all(await asyncio.gather(*(node.log(429) for _ in range(20))))
            async with http_client() as client:
                assert (await client.get(f"http://127.0.0.1:{api}/readyz")).status_code == 200
                assert (await client.get(f"http://127.0.0.1:{api}/")).status_code == 404, "the console is off"
            async with grpc.aio.insecure_channel(f"127.0.0.1:{rpc}") as channel:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        finally:
            for each in held:
                each.close()
        raised, scarce = running.wait_for("descriptor_limit_raised"), running.wait_for("descriptors_scarce")
        assert (raised["before"], raised["limit"], scarce["rest"], scarce["grpc"]) == (256, 512, 64, 16)
        assert {line["setting"] for line in running.lines("api_connections_limited")} == {"listen", "grpc_listen"}


@pytest.mark.long
async def test_a_reload_swaps_the_certificate_and_a_broken_one_does_not(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    file, first, second = Pair(str(tmp_path / "api.pem"), str(tmp_path / "api.key")), *map(authority.signed, "12")

    def put(pair: Pair) -> None:
        for given, used in zip(pair, file, strict=True):
            shutil.copy(given, used)

    def served(port: int) -> str:
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            authority.client().wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            return str(dict(entry[0] for entry in secure.getpeercert()["subject"])["commonName"])

    put(first)
    with Processes() as processes:
        data = tmp_path / "data"
        data.mkdir(mode=0o700)
        running = World(tmp_path, data, processes).sidecar(f"--api-tls-cert={file.cert}", f"--api-tls-key={file.key}")
        listening = await asyncio.to_thread(running.wait_for, "api_listening")
        assert (listening["tls"], served(listening["port"])) == (True, "1")
        environment = {
            "KONG_EVENTHOOKS_LISTEN": f"127.0.0.1:{listening['port']}",
            "KONG_EVENTHOOKS_API_TLS_CERT": file.cert,
            "KONG_EVENTHOOKS_API_TLS_KEY": file.key,
            "KONG_EVENTHOOKS_DATA_DIR": str(data),
        }
        for command in (["health", "--ready"], ["hooks", "list"]):
            result = await asyncio.to_thread(CliRunner().invoke, cli, command, env=environment)
            assert result.exit_code == 0, result.output
        examined = await asyncio.to_thread(CliRunner().invoke, cli, ["doctor"], env=environment)
        assert f"ok    sidecar    https://127.0.0.1:{listening['port']}: ready" in examined.output
        put(Pair(second.cert, first.key))
        running.signal(signal.SIGHUP)
        refused = await asyncio.to_thread(running.wait_for, "settings_invalid")
        assert "is not the key of the certificate" in refused["error"]
        await asyncio.to_thread(running.wait_for, "replacement_worker_failed")
        assert served(listening["port"]) == "1"
        put(second)
        running.signal(signal.SIGHUP)
        listening = await asyncio.to_thread(running.wait_for, "api_listening", 2)
        assert served(listening["port"]) == "2"
