"""The plugin server's own tests run on both loops: the worker's is uvloop, which differs where connections end."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]

ASYNCIO: Loops = {"asyncio": asyncio.new_event_loop}
BOTH: Loops = {**ASYNCIO, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Loops:
    return BOTH if item.path.name == "test_server.py" else ASYNCIO
