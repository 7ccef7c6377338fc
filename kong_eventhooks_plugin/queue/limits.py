"""Limits that every engine applies."""

from collections.abc import Callable, Iterable, Sized
from typing import TypeVar

from kong_eventhooks_plugin.errors import QueueError, StoreUnavailable
from kong_eventhooks_plugin.queue.contract import HeldBack, QueueLimits

T = TypeVar("T")

_LAST = (1 << 63) - 1

LARGEST_PAGE = 1_000
"""Deliveries or events a page has at most; asked for more, ``page`` and ``events`` raise ``QueueError``."""

PAGE_BYTES = 8 << 20
"""Bytes of events' data after which a page ends, however many were asked for; one entry alone may have more."""

LONGEST_OFFSET = 40
"""Characters of a page's offset; a longer one raises ``QueueError``."""

FURTHEST_DUE = 2 * 86_400.0
"""Seconds: no delivery is due later than that from now. The longest pause between attempts is a day and its jitter;
a later time was written before the clock was set back."""

LONGEST_LEADERSHIP = 120.0
"""Seconds: a delivery lease that seems to end later was written before the clock was set back."""

BATCH = 256
"""Offers, and other operations of each kind, that one transaction has at most."""

BATCH_DELIVERIES = 8_192
"""Hooks that the offers of one transaction match in all at most; one offer alone may match more."""

YIELDS = 8
"""Transactions that claims and settlements wait for while more offers wait than one transaction has."""

WAITING = 10_000
"""Operations of a kind beside offers that may wait for a transaction; one more fails with ``StoreUnavailable``."""

STALLED_SECONDS = 5.0
"""How long a transaction may run before ``error`` says so."""

FAILING_SECONDS = 15.0
"""How long ``error`` says an error of the store after it."""

REPLAYED_AT_ONCE = 100_000
"""Deliveries that one ``replay_all`` replays at most; where there are more, its answer says so."""


def one_page(entries: Iterable[T], size: int, bytes_of: Callable[[T], int]) -> tuple[list[T], bool]:
    """Return the entries of a page of ``size``, and whether more follow; ``PAGE_BYTES`` may end it earlier.

    The rest of ``entries`` is not read.
    """
    page: list[T] = []
    room = PAGE_BYTES
    for entry in entries:
        if len(page) == size or room <= 0:
            return page, True
        page.append(entry)
        room -= bytes_of(entry)
    return page, False


def check_room(waiting: Sized, store: object) -> None:
    if len(waiting) >= WAITING:
        raise StoreUnavailable(f"{store}: {WAITING} operations wait already")


def check_size(size: int) -> None:
    if not 1 <= size <= LARGEST_PAGE:
        raise QueueError(f"a page has 1 to {LARGEST_PAGE} entries, not {size}")


def position(offset: str | None, count: int) -> list[int]:
    """Return the numbers of a page's offset: those of the last row of the previous page."""
    if offset is None:
        return [_LAST] * count
    parts = offset.split(".")
    if len(offset) > LONGEST_OFFSET or len(parts) != count or not all(part.isdecimal() for part in parts):
        raise QueueError(f"{offset!r} is no page's next_offset")
    return [min(int(part), _LAST) for part in parts]


def refusal(limits: QueueLimits, of_hook: int, deliveries: int, held_bytes: int, size: int) -> HeldBack | None:
    """Return which limit another unsettled delivery of ``size`` bytes would break, None where it fits.

    ``of_hook`` and ``deliveries`` count the unsettled ones of its hook and of all; ``held_bytes`` is what all
    of them hold. The hook's own limit comes first: it says which hook floods the queue.
    """
    if of_hook >= limits.deliveries_per_hook:
        return "hook_queue_full"
    if deliveries >= limits.deliveries:
        return "queue_full"
    if held_bytes + size > limits.bytes:
        return "queue_bytes"
    return None
