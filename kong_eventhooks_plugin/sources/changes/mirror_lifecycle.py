"""When the mirror is kept up to date: only while a hook subscribes to changes.

=======================  ===================================================================================
subscribers              the mirror and its outbox
=======================  ===================================================================================
there from the start,    is kept up to date; what an earlier process left of it reveals what changed meanwhile
or soon after it
just left                is kept up to date for ``GRACE_SECONDS``, and changes wait in the outbox: a hook that
                         is edited goes and comes back, and at a start hooks come only once they are loaded
away for longer          is dropped, on disk too, and what is in the outbox is published to nobody. A mirror
                         that was not updated for a month would report that whole month when a hook comes
back then                starts anew: the first reconciliation is silent
=======================  ===================================================================================

So a mirror on disk is always one that still had subscribers when its process ended. Only the process that leads drops
it: another one over the same store may have other hooks.
"""

import asyncio
from asyncio import Event
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

import structlog

from kong_eventhooks_plugin.background import SupervisedLoop, is_set_within
from kong_eventhooks_plugin.telemetry.raised import bug_fields

GRACE_SECONDS: Final = 600.0
PAUSE_SECONDS: Final = 5.0
"""Before a reconciler that crashed restarts."""

_log = structlog.get_logger()


class MirrorLifecycle:
    """Runs ``reconcile`` while the mirror is active. ``run`` goes on until cancelled.

    ``forget`` drops the mirror; ``leads`` says whether this process may; ``grace`` and ``pause`` are in seconds.
    """

    def __init__(
        self,
        reconcile: Callable[[], Coroutine[Any, Any, None]],
        forget: Callable[[], Awaitable[None]],
        *,
        leads: Callable[[], bool],
        grace: float = GRACE_SECONDS,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._reconcile = reconcile
        self._forget = forget
        self._leads = leads
        self._grace = grace
        self._loop = SupervisedLoop("reconciler", partial(asyncio.sleep, pause))
        self._active, self._inactive = Event(), Event()
        self._inactive.set()
        self.dropped = False
        """Whether there have been no subscribers for long."""

    @property
    def active(self) -> bool:
        """Whether a hook subscribes to changes now."""
        return self._active.is_set()

    @property
    def error(self) -> str | None:
        """Where the reconciler crashed recently; None where it did not."""
        return self._loop.error

    @property
    def holds(self) -> bool:
        """Whether the outbox has to wait: there is no subscriber now, and may be one soon, or in another process."""
        return not self.active and not (self.dropped and self._leads())

    def set_active(self, active: bool) -> None:
        now, before = (self._active, self._inactive) if active else (self._inactive, self._active)
        now.set()
        before.clear()

    async def run(self) -> None:
        if not await self._active_again():
            await self._drop_mirror()
        while True:
            await self._keep_up()
            await self._drop_mirror()

    async def _keep_up(self) -> None:
        """Reconcile until the grace period ends; who subscribes before that finds the reconciler still running."""
        reconciler = asyncio.create_task(self._loop.run(self._reconcile))
        try:
            await self._inactive.wait()
            while await self._active_again():
                await self._inactive.wait()
        finally:
            reconciler.cancel()
            await asyncio.wait([reconciler])

    async def _drop_mirror(self) -> None:
        """Drop the mirror, once this process leads, and wait for a subscriber."""
        self.dropped, dropped = True, False
        while not self.active:
            if not dropped and self._leads():
                dropped = await self._dropped()
            await self._active_again()
        self.dropped = False

    async def _dropped(self) -> bool:
        try:
            await self._forget()
        except Exception as error:  # noqa: BLE001  the store may be away; it is tried again
            _log.warning("mirror_drop_failed", **bug_fields(error))
            return False
        return True

    async def _active_again(self) -> bool:
        return await is_set_within(self._active, self._grace)
