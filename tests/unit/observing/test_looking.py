"""A loop that falls asleep has no trouble any more; it begins anew when it wakes."""

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.observing.looking import Looking
from tests.support.observing import World


class Away(Looking):
    def forget(self) -> None:
        pass

    async def work(self) -> bool:
        raise AdminApiError("/status: no connection")


async def test_the_trouble_of_a_loop_that_nobody_needs_any_more_goes() -> None:
    world = World()
    loop = Away("status", world.turns, world.counts)
    async with world.running(loop):
        await world.time.pass_(200)
        assert loop.troubles() == ["/status: no connection"]
        world.wanted = False
        await world.time.pass_(3)
        assert loop.troubles() == []
        assert loop.state() == {"asleep": "no hook hears it", "error": None}
        looked = world.counts.looks["status", "unanswered"]
        world.wanted = True
        await world.time.pass_(2.5)
        assert world.counts.looks["status", "unanswered"] >= looked + 2, "pauses are short again"
