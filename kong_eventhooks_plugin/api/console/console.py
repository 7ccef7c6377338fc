"""The console as the composition root makes it: its routes, and the loop that it needs.

It is switched off by the setting ``console``.
"""

import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from kong_eventhooks_plugin.api.console import rendering
from kong_eventhooks_plugin.api.console.guard import ConsoleGuard
from kong_eventhooks_plugin.api.console.overview import Delivering, OverviewMaker
from kong_eventhooks_plugin.api.console.parts import Parts
from kong_eventhooks_plugin.api.console.replays import Replays
from kong_eventhooks_plugin.api.console.routes import console_routes
from kong_eventhooks_plugin.api.console.sessions import LoginAttempts, Sessions
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.readiness import Readiness
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.background import SupervisedLoop
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import QueueLimits


class Console:
    """``check`` is /readyz's; ``held_back`` counts by hook's name and reason; ``limits`` are the queue's.

    ``shared``: nodes share the store.
    """

    def __init__(
        self,
        service: Service,
        access: Access,
        delivering: Delivering,
        hooks: Callable[[], Mapping[str, Hook]],
        held_back: Callable[[], Mapping[tuple[str, str], int]],
        check: Callable[[], Awaitable[Readiness]],
        known: Known,
        limits: QueueLimits,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        shared: bool = False,
    ) -> None:
        rendering.load()
        self._overview = OverviewMaker(check, hooks, delivering, limits, time.time, shared=shared)
        self._parts = Parts(
            guard=ConsoleGuard(access, Sessions(monotonic), LoginAttempts(monotonic), monotonic),
            service=service,
            overview=self._overview,
            replays=Replays(service.deliveries),
            delivering=delivering,
            hooks=hooks,
            held_back=held_back,
            check=check,
            known=known,
            clock=time.time,
            limits=limits,
            node=f"{socket.gethostname()}, process {os.getpid()}",
            shared=shared,
        )

    def routes(self) -> list[web.RouteDef]:
        return console_routes(self._parts)

    async def run(self) -> None:
        """Watch for problems until cancelled."""
        await rendering.compile_templates()
        await SupervisedLoop("console").run(self._overview.watch)
