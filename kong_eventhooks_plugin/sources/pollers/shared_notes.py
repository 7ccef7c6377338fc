"""A poller's notes where nodes share the store: they are there, for whichever node holds the poller's lease.

A note is written only in the term in which the notes were read: a process that stood still and comes back writes
nothing. What was written last is known by a version, which counts the writes of a term.

A node keeps a copy in its own file. Where the store has an older version than that, it was restored from a backup or
lost commits in a failover: then its holder puts the copy back, and reports nothing again that it reported. Without any
version, in the store and in the file, the copy is from the time before the node shared a store, and is brought along.

Limits: those of ``queue.polling`` and ``storage.notes``. Where another node than the last holder takes the lease of a
store that went back, the newer copy is not known to it. The store's clock tells which of two terms is later.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, Self

from kong_eventhooks_plugin.queue.polling import SharedPolling
from kong_eventhooks_plugin.sources.pollers.checkpoint import Notes

VERSION: Final = "version"
"""The name of a lease's note; in a node's own file with the lease's name behind it."""


class Version(NamedTuple):
    """How many writes of which term are in the notes."""

    term: int = 0
    writes: int = 0

    @classmethod
    def read(cls, note: bytes | None) -> Self:
        return cls() if note is None else cls(*map(int, note.split(b".")))

    def note(self) -> bytes:
        return b"%d.%d" % self


class SharedNotes:
    """``Notes`` under a lease; ``term`` gives the lease's. ``own`` has this node's."""

    def __init__(self, shared: SharedPolling, lease: str, term: Callable[[], int], own: Notes) -> None:
        self._shared = shared
        self._lease = lease
        self._current_term = term
        self._own = own
        self._own_version = f"{VERSION}/{lease}"
        self._version = Version()

    async def get(self, name: str) -> bytes | None:
        await self._begin_term(name)
        return await self._shared.note(self._lease, name)

    async def names(self, prefix: str = "") -> list[str]:
        await self._begin_term(prefix)
        return await self._shared_names(prefix)

    async def put(self, name: str, value: bytes) -> None:
        await self._write(self._version, {name: value}, set())

    async def drop(self, name: str) -> None:
        await self._write(self._version, {}, {name})

    async def _begin_term(self, prefix: str) -> None:
        """Take the newer ones of the store's notes and ours; ours begin with ``prefix``."""
        term = self._current_term()
        if term == self._version.term:
            return
        if term:
            there, ours = await self._shared_names(), await self._own.names(prefix)
            known = Version.read(await self._shared.note(self._lease, VERSION))
            newer = Version.read(await self._own.get(self._own_version)) >= known
            get, names = (self._own.get, ours) if newer else (partial(self._shared.note, self._lease), there)
            notes = {name: value for name in names if (value := await get(name)) is not None}
            await self._write(Version(term), notes, {*there, *ours} - notes.keys())
        else:
            self._version = Version()

    async def _shared_names(self, prefix: str = "") -> list[str]:
        return [name for name in await self._shared.note_names(self._lease, prefix) if name != VERSION]

    async def _write(self, version: Version, notes: Mapping[str, bytes], dropped: set[str]) -> None:
        """Write to the store, which may refuse it, then the copy: that is newer only where the store lost some."""
        version = Version(version.term, version.writes + 1)
        await self._shared.write_notes(self._lease, version.term, {**notes, VERSION: version.note()}, dropped)
        for name, value in notes.items():
            await self._own.put(name, value)
        for name in dropped:
            await self._own.drop(name)
        await self._own.put(self._own_version, version.note())
        self._version = version
