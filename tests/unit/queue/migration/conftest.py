from pathlib import Path

import pytest

from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate, EndpointHealth
from kong_eventhooks_plugin.queue.sqlite.engine import DATABASE, SqliteQueue
from tests.support.clock import FakeClock
from tests.support.queue import SOURCE, attempt, dead, delivered, hook, id_of, offer, postponed

SNOOZE = SuppressionRule(on_change=True, snooze=60)
API = hook("made", origin=hook("x").origin.__class__(place="api", key="api", path="the API"))
EVENTS = 40


@pytest.fixture
async def path(tmp_path: Path, clock: FakeClock) -> Path:
    """A file with something of everything, of a sidecar that has stopped in the middle of its deliveries."""
    path = tmp_path / DATABASE
    await fill(path, clock)
    return path


async def fill(path: Path, clock: FakeClock) -> None:
    queue = SqliteQueue(path, clock=clock)
    await queue.open()
    await queue.store_definitions([API, hook("declared")], [])
    await queue.save_endpoint(EndpointHealth("b", failing_since=5.0, disabled="gone", disabled_at=6.0))
    for key in range(EVENTS):
        snoozed = Candidate("b", SOURCE, SNOOZE, bytes([key % 3]))
        hooks = ("a", snoozed, Candidate("c", SOURCE, refused="disabled")) if key % 4 else (snoozed,)
        await queue.offer(offer(key, *hooks, name="other" if key % 5 == 0 else "first", text="ü" * key))
        clock.advance(1)
    claimed = [one for hook_id in ("a", "b") for one in await queue.claim(hook_id, 12, 300)]
    for at, one in enumerate(claimed):
        if at % 4 == 0:
            await queue.settle([delivered(one.id)])
        elif at % 4 == 1:
            await queue.settle([dead(one.id)])
        elif at % 4 == 2:
            await queue.settle([postponed(one.id, clock() + 30, detail="answered 503 ü")])
        clock.advance(0.5)
    await queue.replay(id_of(1, "a"))
    (again,) = await queue.claim("a", 1, 0.25)
    await queue.settle([postponed(again.id, clock() + 5, again.attempts + 1)])
    assert attempt(1).body
    clock.advance(400)  # the leases that were not ended have run out
    await queue.close()
