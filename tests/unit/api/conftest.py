"""An API over a real store, its use cases called directly."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.api import Api, running


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as opened:
        yield opened
