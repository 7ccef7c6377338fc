"""The real sidecar as real processes, started with next to no environment as Kong does, under a played Kong's calls.

What counts as kept is read from the store afterwards: each request that Kong reported must be there, once.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.cli import store_file
from kong_eventhooks_plugin.kong.supervisor.sockets import is_served
from tests.kong_node.answers import change
from tests.kong_node.msgpack_kong import MsgpackKong
from tests.kong_node.node import CRUD, LOG, KongNode, request_log
from tests.support.admin_node import AdminNode
from tests.support.http import http_client
from tests.support.processes import (
    PATIENT,
    Processes,
    Running,
    is_alive,
    kill_while_all_are_held,
    stop_while_all_are_held,
)
from tests.support.waiting import SECONDS, until

HOOKS = {
    "hooks": [{"name": "told", "source": "rate-limiting", "handler": "log"}],
    "__plugin_id": "7d2a4c1e-0000-4000-8000-000000000001",  # Kong always says whose configuration it is
}
PER_SECOND = 200
AT_ONCE = 200
"""Where the machine is too slow for the rate, calls come more slowly."""
CHANGES = 200


MEMORY = Path("/dev/shm")
"""Where the stores are: a worker whose disk stalls serves before its store is open, and counts what it loses."""


class World:
    """One machine: a socket's path and a store; sidecars and Kongs on them."""

    def __init__(self, directory: Path, data: Path, processes: Processes) -> None:
        self.path = directory / "plugin.sock"
        self.data = data
        self._processes = processes

    def sidecar(self, *flags: str, under: Sequence[str] = ()) -> Running:
        """Start a sidecar, ``under`` a command; its worker is waited for by whoever needs it."""
        command = [*under, sys.executable, "-P", "-m", "kong_eventhooks_plugin", "serve"]
        settings = [
            f"--socket-path={self.path}",
            f"--data-dir={self.data}",
            "--listen=127.0.0.1:0",
            "--log-format=json",
            f"--drain-seconds={SECONDS}",
        ]
        return self._processes.run([*command, *settings, *flags], PATIENT)

    def kong(self) -> KongNode:
        node = KongNode(self.path)
        node.configure(LOG, HOOKS)
        node.configure(CRUD)
        return node

    async def kept(self) -> list[str]:
        """Return the request of every event in the store, sorted."""
        return sorted(await asyncio.to_thread(self._kept))

    def _kept(self) -> list[str]:
        return [data["request"]["id"] for data in self.data_of_kept()]

    def data_of_kept(self) -> Iterator[dict[str, Any]]:
        """Yield the data of every event in the store."""
        offset: str | None = None
        while True:
            page = store_file.deliveries(self.data, None, {}, 1000, offset)
            for delivery in page["data"]:
                yield store_file.delivery(self.data, delivery["id"])["data"]
            offset = page["offset"]
            if offset is None:
                return


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as data, Processes() as processes:
        yield World(tmp_path, Path(data), processes)


class Calls:
    """Requests that a Kong reports, at a steady rate, while the block runs; all are answered when it has ended."""

    def __init__(self, report: Callable[[str], Any]) -> None:
        self._report = report
        self.sent: list[str] = []
        self.answered: list[str] = []
        self._changed = asyncio.Event()
        self._free = asyncio.Semaphore(AT_ONCE)

    async def _one(self, request_id: str) -> None:
        try:
            if await self._report(request_id):
                self.answered.append(request_id)
                self._changed.set()
        finally:
            self._free.release()

    async def _pace(self, over: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as calls:
            while not over.is_set():
                await self._free.acquire()
                self.sent.append(uuid.uuid4().hex)
                calls.create_task(self._one(self.sent[-1]))
                due += 1 / PER_SECOND
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), max(0.0, due - loop.time()))

    async def more(self, count: int) -> None:
        """Wait until ``count`` more have been answered."""
        goal = len(self.answered) + count
        async with asyncio.timeout(SECONDS):
            while len(self.answered) < goal:
                self._changed.clear()
                await self._changed.wait()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Calls"]:
        over = asyncio.Event()
        pace = asyncio.create_task(self._pace(over))
        try:
            yield self
        finally:
            over.set()
            await pace


def reporting(node: KongNode) -> Callable[[str], Any]:
    return lambda request_id: node.log(log=request_log(request_id=request_id))


async def waited(ask: Callable[[], Any], what: str) -> Any:
    """Wait for another process without holding up the Kong that runs here."""
    return await asyncio.to_thread(until, ask, what)


async def ready(sidecar: Running, count: int = 1) -> int:
    """Wait for the ``count``th worker to be ready; return its process id."""
    line = await asyncio.to_thread(sidecar.wait_for, "worker_ready", count)
    return int(line["pid"])


@pytest.mark.long
async def test_a_worker_killed_under_load_loses_no_call(world: World) -> None:
    sidecar = world.sidecar()
    worker = await ready(sidecar)
    async with world.kong() as node, Calls(reporting(node)).running() as calls:
        for killed in range(3):
            await calls.more(100)
            await asyncio.to_thread(kill_while_all_are_held, worker, sidecar.pid, world.path)
            worker = await ready(sidecar, killed + 2)
        await calls.more(100)
    assert node.played.lost == []
    assert len(calls.answered) == len(calls.sent)
    sidecar.signal(signal.SIGTERM)
    assert await asyncio.to_thread(sidecar.wait) == 0
    assert await world.kept() == sorted(calls.sent)


@pytest.mark.long
async def test_a_worker_that_stands_still_under_load_is_replaced_and_loses_no_call(world: World) -> None:
    sidecar = world.sidecar("--watchdog-seconds=1")
    worker = await ready(sidecar)
    async with world.kong() as node, Calls(reporting(node)).running() as calls:
        await calls.more(100)
        await asyncio.to_thread(stop_while_all_are_held, worker, sidecar.pid, world.path)
        await ready(sidecar, 2)
        await calls.more(100)
        port = (await asyncio.to_thread(sidecar.wait_for, "api_listening", 2))["port"]
        async with http_client(f"http://127.0.0.1:{port}") as client:
            readiness, metrics = (await client.get("/readyz")).json(), (await client.get("/metrics")).text
    assert node.played.lost == []
    assert len(calls.answered) == len(calls.sent)
    assert readiness["status"] == "degraded"
    assert any("a worker did not answer and was replaced" in error for error in readiness["errors"])
    assert 'kong_event_hooks_worker_restarts_total{reason="unresponsive"} 1.0' in metrics
    assert [line["pid"] for line in sidecar.lines("worker_killed")] == [worker]
    sidecar.signal(signal.SIGTERM)
    assert await asyncio.to_thread(sidecar.wait) == 0
    assert await world.kept() == sorted(calls.sent)


@pytest.mark.long
async def test_a_reload_under_load_loses_no_call(world: World) -> None:
    sidecar = world.sidecar()
    await ready(sidecar)
    async with world.kong() as node, Calls(reporting(node)).running() as calls:
        await calls.more(100)
        sidecar.signal(signal.SIGHUP)
        await asyncio.to_thread(sidecar.wait_for, "worker_exited")
        await calls.more(100)
    assert node.played.lost == []
    assert len(calls.answered) == len(calls.sent)
    sidecar.signal(signal.SIGTERM)
    assert await asyncio.to_thread(sidecar.wait) == 0
    assert await world.kept() == sorted(calls.sent)


@pytest.mark.long
async def test_a_take_over_under_load_loses_no_call(world: World) -> None:
    old = world.sidecar("--started-by-kong")
    await ready(old)
    async with world.kong() as node, Calls(reporting(node)).running() as calls:
        await calls.more(100)
        new = world.sidecar("--started-by-kong")
        await ready(new)
        await asyncio.to_thread(old.wait_for, "socket_taken_over")
        await calls.more(100)
        old.signal(signal.SIGTERM)
        assert await asyncio.to_thread(old.wait) == 0
        await calls.more(100)
        assert world.path.is_socket()
    assert node.played.lost == []
    assert len(calls.answered) == len(calls.sent)
    new.signal(signal.SIGTERM)
    assert await asyncio.to_thread(new.wait) == 0
    assert not world.path.exists()
    assert await world.kept() == sorted(calls.sent)


@pytest.mark.long
async def test_one_that_cannot_serve_takes_nothing_over(world: World) -> None:
    """Kong starts it again and again: each time the socket would be without anybody for seconds."""
    old = world.sidecar("--started-by-kong")
    await ready(old)
    inode = world.path.stat().st_ino
    new = world.sidecar("--started-by-kong", "--deny-cidrs=10.0.0.1/8")
    assert await asyncio.to_thread(new.wait) == 2
    assert "deny_cidrs" in new.output[-1]
    assert world.path.stat().st_ino == inode
    async with world.kong() as node:
        assert await node.log()


@pytest.mark.long
async def test_after_a_restart_the_plugins_are_not_taken_for_each_other(world: World) -> None:
    """The crud route calls first after the restart: an id that counts anew would hand it the other's events."""
    sidecar = world.sidecar()
    worker = await ready(sidecar)
    async with world.kong() as node:
        assert await node.log(log=request_log(request_id="before"))
        assert await node.respond()
        os.kill(worker, signal.SIGKILL)
        await ready(sidecar, 2)
        assert await node.respond()
        assert await node.log(log=request_log(request_id="after"))
        assert node.played.lost == []
    sidecar.signal(signal.SIGTERM)
    assert await asyncio.to_thread(sidecar.wait) == 0
    assert await world.kept() == ["after", "before"]


@pytest.mark.long
async def test_what_was_answered_before_a_stop_is_kept(world: World) -> None:
    sidecar = world.sidecar()
    worker = await ready(sidecar)
    async with world.kong() as node, Calls(reporting(node)).running() as calls:
        await calls.more(100)
        sidecar.signal(signal.SIGTERM)
        assert await asyncio.to_thread(sidecar.wait) == 0
    assert sidecar.lines("worker_exited")[0]["killed"] is False
    assert sidecar.lines("worker_exited")[0]["exit_code"] == 0
    assert not is_alive(worker)
    assert not world.path.exists()
    kept = await world.kept()
    assert len(kept) == len(set(kept))
    assert set(calls.answered) <= set(kept)


@pytest.mark.long
async def test_what_the_route_saw_before_a_stop_is_published_with_who_did_it(world: World) -> None:
    def written(number: int) -> dict[str, Any]:
        body = json.dumps({"id": str(uuid.UUID(int=number)), "username": f"c{number}"}).encode()
        return change(body=body, request_id=f"{number:032x}", started_at=time.time())

    hooks = {**HOOKS, "hooks": [{"name": "changes", "source": "dao:crud", "handler": "log"}]}
    async with AdminNode() as admin, world.kong() as node:
        node.configure(LOG, hooks)
        sidecar = world.sidecar(f"--admin-url={admin.url}", "--crud-reconcile-seconds=3600", "--log-level=debug")
        await ready(sidecar)
        await node.log()  # it brings the hook
        await asyncio.to_thread(sidecar.wait_for, "reconciliation_finished")
        assert all(await asyncio.gather(*(node.respond(written(number)) for number in range(CHANGES))))
        sidecar.signal(signal.SIGTERM)
        assert await asyncio.to_thread(sidecar.wait) == 0
    events = await asyncio.to_thread(lambda: [data["actor"]["request_id"] for data in world.data_of_kept()])
    assert sorted(events) == [f"{number:032x}" for number in range(CHANGES)]


@pytest.mark.long
async def test_a_second_stand_alone_sidecar_is_refused_and_the_first_serves_on(world: World) -> None:
    first = world.sidecar()
    await ready(first)
    second = world.sidecar()
    assert await asyncio.to_thread(second.wait) == 2
    assert f"process {first.pid} already listens there" in second.output[-1]
    async with world.kong() as node:
        assert await node.log()


async def test_a_store_that_cannot_be_opened_says_why_and_a_stop_is_a_stop(world: World) -> None:
    await asyncio.to_thread((world.data / "events.db").write_bytes, b"dear diary, " * 100)
    sidecar = world.sidecar()
    line = await asyncio.to_thread(sidecar.wait_for, "api_listening")
    async with http_client(f"http://127.0.0.1:{line['port']}") as client:
        assert (await client.get("/readyz")).json()["store"].endswith("is not an SQLite file; choose another")
    sidecar.signal(signal.SIGTERM)
    assert await asyncio.to_thread(sidecar.wait) == 0
    (note,) = world.data.glob("listening-*.json")
    assert json.loads(note.read_bytes().rstrip(b"\0"))["state"] == "stopped"


@pytest.mark.long
async def test_the_worker_leaves_when_its_supervisor_is_killed(world: World) -> None:
    """Its successor starts while it still waits for an endpoint."""
    sidecar = world.sidecar()
    worker = await ready(sidecar)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/"}
        hook = {"name": "told", "source": "rate-limiting", "handler": "webhook", "handler_config": config}
        async with world.kong() as node:
            node.configure(LOG, HOOKS | {"hooks": [hook]})
            assert await node.log()
        peer, _ = await asyncio.to_thread(silent.accept)
        sidecar.signal(signal.SIGKILL)
        await waited(lambda: not is_served(world.path), "the path is free")
        again = world.sidecar()
        await ready(again)
        assert is_alive(worker)
        peer.close()
    await waited(lambda: not is_alive(worker), "the worker's end")
    async with world.kong() as node:
        assert await node.log()
    line = await asyncio.to_thread(again.wait_for, "socket_unserved")
    assert line["ended"] == "supervisor killed"
    assert 0 < line["seconds"] < SECONDS
    async with http_client(f"http://127.0.0.1:{again.lines('api_listening')[0]['port']}") as client:
        readiness = (await client.get("/readyz")).json()
        assert readiness["status"] == "degraded"
        assert "nobody listened on" in readiness["errors"][0]
        assert readiness["socket"]["outage"]["ended"] == "supervisor killed"
        assert 'socket_unserved_seconds{ended="supervisor killed"}' in (await client.get("/metrics")).text


@pytest.mark.long
async def test_over_msgpack_it_serves_and_comes_back(world: World) -> None:
    """Kong does not repeat a call over this protocol, so what a killed worker was asked is not asked for here."""
    sidecar = world.sidecar("--protocol=msgpack")
    worker = await ready(sidecar)

    def answers(request_id: str) -> Callable[[str, list[Any]], Any]:
        found = {"kong.response.get_status": 429, "kong.log.serialize": json.dumps(request_log(request_id=request_id))}
        return lambda name, _arguments: found.get(name)

    async with MsgpackKong(world.path) as kong:
        await kong.run_phase(LOG, "log", answers("before"), HOOKS)
        await kong.run_phase(CRUD, "response", answers("-"))
        os.kill(worker, signal.SIGKILL)
        await ready(sidecar, 2)
        kong.forget_connections()
        await kong.run_phase(CRUD, "response", answers("-"))
        await kong.run_phase(LOG, "log", answers("after"), HOOKS)
        assert kong.errors == []
    sidecar.signal(signal.SIGTERM)
    assert await asyncio.to_thread(sidecar.wait) == 0
    assert await world.kept() == ["after", "before"]


def only_child(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


@pytest.mark.long
async def test_a_log_that_nobody_reads_any_more_ends_nobody(world: World) -> None:
    """Kong's process held the other end of our output, and crashed."""
    reader, writer = os.pipe()
    command = [sys.executable, "-P", "-m", "kong_eventhooks_plugin", "serve", f"--socket-path={world.path}"]
    sidecar = await asyncio.create_subprocess_exec(
        *command, f"--data-dir={world.data}", "--listen=127.0.0.1:0", stdout=writer, stderr=writer, env=PATIENT
    )
    os.close(writer)
    try:
        kong = world.kong()
        await waited(world.path.is_socket, "the socket")
        assert await kong.log(log=request_log(request_id="before"))
        os.close(reader)
        os.kill(only_child(sidecar.pid), signal.SIGKILL)
        assert await kong.log(log=request_log(request_id="after"))
        sidecar.terminate()
        assert await asyncio.wait_for(sidecar.wait(), SECONDS) == 0
        assert await world.kept() == ["after", "before"]
    finally:
        if sidecar.returncode is None:
            sidecar.kill()
            await sidecar.wait()
