"""What a costly page may cost."""

import asyncio

from kong_eventhooks_plugin.api.rest.kept_page import MAX_SECONDS, KeptPage


class Page:
    """Takes ``seconds`` of a clock to make."""

    def __init__(self, seconds: float) -> None:
        self.now = 100.0
        self.made = 0
        self._seconds = seconds
        self.page = KeptPage(self._make, lambda: self.now)

    async def _make(self) -> int:
        await asyncio.sleep(0)
        self.now += self._seconds
        self.made += 1
        return self.made

    async def at(self, seconds: float) -> int:
        self.now += seconds
        return await self.page.get()


async def test_it_takes_a_tenth_of_the_time() -> None:
    page = Page(0.1)
    assert [await page.at(seconds) for seconds in (0, 0, 0.5, 0.39, 0.02, 0)] == [1, 1, 1, 1, 2, 2]


async def test_one_that_takes_long_is_not_kept_for_ever() -> None:
    page = Page(60)
    assert [await page.at(seconds) for seconds in (0, MAX_SECONDS - 0.1, 0.2)] == [1, 1, 2]


async def test_who_calls_meanwhile_gets_the_same() -> None:
    page = Page(0.1)
    assert await asyncio.gather(*(page.at(0) for _ in range(8))) == [1] * 8


async def test_one_that_costs_nothing_is_made_each_time() -> None:
    page = Page(0)
    assert [await page.at(0.001) for _ in range(3)] == [1, 2, 3]
