from collections.abc import AsyncIterator

import pytest_asyncio

from kong_eventhooks_plugin.sandbox.pool import Pool
from tests.support.sandbox import running_pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    async with running_pool() as running:
        yield running
