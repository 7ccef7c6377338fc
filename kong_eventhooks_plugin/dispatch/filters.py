"""Hooks' filters: which of the hooks that match an event fire. The sandbox evaluates them before the queue is asked.

====================================  ==========================================================
the filter                            the hook
====================================  ==========================================================
is true                               fires
is false                              is held back, reason ``filter``
cannot be evaluated (a field is not   is held back, reason ``filter_error``; logged, without data of the
there, types do not fit)              event (``sandbox.filter_errors``)
has no answer in time                 fires: better once too often than lost; logged
====================================  ==========================================================

All filters of an event are one task. Where that task exceeded a limit of the sandbox nobody knows whose filter it was:
each is a suspect, and is evaluated alone until it has answered alone, in a lane of its own in the pool: not in its
hook's, whose deliveries did nothing. So a filter that never ends costs the other hooks the first events, not all.

Limits: ``SECONDS`` for an answer, ``COLD_SECONDS`` where no sandbox process has answered yet and one must be started
first; both leave room in the second that Kong is answered within. How many events wait at once is the pool's limit
(``Limits.waiting``): past it there is no answer, as above. ``SUSPECTS`` hooks are remembered, past them the first is
forgotten. ``TEXT`` characters of an error are kept and logged, and the names of ``NAMED`` hooks. Of each hook in force
it is known whether its filter ever gave a verdict.
"""

import asyncio
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final

from kong_eventhooks_plugin.background import RateLimitedLogger
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Candidate
from kong_eventhooks_plugin.sandbox.filter_errors import loggable
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Decide, Decided, Failed

SECONDS: Final = 0.25
COLD_SECONDS: Final = 0.75
SUSPECTS: Final = 1_000
NAMED: Final = 5
TEXT: Final = 300

_CAUSED_BY_ONE_FILTER: Final = frozenset({"wall", "cpu", "memory", "output", "syscall", "crash"})


class FilterEvaluator:
    """``clock`` gives seconds; ``name_of`` the name of a hook for the log."""

    def __init__(self, pool: Pool, clock: Callable[[], float], name_of: Callable[[str], str]) -> None:
        self._pool = pool
        self._limited_log = RateLimitedLogger(clock)
        self._name_of = name_of
        self._cold = True
        self._suspects: dict[str, None] = {}
        self._worked: dict[str, str] = {}
        self._failing: dict[str, tuple[str, str]] = {}

    def error(self, hook_id: str, expression: str) -> str | None:
        """Return the last error of a hook's filter, where every event so far led to one."""
        found = self._failing.get(hook_id)
        return found[1] if found is not None and found[0] == expression else None

    def forget(self, hooks: Container[str]) -> None:
        """Forget what is known of the filters of other hooks."""
        for known in (self._worked, self._failing):
            for hook_id in [each for each in known if each not in hooks]:
                del known[hook_id]

    async def evaluate(
        self, event: Event, candidates: Sequence[Candidate], filters: Mapping[str, str]
    ) -> tuple[Candidate, ...]:
        """Return the candidates, those whose filter (hook id -> expression) does not let them fire refused."""
        asked = [one for one in candidates if one.refused is None and one.hook_id in filters]
        if not asked:
            return tuple(candidates)
        groups = self._groups([one.hook_id for one in asked])
        verdicts: dict[str, bool | str | None] = {}
        for found in await asyncio.gather(*(self._verdicts(event, group, filters) for group in groups)):
            verdicts |= found
        decided = {one.hook_id: self._refusal(one, verdicts[one.hook_id], filters[one.hook_id]) for one in asked}
        return tuple(decided.get(one.hook_id, one) for one in candidates)

    def _groups(self, hooks: Sequence[str]) -> list[tuple[str, ...]]:
        """Return which hooks' filters are evaluated in one task: all but the suspects."""
        together = tuple(hook for hook in hooks if hook not in self._suspects)
        alone = [(hook,) for hook in hooks if hook in self._suspects]
        return [together, *alone] if together else [*alone]

    async def _verdicts(
        self, event: Event, hooks: tuple[str, ...], filters: Mapping[str, str]
    ) -> dict[str, bool | str | None]:
        """Return by hook id what its filter is, an error's text, or None where there was no answer."""
        self._cold = self._cold or not self._pool.processes
        task = Decide(tuple(filters[hook] for hook in hooks), event.data, event.event, event.source)
        try:
            async with asyncio.timeout(COLD_SECONDS if self._cold else SECONDS):
                result = await self._pool.run(task, f"filter of {hooks[0]}" if len(hooks) == 1 else "")
        except TimeoutError:
            result = Failed("wall", "no answer in time")
        if isinstance(result, Decided) and len(result.verdicts) == len(hooks):
            self._cold = False
            if len(hooks) == 1:
                self._suspects.pop(hooks[0], None)
            return dict(zip(hooks, result.verdicts, strict=True))
        detail = (result.logged or result.text) if isinstance(result, Failed) else "no verdict for each"
        reason = result.reason if isinstance(result, Failed) else "unavailable"
        self._failed(hooks, reason, detail)
        if reason in _CAUSED_BY_ONE_FILTER:
            self._suspect(hooks)
        return dict.fromkeys(hooks, None)

    def _failed(self, hooks: tuple[str, ...], reason: str, detail: str) -> None:
        names = [self._name_of(hook) for hook in hooks[:NAMED]]
        key = names[0] if len(hooks) == 1 else reason
        self._limited_log.warning(
            "filters_failed", key, reason=reason, error=detail[:TEXT], hooks=names, hook_count=len(hooks)
        )

    def _suspect(self, hooks: tuple[str, ...]) -> None:
        for hook in hooks:
            self._suspects[hook] = None
        while len(self._suspects) > SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    def _refusal(self, candidate: Candidate, verdict: bool | str | None, expression: str) -> Candidate:
        if verdict is None:
            return candidate
        if isinstance(verdict, bool):
            self._worked[candidate.hook_id] = expression
            self._failing.pop(candidate.hook_id, None)
            return candidate if verdict else Candidate(candidate.hook_id, candidate.source, refused="filter")
        name, error = self._name_of(candidate.hook_id), loggable(verdict, expression)[:TEXT]
        if self._worked.get(candidate.hook_id) != expression:
            self._failing[candidate.hook_id] = expression, error
        self._limited_log.warning("filter_failed", name, hook=name, error=error)
        return Candidate(candidate.hook_id, candidate.source, refused="filter_error")
