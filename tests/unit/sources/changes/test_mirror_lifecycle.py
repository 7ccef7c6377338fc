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
    mirror: StandInMirror,
    reconciler: StandInReconciler,
    *,
    grace: float = NEVER,
    leads: Callable[[], bool] = lambda: True,
) -> AsyncIterator[MirrorLifecycle]:
    lifecycle = MirrorLifecycle(reconciler.run, mirror.forget, leads=leads, grace=grace)
    task = asyncio.create_task(lifecycle.run())
    try:
        yield lifecycle
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_wanted_from_the_start_it_is_kept_up_and_not_dropped() -> None:
    mirror, reconciler = StandInMirror(), StandInReconciler()
    async with kept(mirror, reconciler) as lifecycle:
        lifecycle.set_active(True)
        await asyncio.wait_for(reconciler.began.wait(), SECONDS)
        assert not lifecycle.holds
    assert mirror.forgotten == 0
    assert reconciler.running == 0, "it ends with its caller"


async def test_without_a_hook_nothing_is_asked_of_kong() -> None:
    mirror, reconciler = StandInMirror(), StandInReconciler()
    async with kept(mirror, reconciler, grace=SOON) as lifecycle:
        assert lifecycle.holds, "hooks may still be on their way"
        await mirror.until(lambda it: it.forgotten == 1)
        assert reconciler.runs == 0
        assert not lifecycle.holds, "nobody is there to hear it, and nobody came"


async def test_a_hook_that_goes_and_comes_back_finds_the_mirror_kept_up() -> None:
    mirror, reconciler = StandInMirror(), StandInReconciler()
    async with kept(mirror, reconciler) as lifecycle:
        lifecycle.set_active(True)
        await asyncio.wait_for(reconciler.began.wait(), SECONDS)
        lifecycle.set_active(False)
        assert lifecycle.holds, "what changes meanwhile waits for it"
        await settled()
        assert reconciler.running == 1
        lifecycle.set_active(True)
        assert not lifecycle.holds
    assert mirror.forgotten == 0


async def test_a_hook_that_stays_away_takes_the_mirror_along_and_a_new_one_begins_anew() -> None:
    mirror, reconciler = StandInMirror(), StandInReconciler()
    async with kept(mirror, reconciler, grace=SOON) as lifecycle:
        lifecycle.set_active(True)
        await asyncio.wait_for(reconciler.began.wait(), SECONDS)
        lifecycle.set_active(False)
        await mirror.until(lambda it: it.forgotten == 1)
        assert reconciler.running == 0
        lifecycle.set_active(True)
        await asyncio.wait_for(reconciler.began.wait(), SECONDS)
        assert not lifecycle.holds
    assert mirror.forgotten == 1


async def test_a_process_drops_and_reports_to_nobody_only_while_it_leads() -> None:
    mirror, reconciler = StandInMirror(), StandInReconciler()
    leading = False
    async with kept(mirror, reconciler, grace=SOON, leads=lambda: leading) as lifecycle:
        await settled(lambda: lifecycle.dropped)
        await settled()
        assert mirror.forgotten == 0
        assert lifecycle.holds
        leading = True
        await mirror.until(lambda it: it.forgotten == 1)


async def test_a_store_that_is_away_when_the_mirror_is_dropped() -> None:
    mirror, reconciler = StandInMirror(), StandInReconciler()
    mirror.errors = [StoreUnavailable("x")]
    async with kept(mirror, reconciler, grace=SOON):
        await mirror.until(lambda it: it.forgotten == 1)
    assert not mirror.errors


async def test_reconciliations_that_crash_begin_again() -> None:
    mirror, reconciler, crashes = StandInMirror(), StandInReconciler(), 0

    async def crashes_once() -> None:
        nonlocal crashes
        if not crashes:
            crashes += 1
            raise RuntimeError("a bug")
        await reconciler.run()

    lifecycle = MirrorLifecycle(crashes_once, mirror.forget, leads=lambda: True, pause=0)
    lifecycle.set_active(True)
    task = asyncio.create_task(lifecycle.run())
    await asyncio.wait_for(reconciler.began.wait(), SECONDS)
    assert crashes == 1
    task.cancel()
    await asyncio.wait([task])


async def test_reconciliations_that_end_by_a_bug_are_an_error_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def crashes_always() -> None:
        raise KeyError("a secret")

    lifecycle = MirrorLifecycle(crashes_always, StandInMirror().forget, leads=lambda: True, pause=NEVER)
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
