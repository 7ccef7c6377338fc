"""A worker with a trivial protocol, for tests of the supervisor: a line ``<id>`` is answered ``<id> <pid>``.

``slow <id>`` is answered only once draining has begun, so that a test can have a call in flight then.
``tell`` is answered with what the link has told. ``--die SECONDS`` ends the worker with ``--code`` after
that time without ever being ready; ``--stubborn`` ignores the request to drain; ``--queue`` is the length that
its server gives to listen(2) on the shared socket.
"""

import argparse
import asyncio
import os
import socket
import sys

from kong_eventhooks_plugin.pluginserver.sockets import BACKLOG
from kong_eventhooks_plugin.pluginserver.worker_link import WorkerLink


class Stub:
    def __init__(self, link: WorkerLink) -> None:
        self.link = link
        self.busy = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while line := await reader.readline():
                self.busy += 1
                self.idle.clear()
                writer.write(await self.answer(line.decode().strip()))
                await writer.drain()
                self.busy -= 1
                if not self.busy:
                    self.idle.set()
        except ConnectionError:
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def answer(self, call: str) -> bytes:
        if call.startswith("slow "):
            await self.link.drain.wait()
            call = call.removeprefix("slow ")
        if call == "tell":
            return f"taken_over={self.link.taken_over.is_set()} {os.getpid()}\n".encode()
        return f"{call} {os.getpid()}\n".encode()


async def main(options: argparse.Namespace) -> int:
    if options.die is not None:
        await asyncio.sleep(options.die)
        return int(options.code)
    link = WorkerLink(options.link)
    stub = Stub(link)
    server = await asyncio.start_unix_server(stub.serve, sock=socket.socket(fileno=options.fd), backlog=options.queue)
    link.ready()
    await link.drain.wait()
    if options.stubborn:
        await asyncio.Event().wait()
    server.close()
    await stub.idle.wait()
    for writer in list(stub.writers):
        writer.close()
    link.close()
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--link", type=int, required=True)
    parser.add_argument("--die", type=float)
    parser.add_argument("--code", type=int, default=1)
    parser.add_argument("--queue", type=int, default=BACKLOG)
    parser.add_argument("--stubborn", action="store_true")
    sys.exit(asyncio.run(main(parser.parse_args())))
