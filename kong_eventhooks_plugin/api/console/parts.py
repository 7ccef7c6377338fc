"""What the console's pages are made from, handed in by the composition root."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from kong_eventhooks_plugin.api.console.guard import ConsoleGuard
from kong_eventhooks_plugin.api.console.overview import Delivering, OverviewMaker
from kong_eventhooks_plugin.api.console.replays import Replays
from kong_eventhooks_plugin.api.service.readiness import Readiness
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import QueueLimits


class Parts(NamedTuple):
    """``held_back`` counts by hook's name and reason; ``check`` is /readyz's; ``clock`` gives Unix seconds.

    ``node`` is this process' name; ``shared``: nodes share the store, and ``limits`` are those of the spool, too.
    """

    guard: ConsoleGuard
    service: Service
    overview: OverviewMaker
    replays: Replays
    delivering: Delivering
    hooks: Callable[[], Mapping[str, Hook]]
    held_back: Callable[[], Mapping[tuple[str, str], int]]
    check: Callable[[], Awaitable[Readiness]]
    known: Known
    clock: Callable[[], float]
    limits: QueueLimits
    node: str
    shared: bool
