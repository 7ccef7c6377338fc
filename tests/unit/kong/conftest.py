"""The plugin server's own tests run on the worker's loop: uvloop differs from asyncio's where connections end."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]

ASYNCIO: Loops = {"asyncio": asyncio.new_event_loop}
UVLOOP: Loops = {"uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Loops:
    return UVLOOP if item.path.name == "test_server.py" else ASYNCIO
