"""The use cases on deliveries: list, get with its attempts, replay one or a hook's in a range of time."""

from functools import partial
from typing import Final, Literal, NamedTuple

from kong_eventhooks_plugin.api.service import paging
from kong_eventhooks_plugin.errors import HookRemoved, ValidationError
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.queue.contract import DeliveryFilter, DeliveryPage, Queue, Replayed

Settled = Literal["dead", "delivered"]
SETTLED: Final[tuple[Settled, ...]] = ("dead", "delivered")


class DeliveryDetail(NamedTuple):
    delivery: Delivery
    attempts: tuple[Attempt, ...]


class Deliveries:
    """Every method may raise ``StoreUnavailable``."""

    def __init__(self, registry: ActiveHooks, queue: Queue) -> None:
        self._registry = registry
        self._queue = queue

    async def page(self, where: DeliveryFilter, size: float | None = None, offset: str | None = None) -> DeliveryPage:
        """Return a page of deliveries, newest first; raises ``BadArgument``."""
        check_range(where.since, where.until)
        return await paging.read_page(partial(self._queue.page, where), size, offset)

    async def get(self, delivery_id: str) -> DeliveryDetail:
        """May raise ``UnknownDelivery``."""
        delivery = await self._queue.get(delivery_id)
        return DeliveryDetail(delivery, tuple(await self._queue.attempts(delivery_id)))

    async def replay(self, delivery_id: str) -> Delivery:
        """Send a dead or delivered delivery again, under its own id; one that is not settled stays as it is.

        Raises ``UnknownDelivery``, ``HookRemoved``, ``QueueFull``.
        """
        delivery = await self._queue.get(delivery_id)
        if self._registry.get(delivery.hook_id) is None:
            raise HookRemoved("the delivery's hook is not in force any more; a replay would fail again")
        return await self._queue.replay(delivery_id)

    async def replay_of_hook(
        self, hook_id: str, since: float | None = None, until: float | None = None, state: Settled = "dead"
    ) -> Replayed:
        """Send a hook's deliveries again that were created in a range of time (Unix seconds, ``until`` excluded).

        Raises ``ValidationError`` for a range that ends before it begins.
        """
        check_range(since, until)
        return await self._queue.replay_all(DeliveryFilter(hook_id=hook_id, state=state, since=since, until=until))


def check_range(since: float | None, until: float | None) -> None:
    """Raise ``ValidationError`` for a range of time that ends before it begins."""
    if since is not None and until is not None and until < since:
        raise ValidationError({"until": "must not be before since"})
