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
        self._going_on = False

    async def turn(self) -> None:
        """Wait for a turn; first come, first served."""
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        self._waiting.append(mine)
        if not self._going_on:
            self._going_on = True
            loop.call_soon(self._next)
        await mine

    def _next(self) -> None:
        while self._waiting:
            mine = self._waiting.popleft()
            if not mine.done():  # else its caller has left
                mine.set_result(None)
                break
        self._going_on = bool(self._waiting)
        if self._going_on:
            asyncio.get_running_loop().call_soon(self._next)
