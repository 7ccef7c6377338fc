"""An upstream and a steady client of Kong's proxy in one process: ``python proxied.py KONG_PORT PATH RATE FILE``.

Prints the upstream's port, waits for a line on its input, then sends ``RATE`` requests a second over ``CONNECTIONS``
kept connections until its input ends. A request's time counts from when it was due, so one that waits for a free
connection has waited. Each is a line in FILE: when it was due (Unix seconds), its milliseconds, its status.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

CONNECTIONS = 16


class Upstream(asyncio.Protocol):
    """Answers 200 to every request."""

    def connection_made(self, transport: Any) -> None:
        """Keep what to answer on."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request: they have no bodies."""
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" * data.count(b"\r\n\r\n"))


async def client(port: int, path: str, due: "asyncio.Queue[float]", found: list[str]) -> None:
    """Send a request over one connection whenever one is due."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    while True:
        at = await due.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        found.append(f"{at:.4f} {(time.time() - at) * 1000:.2f} {head[9:12].decode()}")


async def main(port: int, path: str, rate: float) -> list[str]:
    """Run both; return the lines."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    if not await loop.run_in_executor(None, sys.stdin.readline):
        return []
    due: asyncio.Queue[float] = asyncio.Queue()
    found: list[str] = []
    clients = [asyncio.create_task(client(port, path, due, found)) for _ in range(CONNECTIONS)]
    over = loop.run_in_executor(None, sys.stdin.read)
    at = time.time()
    while not over.done():
        at += 1 / rate
        await asyncio.sleep(at - time.time())
        due.put_nowait(at)
    for each in clients:
        if each.done():
            each.result()
        each.cancel()
    return found


if __name__ == "__main__":
    lines = uvloop.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
    Path(sys.argv[4]).write_text("\n".join(lines))
