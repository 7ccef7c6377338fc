"""Resolves names to addresses, in threads of its own.

``getaddrinfo`` blocks for as long as a name server takes, half a minute and more. The loop's own pool has few threads
(uvloop's has four) and serves others too, so a few dead name servers would stall everything; here they stall only
each other. The threads are daemons: a process that exits does not wait for a name server.

Limits: ``THREADS`` look-ups at once; further ones wait, and their attempt's time runs. aiohttp resolves a host once
however many attempts need it, so at most as many wait as there are hosts. At most ``ADDRESSES`` of a name are dialled.
"""

import asyncio
import contextlib
import queue
import socket
import threading
from typing import NamedTuple

from aiohttp.abc import AbstractResolver, ResolveResult

THREADS = 16
ADDRESSES = 8

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class _LookUp(NamedTuple):
    host: str
    port: int
    family: socket.AddressFamily
    answer: "asyncio.Future[list[ResolveResult]]"


class ThreadedNames(AbstractResolver):
    """aiohttp's resolver over the system's ``getaddrinfo``. Threads start as they are needed."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_LookUp | None] = queue.SimpleQueue()
        self._threads = 0
        self._under_way = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer: asyncio.Future[list[ResolveResult]] = asyncio.get_running_loop().create_future()
        self._under_way += 1
        if self._threads < min(self._under_way, THREADS):
            self._threads += 1
            threading.Thread(target=_serve, args=(self._waiting,), name="names", daemon=True).start()
        self._waiting.put(_LookUp(host, port, family, answer))
        try:
            return (await answer)[:ADDRESSES]
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """End each thread after its look-up."""
        for _ in range(self._threads):
            self._waiting.put(None)
        self._threads = 0


def _serve(waiting: "queue.SimpleQueue[_LookUp | None]") -> None:
    while (look_up := waiting.get()) is not None:
        result = _resolve(look_up)
        # The loop may have been closed meanwhile.
        with contextlib.suppress(RuntimeError):
            look_up.answer.get_loop().call_soon_threadsafe(_complete, look_up.answer, result)


def _resolve(look_up: _LookUp) -> list[ResolveResult] | OSError:
    try:
        infos = socket.getaddrinfo(look_up.host, look_up.port, look_up.family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    except ValueError:
        return OSError(f"{socket.EAI_NONAME}: a name that cannot be encoded")
    return [
        ResolveResult(hostname=look_up.host, host=str(host), port=int(port), family=family, proto=proto, flags=_NUMERIC)
        for family, _, proto, _, (host, port, *_) in infos
    ]


def _complete(answer: "asyncio.Future[list[ResolveResult]]", result: list[ResolveResult] | OSError) -> None:
    if answer.done():
        return
    if isinstance(result, OSError):
        answer.set_exception(result)
    else:
        answer.set_result(result)
