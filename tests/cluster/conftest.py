from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.nodes import Nodes
from tests.support.http_receiver import HttpReceiver
from tests.support.postgres import Cluster


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with HttpReceiver() as made:
        yield made


@pytest.fixture
async def nodes(tmp_path: Path, store: Cluster, receiver: HttpReceiver) -> AsyncIterator[Nodes]:
    async with Nodes(tmp_path, store.url(), receiver) as made:
        yield made
