"""What nodes that share a store do with the Admin API for each other: leases, notes, forwarded changes.

A lease says which process does a thing for all. Each new holder gets a new ``term``, and so does one whose lease had
run out: whoever writes a note names the term in which it read the notes, and one that stood still and comes back
writes nothing. A term is when it began, in milliseconds by the store's clock, and larger than the one before: none
comes again where the store goes back, as a restored backup or a failover does.

A change that a node saw on the Admin API's route, and cannot name itself, waits here for a node that can.

=====================  ==================================================================================
limit                  past it
=====================  ==================================================================================
``ROWS`` changes       no more are taken (each node that sends at the same moment may add one batch more)
``AGE`` seconds        an older change is deleted where there is no room, or by who takes it
``MAX_NOTE``,          the note is refused
``MAX_NOTES`` bytes
=====================  ==================================================================================
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

TTL: Final = 10.0
"""Seconds that a lease lasts; a process that is killed is followed after at most so many."""
LONGEST: Final = 60.0
"""A lease that ends later is from before the clock was set back, and does not count."""
ROWS: Final = 10_000
AGE: Final = 3_600.0
MAX_NOTE: Final = 16 << 20
MAX_NOTES: Final = 64 << 20


class LeaseHolder(NamedTuple):
    """``node`` is its host's name."""

    process: str
    node: str
    term: int


class WaitingChange(NamedTuple):
    """``seen_at`` is by this node's clock."""

    n: int
    seen_at: float
    change: bytes


class SharedPolling(Protocol):
    """Every method may raise ``StoreUnavailable``."""

    async def acquire(self, names: Sequence[str], process: str, node: str) -> Mapping[str, int]:
        """Take or renew leases for ``TTL`` seconds; return the terms of those that are ours now."""

    async def release(self, names: Sequence[str], process: str) -> None:
        """Leave leases to others."""

    async def holders(self) -> Mapping[str, LeaseHolder]:
        """Return who has the leases now, by their names."""

    async def note(self, lease: str, name: str) -> bytes | None: ...

    async def note_names(self, lease: str, prefix: str) -> Sequence[str]: ...

    async def write_notes(
        self, lease: str, term: int, notes: Mapping[str, bytes], dropped: Collection[str] = ()
    ) -> None:
        """Write notes and drop others, all or none. Raises ``StoreUnavailable`` where the term has ended."""

    async def send(self, changes: Sequence[tuple[float, bytes]]) -> int:
        """Keep changes with their times by this node's clock; return how many of them, the first ones, found room."""

    async def waiting(self, limit: int) -> Sequence[WaitingChange]:
        """Return the first changes that wait, in their order."""

    async def remove(self, numbers: Sequence[int]) -> None: ...
