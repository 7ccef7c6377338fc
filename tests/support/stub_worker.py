"""A worker with a trivial protocol, for tests of the supervisor: a line ``<id>`` is answered ``<id> <pid>``.

``slow <id>`` is answered only once draining has begun, so that a test can have a call in flight then.
``tell`` is answered with what the link has told. ``--die SECONDS`` ends the worker with ``--code`` after
that time without ever being ready; ``--stubborn`` ignores the request to drain; ``--queue`` is a length that
it gives to listen(2) on the shared socket, as asyncio's own servers do. A call ``hang`` runs the code ``--hang``, which
defines ``hang()``.

With connections it does what the real server does: each is held before its first byte is read, and is marked before
a call is read.
"""

import argparse
import asyncio
import faulthandler
import os
import socket
import sys
from typing import Any

from kong_eventhooks_plugin.kong.plugin_server.worker_link import WorkerLink
from kong_eventhooks_plugin.kong.supervisor.call_marks import IDLE, UNDER_WAY


class Stub:
    def __init__(self, link: WorkerLink, listening: socket.socket, hang: str) -> None:
        self.hang = hang
        self.link = link
        self.listening = listening
        self.open: set[Connection] = set()
        self.tasks: set[asyncio.Task[object]] = set()
        self.changed = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def serve(self) -> None:
        self.listening.setblocking(False)
        self.link.on_adopt(self.adopt)
        self.loop.add_reader(self.listening, self.accept)

    def accept(self) -> None:
        try:
            connection, _ = self.listening.accept()
        except BlockingIOError:  # another worker was faster
            return
        self.adopt(connection)

    def adopt(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        slot = self.link.hold(connection)
        task = self.loop.create_task(self.loop.connect_accepted_socket(lambda: Connection(self, slot), connection))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def drain(self) -> None:
        self.loop.remove_reader(self.listening)
        while self.tasks or any(connection.calls for connection in self.open):
            self.changed.clear()
            await asyncio.wait({asyncio.ensure_future(self.changed.wait()), *self.tasks}, timeout=0.1)
        for connection in list(self.open):
            connection.hand_over()


class Connection(asyncio.BufferedProtocol):
    def __init__(self, stub: Stub, slot: int) -> None:
        self.stub = stub
        self.slot = slot
        self.calls = 0
        self.rest = b""
        self.space = bytearray(4096)
        self.handed_over = False
        self.transport = asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.stub.open.add(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        self.stub.link.marks[self.slot] = UNDER_WAY
        return self.space

    def buffer_updated(self, nbytes: int) -> None:
        *lines, self.rest = (self.rest + self.space[:nbytes]).split(b"\n")
        for line in lines:
            self.calls += 1
            task = self.stub.loop.create_task(self.answer(line.decode()))
            self.stub.tasks.add(task)
            task.add_done_callback(self.stub.tasks.discard)

    async def answer(self, call: str) -> None:
        if call.startswith("slow "):
            await self.stub.link.drain.wait()
            call = call.removeprefix("slow ")
        if call == "hang":
            run: dict[str, Any] = {}
            exec(self.stub.hang, run)  # noqa: S102 - a test's own code
            run["hang"]()
        if call == "tell":
            call = f"taken_over={self.stub.link.taken_over.is_set()}"
        self.transport.write(f"{call} {os.getpid()}\n".encode())
        self.calls -= 1
        if not self.calls and not self.rest:
            self.stub.link.marks[self.slot] = IDLE
        self.stub.changed.set()

    def hand_over(self) -> None:
        self.handed_over = self.stub.link.holds
        if self.handed_over:
            self.stub.link.released(self.slot)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stub.open.discard(self)
        if not self.handed_over:
            self.stub.link.removed(self.slot)
        self.stub.changed.set()


async def main(options: argparse.Namespace) -> int:
    if options.die is not None:
        await asyncio.sleep(options.die)
        return int(options.code)
    listening = socket.socket(fileno=options.fd)
    if options.queue is not None:
        listening.listen(options.queue)
    link = WorkerLink(options.link)
    stub = Stub(link, listening, options.hang)
    stub.serve()
    link.ready()
    await link.drain.wait()
    if options.stubborn:
        await asyncio.Event().wait()
    await stub.drain()
    await asyncio.sleep(0)  # the transports close in the loop's next round
    link.close()
    return 0


if __name__ == "__main__":
    faulthandler.enable()
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--link", type=int, required=True)
    parser.add_argument("--die", type=float)
    parser.add_argument("--code", type=int, default=1)
    parser.add_argument("--queue", type=int)
    parser.add_argument("--stubborn", action="store_true")
    parser.add_argument("--hang", default="")
    sys.exit(asyncio.run(main(parser.parse_args())))
