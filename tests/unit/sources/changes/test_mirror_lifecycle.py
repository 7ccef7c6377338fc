"""The mirror is kept up while somebody wants it, and dropped where nobody did for long."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kong_eventhooks_plugin import background
from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.sources.changes.mirror_lifecycle import MirrorLifecycle
from tests.support.crud import StandInMirror, StandInReconciler, settled
from tests.support.waiting import SECONDS

SOON = 0.01
NEVER = 3_600.0


@asynccontextmanager
async def kept(
    mirror: StandInMirror, rounds: StandInReconciler, *, grace: float = NEVER, leads: Callable[[], bool] = lambda: True
) -> AsyncIterator[MirrorLifecycle]:
    lifecycle = MirrorLifecycle(rounds.run, mirror.forget, leads=leads, grace=grace)
    task = asyncio.create_task(lifecycle.run())
    try:
        yield lifecycle
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_wanted_from_the_start_it_is_kept_up_and_not_dropped() -> None:
    mirror, rounds = StandInMirror(), StandInReconciler()
    async with kept(mirror, rounds) as lifecycle:
        lifecycle.set_active(True)
        await asyncio.wait_for(rounds.began.wait(), SECONDS)
        assert not lifecycle.holds
    assert mirror.forgotten == 0
    assert rounds.running == 0, "it ends with its caller"


async def test_without_a_hook_nothing_is_asked_of_kong() -> None:
    mirror, rounds = StandInMirror(), StandInReconciler()
    async with kept(mirror, rounds, grace=SOON) as lifecycle:
        assert lifecycle.holds, "hooks may still be on their way"
        await mirror.until(lambda it: it.forgotten == 1)
        assert rounds.runs == 0
        assert not lifecycle.holds, "nobody is there to hear it, and nobody came"


async def test_a_hook_that_goes_and_comes_back_finds_the_mirror_kept_up() -> None:
    mirror, rounds = StandInMirror(), StandInReconciler()
    async with kept(mirror, rounds) as lifecycle:
        lifecycle.set_active(True)
        await asyncio.wait_for(rounds.began.wait(), SECONDS)
        lifecycle.set_active(False)
        assert lifecycle.holds, "what changes meanwhile waits for it"
        await settled()
        assert rounds.running == 1
        lifecycle.set_active(True)
        assert not lifecycle.holds
    assert mirror.forgotten == 0


async def test_a_hook_that_stays_away_takes_the_mirror_along_and_a_new_one_begins_anew() -> None:
    mirror, rounds = StandInMirror(), StandInReconciler()
    async with kept(mirror, rounds, grace=SOON) as lifecycle:
        lifecycle.set_active(True)
        await asyncio.wait_for(rounds.began.wait(), SECONDS)
        lifecycle.set_active(False)
        await mirror.until(lambda it: it.forgotten == 1)
        assert rounds.running == 0
        lifecycle.set_active(True)
        await asyncio.wait_for(rounds.began.wait(), SECONDS)
        assert not lifecycle.holds
    assert mirror.forgotten == 1


async def test_a_process_drops_and_tells_to_nobody_only_while_it_leads() -> None:
    mirror, rounds = StandInMirror(), StandInReconciler()
    leading = False
    async with kept(mirror, rounds, grace=SOON, leads=lambda: leading) as lifecycle:
        await settled(lambda: lifecycle.dropped)
        await settled()
        assert mirror.forgotten == 0
        assert lifecycle.holds
        leading = True
        await mirror.until(lambda it: it.forgotten == 1)


async def test_a_store_that_is_away_when_the_mirror_is_dropped() -> None:
    mirror, rounds = StandInMirror(), StandInReconciler()
    mirror.troubles = [StoreUnavailable("x")]
    async with kept(mirror, rounds, grace=SOON):
        await mirror.until(lambda it: it.forgotten == 1)
    assert not mirror.troubles


async def test_rounds_that_trip_begin_again() -> None:
    mirror, rounds, tripped = StandInMirror(), StandInReconciler(), 0

    async def trips_once() -> None:
        nonlocal tripped
        if not tripped:
            tripped += 1
            raise RuntimeError("a bug")
        await rounds.run()

    lifecycle = MirrorLifecycle(trips_once, mirror.forget, leads=lambda: True, pause=0)
    lifecycle.set_active(True)
    task = asyncio.create_task(lifecycle.run())
    await asyncio.wait_for(rounds.began.wait(), SECONDS)
    assert tripped == 1
    task.cancel()
    await asyncio.wait([task])


async def test_rounds_that_end_by_a_bug_are_a_trouble_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def trips() -> None:
        raise KeyError("a secret")

    lifecycle = MirrorLifecycle(trips, StandInMirror().forget, leads=lambda: True, pause=NEVER)
    assert lifecycle.error is None
    lifecycle.set_active(True)
    task = asyncio.create_task(lifecycle.run())
    await settled(lambda: lifecycle.error is not None)
    assert lifecycle.error is not None
    assert lifecycle.error.startswith("the reconciler crashed (KeyError raised in test_mirror_lifecycle.py:")
    monkeypatch.setattr(background, "RECENT_SECONDS", 0.0)
    assert lifecycle.error is None
    task.cancel()
    await asyncio.wait([task])
