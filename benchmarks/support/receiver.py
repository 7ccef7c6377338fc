"""A receiver that keeps what arrives, in a process of its own: ``receiver.py FILE PORT... [hang]``; prints its ports.

Each POST is a line in FILE, written before the answer: when (Unix seconds), its webhook-id, and its event's key, the
first ``id`` or ``custom_id`` in the body of 32 hex digits. A ping has none and is left out. ``hang``: it reads and
never answers.

A signal changes how it answers from then on:

=========  ================================================================
SIGUSR1    a reset of the connection, before any answer
SIGUSR2    informational answers without end, and never the final one
SIGHUP     200, as in the beginning
=========  ================================================================
"""

import asyncio
import os
import re
import signal
import socket
import struct
import sys
import time
from typing import Any

import uvloop

KEY = re.compile(rb'"(?:custom_)?id":"([0-9a-f]{32})"')
WEBHOOK_ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
ENDLESS = b"HTTP/1.1 100 Continue\r\nx-more: to come\r\n\r\n" * 100
RESET = struct.pack("ii", 1, 0)


class Receive(asyncio.Protocol):
    """One connection."""

    def __init__(self, file: int, mode: list[signal.Signals | str]) -> None:
        self.file, self.mode, self.had = file, mode, b""

    def connection_made(self, transport: Any) -> None:
        """Keep what to answer on."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take whole requests."""
        self.had += data
        while (end := self.had.find(b"\r\n\r\n")) >= 0:
            head = self.had[:end]
            length = LENGTH.search(head)
            whole = end + 4 + (0 if length is None else int(length[1]))
            if len(self.had) < whole:
                return
            self.take(head, self.had[end + 4 : whole])
            self.had = self.had[whole:]

    def take(self, head: bytes, body: bytes) -> None:
        """Write the line, then answer."""
        key, webhook_id = KEY.search(body), WEBHOOK_ID.search(head)
        if key is not None and webhook_id is not None:
            os.write(self.file, b"%.6f %s %s\n" % (time.time(), webhook_id[1], key[1]))
        if self.mode == [signal.SIGHUP]:
            self.transport.write(OK)
        elif self.mode == [signal.SIGUSR1]:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()
        elif self.mode == [signal.SIGUSR2]:
            self.more()

    def more(self) -> None:
        """Send what never ends."""
        if not self.transport.is_closing():
            self.transport.write(ENDLESS)
            asyncio.get_running_loop().call_later(0.01, self.more)


async def main(path: str, ports: list[int], *, hang: bool) -> None:
    """Listen until killed."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    loop, mode = asyncio.get_running_loop(), ["hang" if hang else signal.SIGHUP]
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(number, mode.__setitem__, 0, number)
    servers = [await loop.create_server(lambda: Receive(file, mode), "127.0.0.1", port) for port in ports]
    print(*[server.sockets[0].getsockname()[1] for server in servers], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[2:] if word.isdigit()]
    uvloop.run(main(sys.argv[1], numbers, hang="hang" in sys.argv))
