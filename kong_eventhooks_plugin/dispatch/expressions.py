"""Hooks' filters: which of the hooks that heard an event fire, asked of the sandbox before the queue is.

====================================  ==========================================================
the filter                            the hook
====================================  ==========================================================
is true                               fires
is false                              is held back, reason ``filter``
cannot be evaluated (a field is not   is held back, reason ``filter_error``; the text is logged
there, types do not fit)
has no answer in time                 fires: better once too often than lost; logged
====================================  ==========================================================

All filters of an event are one task. Limits: ``SECONDS`` for its answer, ``COLD_SECONDS`` where no sandbox process has
answered yet and one must be started first; both leave room in the second that Kong is answered within. How many events
wait at once is the pool's limit (``Limits.waiting``): past it there is no answer, as above. ``TEXT`` characters of what
was wrong are logged.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kong_eventhooks_plugin.dispatch.seldom import SeldomLog
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Candidate
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Decide, Decided, Failed

SECONDS: Final = 0.25
COLD_SECONDS: Final = 0.75
TEXT: Final = 300


class Expressions:
    """See the file's head. ``clock`` gives seconds; ``name_of`` the name of a hook for the log."""

    def __init__(self, pool: Pool, clock: Callable[[], float], name_of: Callable[[str], str]) -> None:
        self._pool = pool
        self._seldom = SeldomLog(clock)
        self._name_of = name_of
        self._cold = True

    async def sift(
        self, event: Event, candidates: Sequence[Candidate], filters: Mapping[str, str]
    ) -> tuple[Candidate, ...]:
        """Return the candidates, those whose filter (hook id -> expression) does not let them fire refused."""
        asked = [one for one in candidates if one.refused is None and one.hook_id in filters]
        if not asked:
            return tuple(candidates)
        verdicts = await self._verdicts(event, tuple(filters[one.hook_id] for one in asked))
        told = {one.hook_id: self._refusal(one, verdict) for one, verdict in zip(asked, verdicts, strict=True)}
        return tuple(told.get(one.hook_id, one) for one in candidates)

    async def _verdicts(self, event: Event, expressions: tuple[str, ...]) -> tuple[bool | str, ...]:
        self._cold = self._cold or not self._pool.processes
        task = Decide(expressions, event.data, event.event, event.source)
        try:
            async with asyncio.timeout(COLD_SECONDS if self._cold else SECONDS):
                result = await self._pool.run(task)
        except TimeoutError:
            result = Failed("wall", "no answer in time")
        if isinstance(result, Decided) and len(result.verdicts) == len(expressions):
            self._cold = False
            return result.verdicts
        detail = result.text if isinstance(result, Failed) else "no verdict for each"
        reason = result.reason if isinstance(result, Failed) else "unavailable"
        self._seldom.warning("filters not asked, the hooks fire", reason, reason=reason, detail=detail[:TEXT])
        return (True,) * len(expressions)

    def _refusal(self, candidate: Candidate, verdict: bool | str) -> Candidate:
        if verdict is True:
            return candidate
        if verdict is False:
            return Candidate(candidate.hook_id, candidate.source, refused="filter")
        name = self._name_of(candidate.hook_id)
        self._seldom.warning("filter not evaluated, the hook is held back", name, hook=name, detail=verdict[:TEXT])
        return Candidate(candidate.hook_id, candidate.source, refused="filter_error")
