"""Carries bytes between gRPC's clients and gRPC's server, which listens on a unix socket that nobody else can reach.

gRPC for Python accepts by itself. It can refuse one connection too many (``max_allowed_incoming_connections``), but not
close an idle one for it, so that whoever holds the connections locks everybody out; and its TLS is another library,
with settings of its own. So ``api.transport`` accepts, as for REST, and the bytes pass through here.

Limits: a side that is not read pauses the other (asyncio's 64 KiB). A connection takes three descriptors.
"""

import asyncio
import os
import secrets
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast


class _Side(asyncio.Protocol):
    """One of a relay's two connections. Until it has the other, what arrives waits, and no more is read."""

    def __init__(self, begin: "Callable[[_Side], None] | None" = None) -> None:
        self._begin = begin
        self._transport: asyncio.Transport | None = None
        self._other: _Side | None = None
        self._waiting: list[bytes] = []
        self._full = False

    def join(self, other: "_Side") -> None:
        self._other = other
        if not self._open:
            other.close()
            return
        for data in self._waiting:
            other.write(data)
        self._waiting.clear()
        if not other._full:  # noqa: SLF001 - the same class
            self.read()

    def read(self) -> None:
        if self._transport is not None and self._open:
            self._transport.resume_reading()

    def pause(self) -> None:
        if self._transport is not None and self._open:
            self._transport.pause_reading()

    def write(self, data: bytes) -> None:
        if self._transport is not None and self._open:
            self._transport.write(data)

    def close(self) -> None:
        """Close after what is pending has been sent."""
        if self._transport is not None:
            self._transport.close()

    @property
    def _open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._begin is not None:
            self._begin(self)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._waiting.append(data)
            self.pause()
        else:
            self._other.write(data)

    def pause_writing(self) -> None:
        self._full = True
        if self._other is not None:
            self._other.pause()

    def resume_writing(self) -> None:
        self._full = False
        if self._other is not None:
            self._other.read()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._other is not None:
            self._other.close()


class Relay:
    """Have gRPC listen on ``target``, then ``open`` this; ``close`` it after gRPC has stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = tempfile.mkdtemp(prefix=".grpc-", dir=folder)  # mode 0700
        # By its descriptor: a socket's path has at most 107 bytes.
        self._directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.target = f"unix:/proc/self/fd/{self._directory}/s"
        self._socket: int | None = None
        self._joining: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Keep the socket and remove its path: from now on this process alone can connect."""
        self._socket = os.open("s", os.O_PATH | os.O_CLOEXEC, dir_fd=self._directory)
        os.unlink("s", dir_fd=self._directory)
        self._remove_folder()

    def close(self) -> None:
        if self._socket is None:
            self._remove_folder()
        else:
            os.close(self._socket)

    def protocol(self) -> tuple[asyncio.Protocol, str]:
        """Return the protocol of a new client, and what its calls have as ``peer``."""
        name = secrets.token_hex(16)
        return _Side(lambda client: self._join(client, name)), f"unix-abstract:{name}"

    def _join(self, client: _Side, name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(client, name))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _connect(self, client: _Side, name: str) -> None:
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.setblocking(False)
            upstream.bind(f"\0{name}")
            upstream.connect(f"/proc/self/fd/{self._socket}")
            loop = asyncio.get_running_loop()
            # Nothing may close it before this returns: uvloop would close its descriptor twice.
            _, side = await loop.create_unix_connection(_Side, sock=upstream)
        except OSError:  # gRPC has stopped
            upstream.close()
            client.close()
        else:
            side.join(client)
            client.join(side)

    def _remove_folder(self) -> None:
        os.close(self._directory)
        Path(self._folder).rmdir()
