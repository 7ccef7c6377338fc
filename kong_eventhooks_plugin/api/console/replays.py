"""Replays of a selection of deliveries: which they are, so that their page can show how far they are.

Limits: ``SELECTED`` deliveries in a replay; ``KEPT`` replays are remembered, for one more the oldest is forgotten: its
deliveries go on, its page is gone.
"""

import secrets
from collections.abc import Iterable
from typing import Final, NamedTuple

from kong_eventhooks_plugin.api.service.deliveries import Deliveries
from kong_eventhooks_plugin.errors import HookRemoved, QueueFull, UnknownDelivery
from kong_eventhooks_plugin.model.delivery import Delivery

SELECTED: Final = 200
KEPT: Final = 100


class Refused(NamedTuple):
    delivery_id: str
    reason: str


class Replay(NamedTuple):
    """``started_at`` is Unix seconds."""

    delivery_ids: tuple[str, ...]
    refused: tuple[Refused, ...]
    started_at: float


class Replays:
    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._replays: dict[str, Replay] = {}

    async def start(self, delivery_ids: Iterable[str], now: float) -> str:
        """Replay deliveries one by one; return the number of the replay. May raise ``StoreUnavailable``."""
        started, refused = [], []
        for delivery_id in list(dict.fromkeys(delivery_ids))[:SELECTED]:
            try:
                await self._deliveries.replay(delivery_id)
            except (HookRemoved, UnknownDelivery, QueueFull) as error:
                refused.append(Refused(delivery_id, str(error)))
            else:
                started.append(delivery_id)
        number = secrets.token_hex(8)
        if len(self._replays) >= KEPT:
            del self._replays[next(iter(self._replays))]
        self._replays[number] = Replay(tuple(started), tuple(refused), now)
        return number

    def get(self, number: str) -> Replay | None:
        return self._replays.get(number)

    async def states(self, replay: Replay) -> list[Delivery]:
        """Return the deliveries of a replay as they are; one that was deleted meanwhile is left out."""
        found = []
        for delivery_id in replay.delivery_ids:
            try:
                found.append((await self._deliveries.get(delivery_id)).delivery)
            except UnknownDelivery:
                continue
        return found
