"""One transaction's operations, each with a caller that waits."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.accepting import Offered
from kong_eventhooks_plugin.queue.contract import Settlement
from kong_eventhooks_plugin.queue.postgresql.lane import Hooks
from kong_eventhooks_plugin.queue.postgresql.leases import Claim
from kong_eventhooks_plugin.queue.postgresql.taking import Taken
from kong_eventhooks_plugin.queue.rows import splits
from kong_eventhooks_plugin.queue.waiter import Recipient, Waiter


class Settling(Waiter[int]):
    """``collect`` returns the settlements when their transaction begins; the answer is how many those were.

    ``settlements`` are without those ``released`` that had been committed before, as became known late.
    """

    __slots__ = ("collect", "released", "settlements")

    def __init__(self, collect: Callable[[], Sequence[Settlement]], recipient: Recipient[int]) -> None:
        super().__init__(recipient)
        self.collect = collect
        self.settlements: Sequence[Settlement] = ()
        self.released: frozenset[str] = frozenset()

    def take(self, released: AbstractSet[str]) -> None:
        """Collect; ``released`` are the deliveries whose next release is one that was committed."""
        self.settlements = self.collect()
        self.released = releases(self.settlements) & released if released else frozenset()
        if self.released:
            again = self.released
            self.settlements = [one for one in self.settlements if one.attempt or one.delivery_id not in again]

    def end(self) -> None:
        self.answer = len(self.settlements) + len(self.released)


def releases(settlements: Sequence[Settlement]) -> frozenset[str]:
    """Return the deliveries whose leases end without an attempt: nothing tells that from the end of a later lease."""
    return frozenset(one.delivery_id for one in settlements if one.attempt is None)


class Claiming(Waiter[list[Delivery]]):
    __slots__ = ("claim",)

    def __init__(self, wanted: Claim, future: "asyncio.Future[list[Delivery]]") -> None:
        super().__init__(future)
        self.claim = wanted


class Batch:
    """``woken`` are the hooks that have new work, ``taken`` what was leased as it was accepted, by hook: until when."""

    def __init__(
        self,
        offers: Sequence[Offered] = (),
        settling: Sequence[Settling] = (),
        claiming: Sequence[Claiming] = (),
    ) -> None:
        self.offers = offers
        self.settling = settling
        self.claiming = claiming
        self.woken: set[str] = set()
        self.taken: Taken = {}
        self.answers_dropped = False

    def __bool__(self) -> bool:
        return bool(self.offers or self.settling or self.claiming)

    @property
    def settlements(self) -> list[Settlement]:
        return [one for each in self.settling for one in each.settlements]

    def leased(self) -> Iterator[Delivery]:
        """Yield what this transaction has leased."""
        for one in self.claiming:
            yield from one.answer or ()
        for _, deliveries in self.taken.values():
            yield from deliveries

    def hooks(self) -> Hooks:
        offered = dict.fromkeys(candidate.hook_id for one in self.offers for candidate in one.offer.candidates)
        pairs = (pair for each in self.settlements for pair in splits(each.delivery_id))
        return Hooks(offered, {hook_id for _, hook_id in pairs} | {one.claim.hook_id for one in self.claiming})

    def waiters(self) -> Iterator[Settling | Claiming | Offered]:
        yield from self.settling
        yield from self.claiming
        yield from self.offers

    def apart(self) -> "Iterator[Batch]":
        """Yield each operation as a batch of its own."""
        yield from (Batch(settling=[one]) for one in self.settling)
        yield from (Batch(claiming=[one]) for one in self.claiming)
        yield from (Batch(offers=[one]) for one in self.offers)

    def size(self) -> int:
        return len(self.offers) + len(self.settling) + len(self.claiming)
