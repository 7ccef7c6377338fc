"""Names to addresses, in threads of our own.

``getaddrinfo`` blocks for as long as a name server takes. The loop's own pool has few threads (uvloop's has four)
and serves files and the store as well, so a few dead name servers would stall everything; here they stall
each other at the worst.

Limits: ``THREADS`` look-ups at once, further ones wait (and their attempt's time runs); at most ``ADDRESSES``
addresses of a name are tried.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

THREADS = 16
ADDRESSES = 8


class ThreadedNames(AbstractResolver):
    """aiohttp's resolver over the system's ``getaddrinfo``."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``; raises ``OSError`` where there are none."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pool, _look_up, host, port, family)
        return found[:ADDRESSES]

    async def close(self) -> None:
        """Let the threads end when their look-ups do."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    return [
        ResolveResult(
            hostname=host, host=str(address[0]), port=int(address[1]), family=found, proto=protocol, flags=numeric
        )
        for found, _, protocol, _, address in infos
    ]
