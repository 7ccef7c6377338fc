"""A poller's notes where nodes share the store: they are there, for whichever node holds the poller's lease.

What the first holder has in its own file, from the time before, is brought along (what it asks for first: a note, or
all that begin with a prefix); of later ones nothing is. A note is written only in the term in which the notes were
read: a process that stood still and comes back writes nothing.

Limits: those of ``queue.polling``.
"""

from collections.abc import Callable

from kong_eventhooks_plugin.queue.polling import SharedPolling
from kong_eventhooks_plugin.sources.pollers.checkpoint import Notes


class SharedNotes:
    """``Notes`` under a lease; ``term`` gives the lease's. ``own`` has this node's."""

    def __init__(self, shared: SharedPolling, lease: str, term: Callable[[], int], own: Notes) -> None:
        self._shared = shared
        self._lease = lease
        self._current_term = term
        self._own = own
        self._term = 0

    async def get(self, name: str) -> bytes | None:
        await self._begin_term(name)
        return await self._shared.note(self._lease, name)

    async def names(self, prefix: str = "") -> list[str]:
        await self._begin_term(prefix)
        return list(await self._shared.note_names(self._lease, prefix))

    async def put(self, name: str, value: bytes) -> None:
        await self._shared.put_note(self._lease, self._term, name, value)

    async def drop(self, name: str) -> None:
        await self._shared.drop_note(self._lease, self._term, name)

    async def _begin_term(self, prefix: str) -> None:
        term = self._current_term()
        if term == self._term:
            return
        if term and not await self._shared.adopted(self._lease):
            names = await self._own.names(prefix)
            own = {name: value for name in names if (value := await self._own.get(name)) is not None}
            await self._shared.adopt(self._lease, term, own)
        self._term = term
