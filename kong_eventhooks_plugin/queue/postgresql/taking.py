"""What of a batch of offers is leased to the delivering side as it is accepted (``queue.contract.Taker``)."""

from typing import NamedTuple

from msgspec.structs import replace

from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.accepting import Row
from kong_eventhooks_plugin.queue.contract import Candidate, Room, Taker
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.rows import stored_data, suppressed_from

Taken = dict[str, tuple[float, list[Delivery]]]
"""By hook: until when by this node's clock, and what."""


class Lease(NamedTuple):
    """``row`` is the delivery's, as ``accepting.decide`` has it: the event's number first."""

    row: Row
    event: Event
    data: bytes
    candidate: Candidate
    seconds: float


class Leases:
    """``lease`` is for ``accepting.decide``. How much room there is, is asked once a hook."""

    def __init__(self, taker: Taker | None) -> None:
        self._taker = taker
        self._rooms: dict[str, Room] = {}
        self.leases: list[Lease] = []

    def lease(self, event: Event, data: bytes, candidate: Candidate, hook: HookCounters, row: Row) -> bool:
        """Lease a new delivery; False where there is no room."""
        if self._taker is None:
            return False
        room = self._rooms.get(hook.hook_id)
        if room is None:
            room = self._taker.room(hook.hook_id)
        self._rooms[hook.hook_id] = Room(room.deliveries - 1, room.lease_seconds)
        if room.deliveries <= 0:
            return False
        self.leases.append(Lease(row, event, data, candidate, room.lease_seconds))
        return True

    def taken(self, began_at: float, now: float, taken: Taken) -> None:
        """Add what was leased: by a transaction that began then by this node's clock, ``now`` by the store's."""
        for lease in self.leases:
            hook_id = lease.candidate.hook_id
            taken.setdefault(hook_id, (began_at + lease.seconds, []))[1].append(_delivery(lease, now))


def _delivery(lease: Lease, now: float) -> Delivery:
    hook_id = lease.candidate.hook_id
    return Delivery(
        id=delivery_id(lease.event.id, hook_id),
        event=replace(lease.event, data=stored_data(lease.data), compared={}),
        hook_id=hook_id,
        source=lease.candidate.source,
        state="leased",
        attempts=0,
        created_at=now,
        due_at=now,
        suppressed=suppressed_from(*lease.row[-3:]),
        data=lease.data,
    )
