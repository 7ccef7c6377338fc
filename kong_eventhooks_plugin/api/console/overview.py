"""Is anything wrong, since when, and what to do: from the facts of /readyz and the queue.

A problem's beginning is what the parts know of it, else when this process first saw it: ``watch`` looks every
``WATCH_SECONDS``. Limits: ``PROBLEMS`` problems are shown, and as many remembered as there are now.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, Protocol

from kong_eventhooks_plugin.api import advice
from kong_eventhooks_plugin.api.advice import Advice
from kong_eventhooks_plugin.api.console.rendering import iso, number, query, segment, size
from kong_eventhooks_plugin.api.durations import span
from kong_eventhooks_plugin.api.service.readiness import OK, SHARED_STORE, Readiness
from kong_eventhooks_plugin.delivery.activity import Activity
from kong_eventhooks_plugin.delivery.hook_readiness import EndpointStanding
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import QueueLimits

WATCH_SECONDS: Final = 30.0
PROBLEMS: Final = 200
OLD_SECONDS: Final = 300.0
FULL_SHARE: Final = 0.5
RECENT_SECONDS: Final = 300.0
FAILURES: Final = 3
"""Failures in a row after which a hook is said to fail."""

NODE_LINK: Final = (("This node", "/console/node"),)
ABOUT_NODE: Final = frozenset({"store", "shared_store", "spool_old", "spool_full", "delivering"})
"""The keys of the problems that are the node's own."""

Level = Literal["bad", "warn", "note"]
_ORDER: Final[tuple[Level, ...]] = ("bad", "warn", "note")


class Problem(NamedTuple):
    """``key`` tells it from others; ``since`` is in Unix seconds; ``links`` are texts and paths of ours."""

    key: str
    level: Level
    advice: Advice
    subject: str = ""
    detail: str = ""
    since: float | None = None
    links: tuple[tuple[str, str], ...] = ()


class Overview(NamedTuple):
    level: Level | None
    problems: list[Problem]
    more: int
    readiness: Readiness
    fill: float
    limit: int


class Delivering(Protocol):
    """The part of the delivery worker that the console shows."""

    @property
    def activity(self) -> Activity: ...

    def standing(self, hook_id: str) -> EndpointStanding:
        """Return since when the hook's endpoint fails, and until when it is spared."""


class OverviewMaker:
    """``check`` is /readyz's; ``shared``: nodes share the store; ``clock`` gives Unix seconds."""

    def __init__(
        self,
        check: Callable[[], Awaitable[Readiness]],
        hooks: Callable[[], Mapping[str, Hook]],
        delivering: Delivering,
        limits: QueueLimits,
        clock: Callable[[], float],
        *,
        shared: bool = False,
    ) -> None:
        self._shared = shared
        self._check = check
        self._hooks = hooks
        self._delivering = delivering
        self._limits = limits
        self._clock = clock
        self._first_seen: dict[str, float] = {}
        self._lost: dict[str, tuple[int, float]] = {}

    async def make(self) -> Overview:
        ready = await self._check()
        found = [*self._problems(ready)]
        self._remember(found)
        dated = [each if each.since is not None else each._replace(since=self._first_seen[each.key]) for each in found]
        dated.sort(key=lambda each: (_ORDER.index(each.level), each.since))
        pending = _pending(ready)
        return Overview(
            level=dated[0].level if dated else None,
            problems=dated[:PROBLEMS],
            more=max(0, len(dated) - PROBLEMS),
            readiness=ready,
            fill=pending / self._limits.deliveries,
            limit=self._limits.deliveries,
        )

    async def watch(self) -> None:
        """Look again and again, so that a problem's beginning is known when somebody asks."""
        while True:
            await self.make()
            await asyncio.sleep(WATCH_SECONDS)

    def _remember(self, found: list[Problem]) -> None:
        now = self._clock()
        self._first_seen = {each.key: self._first_seen.get(each.key, now) for each in found}

    def _problems(self, ready: Readiness) -> Iterator[Problem]:
        if ready.store != OK:
            yield Problem("store", "bad", advice.STORE, detail=ready.store)
        yield from self._losses(ready)
        yield from self._held(ready)
        yield from self._failing(ready.held)
        for error in ready.errors:
            if not error.startswith(SHARED_STORE):
                yield Problem(f"error {error}", "warn", advice.ERROR, detail=error)
        yield from self._spool(ready)
        if not ready.delivering:
            known = advice.ANOTHER_DELIVERS if self._shared else advice.NOT_DELIVERING
            yield Problem("delivering", "note", known, links=NODE_LINK)
        yield from self._queue(ready)
        dead = ready.queue.get("deliveries", {}).get("dead", 0)
        if dead:
            links = (("Dead deliveries", "/console/deliveries?state=dead"),)
            yield Problem("dead", "note", advice.DEAD, detail=f"{number(dead)} kept", links=links)

    def _spool(self, ready: Readiness) -> Iterator[Problem]:
        """Yield what is wrong between this node and the store that nodes share."""
        now, spool = self._clock(), ready.spool
        away = next((each for each in ready.errors if each.startswith(SHARED_STORE)), None)
        oldest = spool.get("oldest_at")
        events = spool.get("events", 0)
        waiting = f"{number(events)} {'event waits' if events == 1 else 'events wait'} on this node"
        if oldest is not None:
            waiting += f", the oldest for {span(now - oldest)}"
        if away is not None:
            what = f"{away.removeprefix(SHARED_STORE)}; {waiting}"
            yield Problem("shared_store", "warn", advice.SHARED_STORE, detail=what, links=NODE_LINK)
        elif oldest is not None and now - oldest > OLD_SECONDS:
            yield Problem("spool_old", "warn", advice.SPOOL_OLD, detail=waiting, since=oldest, links=NODE_LINK)
        share = max(spool.get("events", 0) / self._limits.deliveries, spool.get("bytes", 0) / self._limits.bytes)
        if share >= FULL_SHARE:
            what = f"{waiting}, {size(spool['bytes'])}: {share:.0%} of the limit"
            level: Level = "bad" if share >= 1 else "warn"
            yield Problem("spool_full", level, advice.SPOOL_FULL, detail=what, links=NODE_LINK)

    def _losses(self, ready: Readiness) -> Iterator[Problem]:
        now = self._clock()
        for reason, count in ready.events_lost.items():
            before, at = self._lost.get(reason, (0, now))
            if count != before:
                at = now
                self._lost[reason] = (count, at)
            if count:
                level: Level = "bad" if now - at < RECENT_SECONDS else "note"
                what = f"{number(count)} lost since the start ({reason}), the last one {span(now - at)} ago"
                known = advice.LOSSES.get(reason, advice.UNKNOWN_LOSS)
                yield Problem(f"lost {reason}", level, known, detail=what)

    def _held(self, ready: Readiness) -> Iterator[Problem]:
        by_name = {hook.name: hook for hook in self._hooks().values()}
        for name, held in ready.held.items():
            reason, _, text = held.partition(":")
            hook = by_name.get(name)
            if reason == "disabled" or hook is None:
                continue
            standing = self._delivering.standing(hook.id)
            until = standing.held_until
            details = [text.strip()] if text else []
            if until is not None and until > self._clock():
                details.append(f"the next attempt is in {span(until - self._clock())}")
            waiting = ready.queue.get("per_hook", {}).get(name, 0)
            if waiting:
                details.append("1 delivery waits" if waiting == 1 else f"{number(waiting)} deliveries wait")
            level: Level = "note" if reason in {"endpoint_held", "breaker_probing"} else "warn"
            yield Problem(
                f"held {hook.id} {reason.partition('_')[0]}",
                level,
                advice.HELD.get(reason, advice.UNKNOWN_HOLD),
                subject=name,
                detail="; ".join(details),
                since=standing.disabled_at or standing.failing_since,
                links=_links(hook),
            )

    def _failing(self, held: Mapping[str, str]) -> Iterator[Problem]:
        for hook in self._hooks().values():
            last = self._delivering.activity.last(hook.id)
            if (
                len(last) < FAILURES
                or hook.name in held
                or any(each.outcome == "delivered" for each in last[-FAILURES:])
            ):
                continue
            what = ", ".join(str(part) for part in (last[-1].error, last[-1].status) if part is not None)
            since = self._delivering.standing(hook.id).failing_since or last[-FAILURES].at
            key = f"failing {hook.id}"
            yield Problem(key, "warn", advice.FAILING, hook.name, f"the last one: {what}", since, _links(hook))

    def _queue(self, ready: Readiness) -> Iterator[Problem]:
        now, oldest = self._clock(), ready.queue.get("oldest_unsettled_at")
        if oldest is not None and now - oldest > OLD_SECONDS:
            # The list begins with the newest: what came within a minute of the oldest is what is asked for.
            path = query("/console/deliveries", state="pending", until=iso(oldest + 60))
            links = (("The oldest pending deliveries", path),)
            yield Problem(
                "old", "warn", advice.OLD, detail=f"{number(_pending(ready))} wait in all", since=oldest, links=links
            )
        pending, held = _pending(ready), ready.queue.get("unsettled_bytes", 0)
        share = max(pending / self._limits.deliveries, held / self._limits.bytes)
        if share >= FULL_SHARE:
            what = f"{number(pending)} deliveries, {size(held)}: {share:.0%} of the limit"
            level: Level = "bad" if share >= 1 else "warn"
            links = (("Pending deliveries", "/console/deliveries?state=pending"),)
            yield Problem("fill", level, advice.FULL, detail=what, links=links)
        for name, count in ready.queue.get("per_hook", {}).items():
            if count >= self._limits.deliveries_per_hook * FULL_SHARE and share < FULL_SHARE:
                what = f"{number(count)} of {number(self._limits.deliveries_per_hook)}"
                yield Problem(f"fill {name}", "warn", advice.FULL, subject=name, detail=what)


def _pending(ready: Readiness) -> int:
    depth = ready.queue.get("deliveries", {})
    return int(depth.get("pending", 0)) + int(depth.get("leased", 0))


def _links(hook: Hook) -> tuple[tuple[str, str], ...]:
    return (
        ("Look at the hook", f"/console/hooks/{segment(hook.id)}"),
        ("Its deliveries", f"/console/deliveries?hook={segment(hook.id)}"),
    )
