"""The use cases on deliveries: list, look at one with its attempts, replay one or all of a hook in a range of time."""

from typing import Final, Literal, NamedTuple

from kong_eventhooks_plugin.api.service import paging
from kong_eventhooks_plugin.errors import BadArgument, HookRemoved, QueueError, ValidationError
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.queue.contract import DeliveryFilter, DeliveryPage, Queue, Replayed

Settled = Literal["dead", "delivered"]
SETTLED: Final[tuple[Settled, ...]] = ("dead", "delivered")


class DeliveryDetail(NamedTuple):
    """A delivery and its attempts, first first."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]


class Deliveries:
    """See the file's head. Every method may raise ``StoreUnavailable``."""

    def __init__(self, book: ActiveHooks, queue: Queue) -> None:
        self._book = book
        self._queue = queue

    async def page(self, where: DeliveryFilter, size: float | None = None, offset: str | None = None) -> DeliveryPage:
        """Return a page of deliveries, newest first; raises ``BadArgument``."""
        length = paging.page_size(size)
        check_range(where.since, where.until)
        position = None if offset is None else paging.decoded(offset)
        try:
            found = await self._queue.page(where, length, position)
        except QueueError as error:
            raise about_offset(error, offset) from error
        return DeliveryPage(found.deliveries, None if found.next_offset is None else paging.encoded(found.next_offset))

    async def get(self, delivery_id: str) -> DeliveryDetail:
        """Return one delivery with its attempts; raises ``UnknownDelivery``."""
        delivery = await self._queue.get(delivery_id)
        return DeliveryDetail(delivery, tuple(await self._queue.attempts(delivery_id)))

    async def replay(self, delivery_id: str) -> Delivery:
        """Have a delivery sent again, dead or delivered, under its own id; one that is not settled stays as it is.

        Raises ``UnknownDelivery``, ``HookRemoved``, ``QueueFull``.
        """
        delivery = await self._queue.get(delivery_id)
        if self._book.get(delivery.hook_id) is None:
            raise HookRemoved("the delivery's hook is not in force any more; what is replayed would die again")
        return await self._queue.replay(delivery_id)

    async def replay_of_hook(
        self, hook_id: str, since: float | None = None, until: float | None = None, state: Settled = "dead"
    ) -> Replayed:
        """Have a hook's deliveries sent again that were created in a range of time (Unix seconds, ``until`` excluded).

        Raises ``ValidationError`` for a range that ends before it begins.
        """
        check_range(since, until)
        return await self._queue.replay_all(DeliveryFilter(hook_id=hook_id, state=state, since=since, until=until))


def check_range(since: float | None, until: float | None) -> None:
    """Raise ``ValidationError`` for a range of time that ends before it begins."""
    if since is not None and until is not None and until < since:
        raise ValidationError({"until": "must not be before since"})


def about_offset(error: QueueError, offset: str | None) -> QueueError | BadArgument:
    """Return what an engine's refusal means: it says of an offset that is none of its own only that it is wrong."""
    return paging.bad_offset(offset, "bad offset string") if offset is not None and type(error) is QueueError else error
