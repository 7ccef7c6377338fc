"""Kong's calls have their turn however many call the API: in one turn of the event loop, one call of the API begins.

What a call does between two of its waits is one piece of the loop's time. Without this, 64 of them would come one after
the other, and each of the dozen turns that a call of Kong's takes would last as long.

Limit: each waiting call is one of a connection's (REST) or of the server's limit on calls (gRPC).
"""

import asyncio
from collections import deque


class Turns:
    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    def turn(self) -> asyncio.Future[None] | None:
        """Return what ends when the turn has come; first come, first served. None: no other call has this one."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._take(loop)
            return None
        mine = loop.create_future()
        self._waiting.append(mine)
        return mine

    def _take(self, loop: asyncio.AbstractEventLoop) -> None:
        self._taken = True
        loop.call_soon(self._next)

    def _next(self) -> None:
        self._taken = False
        while self._waiting:
            mine = self._waiting.popleft()
            if not mine.done():  # else its caller has left
                self._take(asyncio.get_running_loop())
                mine.set_result(None)
                return
