"""Names to addresses, in threads of our own.

``getaddrinfo`` blocks for as long as a name server takes, half a minute and more. The loop's own pool has few threads
(uvloop's has four) and serves others too, so a few dead name servers would stall everything; here they stall each
other at the worst. The threads are daemons: a process that ends does not wait for a name server.

Limits: ``THREADS`` look-ups at once; further ones wait, and their attempt's time runs. aiohttp asks once for a host
however many attempts want it, so at most as many wait as there are hosts. ``ADDRESSES`` of a name are tried at most.
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
        """Return the addresses of ``host``; raises ``OSError`` where there are none."""
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
        """Have the threads end when their look-ups do."""
        for _ in range(self._threads):
            self._waiting.put(None)
        self._threads = 0


def _serve(waiting: "queue.SimpleQueue[_LookUp | None]") -> None:
    while (wanted := waiting.get()) is not None:
        found = _found(wanted)
        # A loop that has been closed meanwhile wants no answer.
        with contextlib.suppress(RuntimeError):
            wanted.answer.get_loop().call_soon_threadsafe(_resolve_future, wanted.answer, found)


def _found(wanted: _LookUp) -> list[ResolveResult] | OSError:
    try:
        return _look_up(wanted)
    except OSError as error:
        return error
    except ValueError:
        return OSError(f"{socket.EAI_NONAME}: a name that cannot be encoded")


def _look_up(wanted: _LookUp) -> list[ResolveResult]:
    infos = socket.getaddrinfo(wanted.host, wanted.port, wanted.family, socket.SOCK_STREAM)
    return [
        ResolveResult(
            hostname=wanted.host, host=str(address[0]), port=int(address[1]), family=family, proto=proto, flags=_NUMERIC
        )
        for family, _, proto, _, address in infos
    ]


def _resolve_future(answer: "asyncio.Future[list[ResolveResult]]", found: list[ResolveResult] | OSError) -> None:
    if answer.done():
        return
    if isinstance(found, OSError):
        answer.set_exception(found)
    else:
        answer.set_result(found)
