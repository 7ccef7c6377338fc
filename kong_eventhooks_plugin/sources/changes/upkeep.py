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
from asyncio import Event
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

import structlog

from kong_eventhooks_plugin.background import SupervisedLoop
from kong_eventhooks_plugin.telemetry.raised import bug_fields

GRACE_SECONDS: Final = 600.0
PAUSE_SECONDS: Final = 5.0
"""Before a reconciler that crashed starts again."""

_log = structlog.get_logger()


class MirrorLifecycle:
    """Runs ``rounds`` while they are wanted. ``run`` goes on until cancelled.

    ``forget`` drops the mirror; ``leads`` tells whether this process may; ``grace`` and ``pause`` are in
    seconds.
    """

    def __init__(
        self,
        rounds: Callable[[], Coroutine[Any, Any, None]],
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
        self._loop = SupervisedLoop("reconciler", partial(asyncio.sleep, pause))
        self._wanted, self._unwanted = Event(), Event()
        self._unwanted.set()
        self.dropped = False
        """Whether nobody has wanted to for long."""

    @property
    def wanted(self) -> bool:
        """Whether somebody wants to hear of changes now."""
        return self._wanted.is_set()

    @property
    def error(self) -> str | None:
        """Where the reconciler crashed lately; None where it did not."""
        return self._loop.error

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
        rounds = asyncio.create_task(self._loop.run(self._reconcile))
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
            _log.warning("mirror_drop_failed", **bug_fields(error))
            return False
        return True

    async def _wanted_again(self) -> bool:
        try:
            async with asyncio.timeout(self._grace):
                await self._wanted.wait()
        except TimeoutError:
            return False
        return True
