"""A poller at a closed gate has no error any more; it starts from its notes when the gate opens."""

from collections.abc import AsyncIterator

import pytest

from kong_eventhooks_plugin.errors import AdminApiError, StoreUnavailable
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.sources.pollers.poller import Poller
from tests.support.pollers import World


class Look(Poller):
    """A poller that only records what it did; ``broken`` is raised by its poll, ``unread`` by its loading."""

    def __init__(self, world: World, client: AdminClient) -> None:
        super().__init__("status", world.context(client), world.gate)
        self.did: list[str] = []
        self.broken: Exception | None = None
        self.unread: Exception | None = None

    async def load(self) -> bool:
        if self.unread is not None:
            raise self.unread
        self.did.append("load")
        return True

    async def poll(self) -> bool:
        if self.broken is not None:
            raise self.broken
        self.did.append("work")
        await self._gate.pause(1)
        return True

    def forget(self) -> None:
        self.did.append("forget")


@pytest.fixture
async def client() -> AsyncIterator[AdminClient]:
    async with AdminClient(AdminSettings(url="http://127.0.0.1:9")) as client:
        yield client


async def test_the_error_of_a_poller_without_subscribers_is_cleared(client: AdminClient) -> None:
    world = World()
    loop = Look(world, client)
    loop.broken = AdminApiError("/status: no connection")
    async with world.running(loop):
        await world.time.pass_(200)
        assert loop.errors() == ["/status: no connection"]
        world.wanted = False
        await world.time.pass_(3)
        assert loop.errors() == []
        assert loop.state() == {"idle_reason": "no hook subscribes to it", "error": None}
        looked = world.counts.polls["status", "unanswered"]
        world.wanted = True
        await world.time.pass_(2.5)
        assert world.counts.polls["status", "unanswered"] >= looked + 2, "pauses are short again"


async def test_notes_are_loaded_once_a_turn(client: AdminClient) -> None:
    world = World()
    loop = Look(world, client)
    async with world.running(loop):
        await world.time.pass_(2.5)
        world.leads = False
        await world.time.pass_(2)
        assert loop.did == ["load", "work", "work", "work", "forget"]
        world.leads = True
        await world.time.pass_(1)
        assert loop.did[5:] == ["load", "work"]


async def test_nothing_is_polled_before_the_notes_are_read(client: AdminClient) -> None:
    world = World()
    loop = Look(world, client)
    loop.unread = StoreUnavailable("disk full")
    async with world.running(loop):
        await world.time.pass_(10)
        assert loop.did == []
        assert loop.errors() == ["disk full"]
        loop.unread = None
        await world.time.pass_(30)
        assert loop.did[:2] == ["load", "work"]
        assert loop.errors() == []
