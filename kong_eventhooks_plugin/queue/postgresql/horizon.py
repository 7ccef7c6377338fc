"""Up to which number every event is there: what goes on after the newest event that it was shown misses none.

Nodes take numbers before they commit, so a lower number may become visible after a higher one. A number is settled when
every transaction has ended that accepted when it was the last one taken: mostly at once, else a few milliseconds later.

Limit: after ``WAITING`` seconds (a node stands still in the middle of a transaction, which the server ends after
``connection.IDLE_IN_TRANSACTION``) what this process has known to be settled is the answer, or ``StoreUnavailable``.
"""

import asyncio
import time
from typing import Final

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.postgresql import reads
from kong_eventhooks_plugin.queue.postgresql.reads import Reader

WAITING: Final = 2.0
PAUSE: Final = 0.005


class Horizon:
    def __init__(self) -> None:
        self._settled = 0

    async def settled(self, reader: Reader) -> int:
        """Return a number; what is read from now on has every event up to it that will ever be."""
        number, unfinished = await reader.read(reads.last_number)
        give_up = time.monotonic() + WAITING
        while unfinished:
            if time.monotonic() >= give_up:
                if self._settled:
                    return self._settled
                raise StoreUnavailable("a node has been accepting events for seconds and does not go on; try again")
            await asyncio.sleep(PAUSE)
            unfinished &= await reader.read(reads.accepting)
        self._settled = number
        return number
