"""What the console's pages are made from, handed in by the composition root.

Limit: a filter offers ``NAMES`` names of hooks.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from aiohttp import web

from kong_eventhooks_plugin.api.advice import DUE, waits_for
from kong_eventhooks_plugin.api.console.guard import ConsoleGuard, Visit
from kong_eventhooks_plugin.api.console.overview import Delivering, OverviewMaker
from kong_eventhooks_plugin.api.console.replays import Replays
from kong_eventhooks_plugin.api.service.readiness import Readiness
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.delivery.hook_rules import is_ordered
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import QueueLimits

NAMES: Final = 500


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

    def hook_of(self, visit: Visit) -> Hook:
        """Return the hook that a page is about; raises ``UnknownHook``."""
        return self.service.hooks.get(visit.request.match_info["hook"])

    def waits_for(self, hook_id: str) -> str:
        """Return what a delivery that is due waits for."""
        hook = self.hooks().get(hook_id)
        return DUE if hook is None else waits_for(self.service.states.held(hook), ordered=is_ordered(hook.config))

    def render(self, name: str, visit: Visit, values: Mapping[str, Any], status: int = 200) -> web.Response:
        return self.guard.render(name, visit, {"now": self.clock(), "waits_for": self.waits_for, **values}, status)

    def render_list(
        self, name: str, visit: Visit, given: Mapping[str, str], next_offset: str | None, values: Mapping[str, Any]
    ) -> web.Response:
        """Return a page of a list that is filtered by what is ``given``."""
        paging = {
            "filtered": any(given.values()),
            "offset": visit.request.query.get("offset", ""),
            "next": next_offset,
        }
        return self.render(name, visit, {"given": given, **self.choices(), **paging, **values})

    def choices(self) -> dict[str, list[str]]:
        """Return what filters offer: the sources, and the hooks' names."""
        return {
            "sources": sorted(self.known.sources),
            "names": sorted(each.name for each in self.hooks().values())[:NAMES],
        }
