"""``Write``: a batch as one call of the function ``write`` (``migrations/``), which is a transaction by itself.

Its offers have no rule: whether they fire, nothing but a limit can decide, and where one is near the call raises
``LimitsNear`` and has changed nothing. Where the delivering side has room a delivery is leased to it at once.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import structlog

from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.accepting import Offered, decide
from kong_eventhooks_plugin.queue.contract import Clock, HeldBack, Receipt, SpoolPlace, Taker
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.postgresql import settling
from kong_eventhooks_plugin.queue.postgresql.batch import Batch
from kong_eventhooks_plugin.queue.postgresql.connection import Connection
from kong_eventhooks_plugin.queue.postgresql.lane import OF_CALL
from kong_eventhooks_plugin.queue.postgresql.statements import SQL
from kong_eventhooks_plugin.queue.postgresql.taking import Leases
from kong_eventhooks_plugin.queue.postgresql.transaction import HookNumbers, SlotStates, Spare, columns
from kong_eventhooks_plugin.queue.rows import leased_from, splits

log = structlog.get_logger()


def is_plain(offers: Sequence[Offered]) -> bool:
    """Return whether nothing but limits decides whether these fire."""
    return all(
        candidate.rule is None or candidate.refused is not None for one in offers for candidate in one.offer.candidates
    )


class Write:
    """``lane.Call``: its answer is the batch, whose waiters have theirs.

    ``ours`` is as for ``accept.accept``; of the hooks ``in_order`` a delivery's end is new work.
    """

    def __init__(
        self,
        batch: Batch,
        spare: Spare,
        clock: Clock,
        taker: Taker | None,
        ours: Mapping[str, Receipt],
        in_order: AbstractSet[str],
    ) -> None:
        self._batch = batch
        self._spare = spare
        self._clock = clock
        self._taker = taker
        self._ours = ours
        self._in_order = in_order
        self._settlements = batch.settlements
        self._new: list[Offered] = []
        """The offers of the events in the call, the n-th first."""
        self._leases = Leases(None)
        self._began_at = 0.0

    def values(self, hooks: HookNumbers) -> list[Any]:
        """Return the parameters behind those that say who writes. Raises ``LimitsNear``."""
        claims = [
            (number, one.claim)
            for one in self._batch.claiming
            if (number := hooks.number(one.claim.hook_id)) is not None
        ]
        some = [(number, one.limit, one.lease_seconds) for number, one in claims if not one.in_order and one.limit > 0]
        first = [(number, one.lease_seconds) for number, one in claims if one.in_order]
        offers = self._batch.offers
        self._began_at, self._leases = self._clock(), Leases(self._taker)
        events, rows = decide(_Plan(hooks), offers, (), self._leases.lease)
        fired = [(*row[:4], *row[6:], None) for row in rows]
        fired += [(*one.row[:4], *one.row[6:], one.seconds) for one in self._leases.leases]
        self._spare.check(fired)
        self._new = [one for one in offers if one.answer is not None and not one.answer.duplicate]
        return [
            *_part(settling.rows_of(self._settlements, hooks), settling.WIDTH),
            self._spare.limits.answer_bytes,
            *_part(some, 3),
            *_part(first, 2),
            *(_place(offers) or (None, None, None)),
            *self._spare.most,
            *_part([(*row[1:5], *row[6:11]) for row in events], 9),
            *_part(fired, 8),
        ]

    def answer(self, rows: Sequence[Sequence[Any]], hooks: HookNumbers) -> Batch:
        *claimed, (now, settled, accepted, dropped, *_) = rows
        self._batch.answers_dropped = dropped
        self._settled(set(settled))
        self._accepted(set(accepted), now)
        self._claimed([_claimed(row[OF_CALL:], hooks) for row in claimed])
        return self._batch

    async def recovered(self, connection: Connection, writer: int, hooks: HookNumbers) -> Batch:
        """Return what ``answer`` would have: by what the writer's last transaction, this one, has left in the store.

        Settlements that found their lease lost are not told from the others: they have changed nothing.
        """
        ids = [one.offer.event.id for one in self._new]
        found = dict(await connection.fetch(SQL.outcome_of_offers, writer, ids))
        claimed = [_claimed(row, hooks) for row in await connection.fetch(SQL.outcome_of_claims, writer)]
        self._settled(range(len(self._settlements)))
        self._accepted({n for n, event_id in enumerate(ids, 1) if event_id in found}, max(found.values(), default=0.0))
        taken = {one.id for _, deliveries in self._batch.taken.values() for one in deliveries}
        self._claimed([one for one in claimed if one.id not in taken])
        return self._batch

    def _settled(self, ended: Collection[int]) -> None:
        for one in self._batch.settling:
            one.end()
        for at, settlement in enumerate(self._settlements):
            if at not in ended:
                log.info("lease_lost", delivery_id=settlement.delivery_id, state=settlement.state)
                continue
            hook_ids = {hook_id for _, hook_id in splits(settlement.delivery_id)}
            self._batch.woken |= hook_ids if settlement.state == "pending" else hook_ids & self._in_order

    def _accepted(self, accepted: AbstractSet[int], now: float) -> None:
        self._leases.leases = [one for one in self._leases.leases if one.row[0] in accepted]
        self._leases.taken(self._began_at, now, self._batch.taken)
        leased = {(one.row[0], one.candidate.hook_id) for one in self._leases.leases}
        for n, one in enumerate(self._new, 1):
            if n not in accepted:
                one.answer = Receipt(one.offer.event.id, duplicate=True, fired=(), held_back={})
            elif one.answer is not None:
                self._batch.woken.update(hook_id for hook_id in one.answer.fired if (n, hook_id) not in leased)
        for one in self._batch.offers:
            if one.answer is not None and one.answer.duplicate:
                one.answer = self._ours.get(one.offer.event.id, one.answer)

    def _claimed(self, deliveries: Sequence[Delivery]) -> None:
        of_hook: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            of_hook.setdefault(delivery.hook_id, []).append(delivery)
        for one in self._batch.claiming:
            one.answer = of_hook.get(one.claim.hook_id, [])


def _part(rows: Sequence[Sequence[Any]], width: int) -> Sequence[list[Any] | None]:
    """Return rows as columns; a part of a call that has none is not there."""
    return columns(rows) if rows else [None] * width


class _Plan:
    """``accepting.AcceptCounters``, where no limit is near. The store says later when it was."""

    now = 0.0

    def __init__(self, hooks: HookNumbers) -> None:
        self.suppression = SlotStates()
        self._hooks = hooks
        self._events = 0

    def of_hook(self, hook_id: str) -> HookCounters:
        number = self._hooks.number(hook_id)
        assert number is not None  # noqa: S101  # the lane has given it one
        return HookCounters(hook_id, number)

    def next_event(self) -> int:
        self._events += 1
        return self._events

    def refusal(self, hook: HookCounters, size: int) -> HeldBack | None:
        return None

    def add(self, hook: HookCounters, size: int) -> None:
        """Nothing is counted here."""

    def add_idle(self) -> None:
        """Nothing is counted here."""


def _place(offers: Sequence[Offered]) -> SpoolPlace | None:
    places = [one.place for one in offers if one.place is not None]
    if not places:
        return None
    return SpoolPlace(places[0].spool, min(place.before for place in places), max(place.n for place in places))


def _claimed(row: Sequence[Any], hooks: HookNumbers) -> Delivery:
    hook, *rest = row
    return leased_from(hooks.hook(hook), *rest)
