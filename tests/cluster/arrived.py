"""What has arrived at a receiver of the nodes' hooks."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from tests.support.http_receiver import HttpReceiver
from tests.support.waiting import SECONDS


class Arrived:
    """The events that the receiver has had, beside the pings of hooks that begin."""

    def __init__(self, receiver: HttpReceiver) -> None:
        self._receiver = receiver

    def events(self) -> list[tuple[Any, str]]:
        """Return the number that was published or the request that exceeded a limit, and the event's id."""
        found = []
        for request in self._receiver.requests:
            data = json.loads(request.body)
            if data["event"] != "ping":
                found.append((data.get("number") or data["request"]["id"], request.headers["webhook-id"]))
        return found

    async def all_of(self, wanted: Iterable[Any], seconds: float = SECONDS) -> None:
        """Wait until all of these have arrived."""
        missing = set(wanted)
        async with asyncio.timeout(seconds):
            while missing := missing - {what for what, _ in self.events()}:
                await self._receiver.received(len(self._receiver.requests) + 1)

    def under_one_id(self) -> list[Any]:
        """Return what has arrived, sorted; what came more than once came under one id."""
        return sorted(what for what, _ in set(self.events()))
