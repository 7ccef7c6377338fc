"""Nodes for tests: each a real sidecar with a data directory and a machine's name of its own, over one PostgreSQL."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any, Self

import msgspec

from tests.e2e.test_processes import World, ready
from tests.kong_node.node import LOG, KongNode
from tests.support.http import http_client
from tests.support.http_receiver import HttpReceiver
from tests.support.processes import Processes, Running
from tests.support.waiting import SECONDS

AT_ONCE = 16
RENAME = ("sh", "-c", 'hostname "$0" && exec "$@"')


@cache
def machine_of_its_own() -> tuple[str, ...]:
    """Return what runs a command under another host's name; nothing where that is not allowed.

    A node must not see that another's process has exited, as it would on one machine.
    """
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    under = ("unshare", "--uts", *as_root, *RENAME)
    try:
        allowed = subprocess.run([*under, "node", "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    return under if allowed else ()


class Node:
    """``kill`` ends it as a power cut does; ``start`` starts it again over what it has on its disk.

    ``store`` is what nodes share, from the next start on (None: it is on its own), ``flags`` are its other settings.
    """

    def __init__(self, name: str, folder: Path, store: str | None, kong_yml: Path, processes: Processes) -> None:
        (folder / name).mkdir(mode=0o700)
        self.socket = folder / name / "plugin.sock"
        data = folder / name / "data"
        data.mkdir(mode=0o700)
        self._world = World(folder / name, data, processes)
        self.store = store
        self.flags: Sequence[str] = ()
        self._kong_yml = kong_yml
        self._under = (*under, name) if (under := machine_of_its_own()) else ()
        self._closing = AsyncExitStack()
        self.running: Running
        self.worker = 0

    async def start(self) -> None:
        shared = () if self.store is None else (f"--store={self.store}",)
        flags = (*shared, f"--kong-yml={self._kong_yml}", *self.flags)
        self.running = self._world.sidecar(*flags, under=self._under)
        port = (await asyncio.to_thread(self.running.wait_for, "api_listening"))["port"]
        self.worker = await ready(self.running)
        self.client = await self._closing.enter_async_context(http_client(f"http://127.0.0.1:{port}"))

    async def close(self) -> None:
        await self._closing.aclose()

    async def logged(self, event: str) -> dict[str, Any]:
        return await asyncio.to_thread(self.running.wait_for, event)

    async def kill(self) -> None:
        """Kill supervisor and worker at once: a worker that sees its supervisor go leaves in order."""
        worker = self.worker
        os.kill(worker, signal.SIGSTOP)
        for pid in (self.running.pid, worker):
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self.running.wait)

    async def stop(self) -> None:
        """Stop it as an orderly shutdown does."""
        os.kill(self.running.pid, signal.SIGTERM)
        await asyncio.to_thread(self.running.wait)

    def pause(self) -> None:
        """Let supervisor and worker stand still."""
        for pid in (self.running.pid, self.worker):
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in (self.worker, self.running.pid):
            os.kill(pid, signal.SIGCONT)

    def kong(self) -> KongNode:
        node = KongNode(self.socket)
        node.configure(LOG)
        return node

    async def publish(self, numbers: Sequence[int]) -> None:
        """Publish an event with each number, ``AT_ONCE`` at a time; returns when all have been accepted."""
        free = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with free:
                answer = await self.client.post("/events", json={"event": "number", "data": {"number": number}})
            assert answer.status_code == 201, answer.text
            assert answer.json()["undecided"] == (self.store is not None)

        await asyncio.gather(*map(one, numbers))

    async def publish_in_order(self, numbers: Iterable[int]) -> None:
        """Publish one after the other, each once the one before has been accepted."""
        for number in numbers:
            await self.publish([number])

    async def readyz(self) -> dict[str, Any]:
        return dict((await self.client.get("/readyz")).json())

    async def answers(self, path: str, status: int, seconds: float) -> None:
        """Wait until the API answers a GET with this status."""
        async with asyncio.timeout(seconds):
            while True:
                if (await self.client.get(path)).status_code == status:
                    return
                await asyncio.sleep(0.05)

    async def reaches(self, **wanted: Any) -> dict[str, Any]:
        """Wait until /readyz has these values, or values for which these functions are true; return it."""
        async with asyncio.timeout(SECONDS):
            while True:
                state = await self.readyz()
                if all(one(state[key]) if callable(one) else state[key] == one for key, one in wanted.items()):
                    return state
                await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """Wait until nothing waits: neither in this node's spool nor in the store."""
        await self.reaches(
            spool=lambda spool: spool.get("events") == 0,
            queue=lambda queue: queue and not any(queue["deliveries"].get(state) for state in ("pending", "leased")),
        )


class Nodes:
    """``async with Nodes(folder, store, receiver) as nodes``: ``start`` makes one."""

    def __init__(self, folder: Path, store: str, receiver: HttpReceiver) -> None:
        self._folder = folder
        self._store = store
        self._kong_yml = folder / "kong.yml"
        self._kong_yml.write_bytes(msgspec.json.encode(declarations(receiver.url)))
        self._processes = Processes()
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._processes.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()
        await asyncio.to_thread(self._processes.__exit__)

    async def start(self, name: str, declared: Mapping[str, Any] | None = None, *flags: str) -> Node:
        """``declared`` is what its kong.yml has, where that is another than all nodes'; ``flags`` are more settings."""
        kong_yml = self._kong_yml
        if declared is not None:
            kong_yml = self._folder / f"{name}.yml"
            kong_yml.write_bytes(msgspec.json.encode(declared))
        node = Node(name, self._folder, self._store, kong_yml, self._processes)
        node.flags = flags
        self._closing.push_async_callback(node.close)
        await node.start()
        return node


def declarations(url: str) -> dict[str, Any]:
    """Return a kong.yml: one hook for what is published, one for exceeded rate limits."""
    hooks = [
        {"name": name, "source": source, "handler": "webhook", "handler_config": {"url": url}}
        for name, source in (("numbers", "custom"), ("limits", "rate-limiting"))
    ]
    return kong_yml_of(hooks)


def kong_yml_of(hooks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"_format_version": "3.0", "plugins": [{"name": LOG, "config": {"hooks": hooks}}]}
