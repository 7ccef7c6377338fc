"""Pings: report to an endpoint that its hook was created, changed or deleted.

Best effort, and only by the process that delivers the hook: where nodes share the store, ``turn`` says which.
``on_delivered`` is called for one that arrives: a hook that was switched off for its endpoint delivers again. Where a
reference has no value yet (Kong hands it over with a hook's first request) the ping is sent once it has one, checked
every ``RECHECK_SECONDS`` seconds. A ping is void once its definition is replaced: the new one has a ping of its own.

Limits: ``WAITING`` pings wait, and as many for a reference; further ones are dropped and logged; one that could not be
sent for ``EXPIRES`` seconds, because another process delivers, is dropped (that one sends its own); ``AT_ONCE`` run
in parallel, each with ``PAUSES`` between its attempts. A slow endpoint can therefore delay other pings, but no
delivery.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from kong_eventhooks_plugin.background import TaskSet
from kong_eventhooks_plugin.delivery.waiting import Wait, pause
from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.hooks.contract import ActiveHooks, HookChange
from kong_eventhooks_plugin.model.delivery import Delivered, Outcome, Retry, log_fields
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.operation import Operation
from kong_eventhooks_plugin.queue.contract import Clock

WAITING = 1_000
EXPIRES = 60.0
AT_ONCE = 8
PAUSES = (5.0, 30.0)
LONGEST = 20.0
RECHECK_SECONDS = 1.0

log = structlog.get_logger()


class Ping(msgspec.Struct, frozen=True):
    """One ping to send; ``config`` is resolved at once for a hook that is deleted.

    ``owned``: this process delivered the hook when it changed.
    """

    hook: Hook
    operation: Operation
    asked_at: float
    config: Mapping[str, Any] | None = None
    owned: bool = True


Turn = Callable[[Ping], bool | None]
"""Returns whether to send a ping; None: not now, perhaps later."""


def pings_for(change: HookChange) -> Iterator[tuple[Hook, Operation]]:
    """Yield the pings of a change: none for an equal definition or a hook that is not enabled."""
    before, after = change.before, change.after
    if before is not None and after is not None and before.handler == after.handler:
        if after.enabled and not before.same_definition(after):
            yield after, "update"
        return
    if before is not None and before.enabled:
        yield before, "delete"
    if after is not None and after.enabled:
        yield after, "create"


class Pings:
    """``working`` returns whether this process delivers, ``owns`` whether it does a hook.

    ``on_delivered`` is called with hooks' ids.
    """

    def __init__(
        self,
        active: ActiveHooks,
        handlers: Mapping[str, Handler],
        working: Callable[[], bool],
        clock: Clock,
        wait: Wait,
        on_delivered: Callable[[str], None],
        *,
        owns: Callable[[str], bool] = lambda _: True,
        turn: Turn = lambda _: True,
    ) -> None:
        self._active = active
        self._handlers = handlers
        self._working = working
        self._owns = owns
        self._turn = turn
        self._clock = clock
        self._wait = wait
        self._on_delivered = on_delivered
        self._waiting: deque[Ping] = deque()
        self._unresolved: dict[str, Ping] = {}
        self._checked_at: float | None = None
        self._running = TaskSet()

    def add(self, changes: Sequence[HookChange]) -> None:
        for change in changes:
            for hook, operation in pings_for(change):
                self._add(hook, operation)
        self.send()

    def send(self) -> None:
        """Start what may be sent now; to be called whenever something may have changed."""
        now = self._clock()
        self._recheck_unresolved(now)
        if not self._working():
            self._drop_expired(now)
            return
        later: list[Ping] = []
        while self._waiting and len(self._running) < AT_ONCE:
            ping = self._waiting.popleft()
            ours = self._turn(ping)
            if ours:
                self._running.run(self._send(ping)).add_done_callback(self._ended)
            elif ours is None:
                later.append(ping)
            else:
                _skip(ping)
        self._waiting.extendleft(reversed(later))
        self._drop_expired(now)

    async def stop(self) -> None:
        """Cancel those under way, forget those that wait."""
        self._waiting.clear()
        self._unresolved.clear()
        await self._running.finish(0)

    def _drop_expired(self, now: float) -> None:
        while self._waiting and now - self._waiting[0].asked_at >= EXPIRES:
            _skip(self._waiting.popleft())

    def _add(self, hook: Hook, operation: Operation) -> None:
        if hook.handler not in self._handlers:
            return
        if len(self._waiting) >= WAITING:
            log.warning("ping_dropped", reason="too_many_waiting", hook=hook.name, operation=operation)
            return
        before = self._unresolved.pop(hook.id, None)
        if before is not None and operation == "update":
            operation = before.operation  # the first one was never sent
        elif operation == "update" and any(
            waiting.operation == "create" and waiting.hook.id == hook.id for waiting in self._waiting
        ):
            operation = "create"  # the same
        config = self._config(hook) if operation == "delete" else None
        self._waiting.append(Ping(hook, operation, self._clock(), config, self._owns(hook.id)))

    def _recheck_unresolved(self, now: float) -> None:
        """Queue pings whose references have values now; drop void ones."""
        if self._checked_at is not None and 0 <= now - self._checked_at < RECHECK_SECONDS:
            return
        self._checked_at = now
        for hook_id, ping in list(self._unresolved.items()):
            if self._is_replaced(ping):
                del self._unresolved[hook_id]
            elif self._config(ping.hook) is not None:
                del self._unresolved[hook_id]
                self._waiting.append(msgspec.structs.replace(ping, asked_at=now))

    def _hold(self, ping: Ping) -> None:
        """Keep a ping until its references have values; a deleted hook's never will."""
        if ping.operation == "delete" or len(self._unresolved) >= WAITING:
            log.info("ping_dropped", reason="unresolved_reference", hook=ping.hook.name)
            return
        log.info("ping_postponed", reason="unresolved_reference", hook=ping.hook.name)
        self._unresolved.setdefault(ping.hook.id, ping)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            self.send()

    async def _send(self, ping: Ping) -> None:
        outcome: Outcome | None = None
        for wait_before in (0.0, *PAUSES):
            if wait_before:
                await pause(self._wait, self._clock, wait_before)
            if self._is_void(ping, retried=wait_before > 0):
                log.info("ping_dropped", reason="definition_replaced", hook=ping.hook.name, operation=ping.operation)
                return
            config = ping.config if ping.config is not None else await self._refreshed(ping.hook)
            if config is None:
                self._hold(ping)
                return
            outcome = await self._try(ping, config)
            if not isinstance(outcome, Retry):
                break
        if isinstance(outcome, Delivered) and ping.operation != "delete" and not self._is_replaced(ping):
            self._on_delivered(ping.hook.id)
        if outcome is not None:
            error = {} if isinstance(outcome, Delivered) else log_fields(outcome)
            log.info("ping_failed" if error else "ping_sent", hook=ping.hook.name, operation=ping.operation, **error)

    def _is_void(self, ping: Ping, *, retried: bool) -> bool:
        if ping.operation != "delete":
            return self._is_replaced(ping)
        # Late, behind the ping of a hook that was created again, it would deny that one.
        active = self._active.get(ping.hook.id)
        return retried and active is not None and active.handler == ping.hook.handler

    def _is_replaced(self, ping: Ping) -> bool:
        active = self._active.get(ping.hook.id)
        return active is None or not active.same_definition(ping.hook)

    async def _try(self, ping: Ping, config: Mapping[str, Any]) -> Outcome | None:
        try:
            async with asyncio.timeout(LONGEST):
                return await self._handlers[ping.hook.handler].ping(ping.hook, config, ping.operation, self._clock())
        except TimeoutError:
            return Retry("timeout", "the handler did not end in time")
        except Exception as error:  # noqa: BLE001 - a handler's bug costs a ping, never the worker
            return Retry("internal", f"the handler raised {type(error).__name__}")

    async def _refreshed(self, hook: Hook) -> Mapping[str, Any] | None:
        try:
            return await self._active.refreshed(hook)
        except UnresolvedReference:
            return None

    def _config(self, hook: Hook) -> Mapping[str, Any] | None:
        try:
            return self._active.resolved(hook)
        except UnresolvedReference:
            return None


def _skip(ping: Ping) -> None:
    log.debug("ping_skipped", reason="not_delivering", hook=ping.hook.name, operation=ping.operation)
