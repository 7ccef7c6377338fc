"""The console over a running API (``tests.support.api``), and a browser's part without a browser."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx

from kong_eventhooks_plugin.api.console.console import Console
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.hook_states import HookStates
from kong_eventhooks_plugin.api.service.nodes import Members
from kong_eventhooks_plugin.api.service.readiness import ReadinessCheck
from kong_eventhooks_plugin.delivery.activity import Activity
from kong_eventhooks_plugin.delivery.hook_readiness import EndpointStanding
from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.forwarding.acceptor import SpoolAcceptor
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.api import Api
from tests.support.clock import FakeClock

TOKEN = "an admin token of 24 bytes".replace(" ", "-")


class Delivering:
    """The delivery worker as the console sees it."""

    def __init__(self) -> None:
        self.activity = Activity(time.time())
        self.standings: dict[str, EndpointStanding] = {}

    def standing(self, hook_id: str) -> EndpointStanding:
        return self.standings.get(hook_id, EndpointStanding())


class Browser:
    """Posts forms as a browser does, with the token that is in the page."""

    def __init__(self, client: httpx.AsyncClient, delivering: Delivering, metrics: Metrics, clock: FakeClock) -> None:
        self.client = client
        self.delivering = delivering
        self.metrics = metrics
        self.clock = clock

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, **options)

    async def post(self, path: str, form: Mapping[str, Any], page: str | None = None) -> httpx.Response:
        """Post a form of ``page``, which is at ``path`` where none is named; follow where it leads."""
        token = form_token((await self.client.get(page or path)).text)
        answer = await self.client.post(path, data={"csrf": token, **form})
        return await self.client.get(answer.headers["location"]) if answer.status_code == 303 else answer

    async def log_in(self, token: str = TOKEN, following: str = "/") -> httpx.Response:
        return await self.post("/console/login", {"token": token, "next": following})


def form_token(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found is not None, page
    return found[1]


def visible(page: str) -> str:
    """Return a page's text."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


@asynccontextmanager
async def console_of(
    api: Api,
    token: str | None = TOKEN,
    limits: QueueLimits | None = None,
    spool: SpoolAcceptor | None = None,
    members: Members | None = None,
    **options: Any,
) -> AsyncIterator[Browser]:
    """Serve the API with its console."""
    delivering, metrics, access, clock = Delivering(), Metrics(), Access(token), FakeClock()
    states = HookStates(api.registry, api)
    check = ReadinessCheck(api.queue, api.registry, metrics, api, states, clock, clock, spool=spool, members=members)
    console = Console(
        api.service, access, delivering, api.registry.hooks, lambda: metrics.counts.held_back, check.check, api.known,
        limits or QueueLimits(), monotonic=clock, shared=spool is not None,
    )  # fmt: skip
    async with api.served(access=access, health=console.routes(), **options) as client:
        yield Browser(client, delivering, metrics, clock)
