"""Deliveries: lists, attempts, replays."""

import pytest

from kong_eventhooks_plugin.errors import BadArgument, HookRemoved, StoreUnavailable, UnknownDelivery, ValidationError
from kong_eventhooks_plugin.queue.contract import DeliveryFilter
from tests.support.api import Api
from tests.support.queue import attempt, dead, delivered

EVERYTHING = DeliveryFilter()


async def three(api: Api) -> list[str]:
    """A hook called h with three deliveries: dead, delivered, pending; their ids."""
    hook = await api.service.hooks.create({"name": "h", "source": "custom", "handler": "log"})
    ids = [f"{(await api.service.events.publish('deploy', {'n': n})).event_id}_{hook.id}" for n in range(3)]
    await api.queue.claim(hook.id, 2, 60)
    await api.queue.settle([dead(ids[0]), delivered(ids[1])])
    return ids


async def test_pages_join(api: Api) -> None:
    ids = await three(api)
    first = await api.service.deliveries.page(EVERYTHING, 2)
    second = await api.service.deliveries.page(EVERYTHING, 2, first.next_offset)
    assert [one.id for one in (*first.deliveries, *second.deliveries)] == ids[::-1]
    assert second.next_offset is None


@pytest.mark.parametrize("offset", ["x", "", "WyJ4Il0", "WyIxLjIuMyJd"])
async def test_an_invalid_offset(api: Api, offset: str) -> None:
    with pytest.raises(BadArgument, match="is not a valid offset"):
        await api.service.deliveries.page(EVERYTHING, 2, offset)


async def test_a_store_that_is_away_is_not_the_offsets_fault(api: Api) -> None:
    await api.queue.close()
    with pytest.raises(StoreUnavailable):
        await api.service.deliveries.page(EVERYTHING, 2, "WyIxLjIiXQ")


async def test_a_range_that_ends_before_it_begins(api: Api) -> None:
    with pytest.raises(ValidationError, match="until: must not be before since"):
        await api.service.deliveries.page(DeliveryFilter(since=2, until=1))
    with pytest.raises(ValidationError):
        await api.service.deliveries.replay_of_hook("h", 2, 1)


async def test_one_with_its_attempts(api: Api) -> None:
    ids = await three(api)
    tried = await api.service.deliveries.get(ids[0])
    assert (tried.delivery.state, tried.delivery.event.data) == ("dead", {"n": 0})
    assert tried.attempts == (attempt(1, "discard"),)
    with pytest.raises(UnknownDelivery):
        await api.service.deliveries.get("nobody_x")


async def test_replay_one(api: Api) -> None:
    ids = await three(api)
    for delivery in ids:
        assert (await api.service.deliveries.replay(delivery)).state == "pending"
    with pytest.raises(UnknownDelivery):
        await api.service.deliveries.replay("nobody_x")


async def test_a_replay_to_a_removed_hook(api: Api) -> None:
    ids = await three(api)
    await api.service.hooks.delete("h")
    with pytest.raises(HookRemoved):
        await api.service.deliveries.replay(ids[0])
    assert (await api.service.deliveries.get(ids[0])).delivery.state == "dead"


async def test_replay_a_hooks(api: Api) -> None:
    await three(api)
    hook = api.service.hooks.get("h")
    assert (await api.service.deliveries.replay_of_hook(hook.id)).count == 1, "the dead, where nothing is said"
    assert (await api.service.deliveries.replay_of_hook(hook.id, state="delivered", until=1.0)).count == 0
    assert (await api.service.deliveries.replay_of_hook(hook.id, since=1.0, state="delivered")).count == 1
    assert (await api.queue.stats()).depth["pending"] == 3
