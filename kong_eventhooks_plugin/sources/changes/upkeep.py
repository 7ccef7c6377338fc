"""Whether the mirror is kept up: only while somebody wants to hear of changes.

=================  =========================================================================================
somebody           the mirror and its outbox
=================  =========================================================================================
is there from the  is kept up; what an earlier process kept of it tells what changed meanwhile
start, or soon
went just now      is kept up for ``GRACE_SECONDS``, and what changes waits in the outbox: a hook that is edited
                   goes and comes back, and at a start hooks come only when they have been read
stays away longer  is dropped, on disk too, and what is in the outbox is told to nobody. A mirror that nobody
                   kept up for a month would tell that whole month when a hook comes
comes back then    is begun anew: the first round is silent
=================  =========================================================================================

So a mirror that was kept is always one that somebody still wanted when its process ended. Only the process that leads
drops it: another one over the same store may know of other hooks.
"""

import asyncio
import time
from asyncio import Event
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from kong_eventhooks_plugin.telemetry.raised import raised_at

GRACE_SECONDS: Final = 600.0
PAUSE_SECONDS: Final = 5.0
"""Before rounds that ended by an error, a bug, are begun again."""

RECENT_SECONDS: Final = 300.0
"""How long such an end is a trouble."""

_log = structlog.get_logger()


class MirrorLifecycle:
    """Runs ``rounds`` while they are wanted. ``run`` goes on until cancelled.

    ``forget`` drops the mirror; ``leads`` tells whether this process may; ``grace`` and ``pause`` are in
    seconds.
    """

    def __init__(
        self,
        rounds: Callable[[], Awaitable[None]],
        forget: Callable[[], Awaitable[None]],
        *,
        leads: Callable[[], bool],
        grace: float = GRACE_SECONDS,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._reconcile = rounds
        self._forget = forget
        self._leads = leads
        self._grace = grace
        self._pause = pause
        self._wanted, self._unwanted = Event(), Event()
        self._unwanted.set()
        self._last_crash: tuple[float, str] | None = None
        self.dropped = False
        """Whether nobody has wanted to for long."""

    @property
    def wanted(self) -> bool:
        """Whether somebody wants to hear of changes now."""
        return self._wanted.is_set()

    @property
    def error(self) -> str | None:
        """Where rounds ended by a bug lately; None where they did not."""
        if self._last_crash is None or time.monotonic() - self._last_crash[0] >= RECENT_SECONDS:
            return None
        return self._last_crash[1]

    @property
    def holds(self) -> bool:
        """Whether what is in the outbox has to wait: nobody is there to hear it, and may be soon, or elsewhere."""
        return not self.wanted and not (self.dropped and self._leads())

    def set_wanted(self, wanted: bool) -> None:
        """Say whether somebody wants to."""
        now, not_now = (self._wanted, self._unwanted) if wanted else (self._unwanted, self._wanted)
        now.set()
        not_now.clear()

    async def run(self) -> None:
        """Keep the mirror up while that is wanted."""
        if not await self._wanted_again():
            await self._drop_mirror()
        while True:
            await self._keep_up()
            await self._drop_mirror()

    async def _keep_up(self) -> None:
        """Run rounds until nobody has wanted them for long; who comes back before finds them still running."""
        rounds = asyncio.create_task(self._run_reconciler())
        try:
            await self._unwanted.wait()
            while await self._wanted_again():
                await self._unwanted.wait()
        finally:
            rounds.cancel()
            await asyncio.wait([rounds])

    async def _drop_mirror(self) -> None:
        """Drop the mirror, once this process leads, and wait until somebody wants one."""
        self.dropped, dropped = True, False
        while not self.wanted:
            if not dropped and self._leads():
                dropped = await self._dropped()
            await self._wanted_again()
        self.dropped = False

    async def _dropped(self) -> bool:
        try:
            await self._forget()
        except Exception as error:  # noqa: BLE001  the store may be away; it is tried again
            _log.warning("mirror_drop_failed", error=type(error).__name__, raised_at=raised_at(error))
            return False
        return True

    async def _wanted_again(self) -> bool:
        try:
            async with asyncio.timeout(self._grace):
                await self._wanted.wait()
        except TimeoutError:
            return False
        return True

    async def _run_reconciler(self) -> None:
        while True:
            try:
                await self._reconcile()
            except Exception as error:  # noqa: BLE001  a round that trips must not be the last one
                kind, place = type(error).__name__, raised_at(error)
                self._last_crash = (
                    time.monotonic(),
                    f"the reconciler crashed ({kind} raised in {place}) and restarts",
                )
                _log.error("reconciler_crashed", error=kind, raised_at=place)
            await asyncio.sleep(self._pause)
