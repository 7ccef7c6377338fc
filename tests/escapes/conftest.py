"""One pool for a whole file: an escape that harms it shows in the tests behind it, and in ``still_serves``."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Decide, Decided, SandboxLimits
from tests.support.sandbox import DATA, call, running_pool, text_of

LIMITS = SandboxLimits(wall_seconds=45.0, cpu_seconds=0.3, output_bytes=100_000, lines=50, line_bytes=10_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    async with running_pool(LIMITS) as running:
        yield running


@pytest.fixture
def still_serves(pool: Pool) -> Callable[[], Awaitable[None]]:
    """Ask one task of every kind, of another hook's."""

    async def ask() -> None:
        assert await text_of(pool, "{{ consumer.username }}", "honest") == "Joanna"
        assert await text_of(pool, "{{ consumer.username }}", "honest", dialect="jinja2") == "Joanna"
        answer = await pool.run(call("return function(d) return d.limit end", owner="honest"), "honest")
        assert getattr(answer, "value", answer) == b"4"
        assert await pool.run(Decide(("data.limit == 4",), DATA, "e", "s"), "honest") == Decided((True,))

    return ask
