"""Pings: telling an endpoint that its hook was created, changed or deleted.

Best effort, and only by the process that delivers. One that arrives is told to ``arrived``: a hook that its endpoint
had switched off goes on then. Where a reference has no value yet (Kong tells it with a hook's
first request) the ping goes out once it has, looked up every ``RECHECK_SECONDS`` seconds.

Limits: ``WAITING`` pings wait, and as many for a reference; further ones are dropped and logged; one that could not be
sent for ``EXPIRES`` seconds, because another process delivers, is dropped (that one sends its own); ``AT_ONCE`` run
side by side, each with ``PAUSES`` between its tries. A slow endpoint therefore delays other pings at the worst, and no
delivery.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from kong_eventhooks_plugin.delivery.waiting import Wait, pause
from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.handlers.contract import Handler, Operation
from kong_eventhooks_plugin.hooks.contract import ActiveHooks, HookChange
from kong_eventhooks_plugin.model.delivery import Delivered, Outcome, Retry
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import Clock

WAITING = 1_000
EXPIRES = 60.0
AT_ONCE = 8
PAUSES = (5.0, 30.0)
LONGEST = 20.0
RECHECK_SECONDS = 1.0

log = structlog.get_logger()


class Ping(msgspec.Struct, frozen=True):
    """One ping to send; ``config`` is resolved at once where the hook goes away."""

    hook: Hook
    operation: Operation
    asked_at: float
    config: Mapping[str, Any] | None = None


def pings_for(change: HookChange) -> Iterator[tuple[Hook, Operation]]:
    """Yield what a change is worth telling: nothing where the definition says the same, or the hook is not enabled."""
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
    """See the file's head. ``leading`` tells whether this process delivers; ``arrived`` hears of hooks' ids."""

    def __init__(
        self,
        book: ActiveHooks,
        handlers: Mapping[str, Handler],
        leading: Callable[[], bool],
        clock: Clock,
        wait: Wait,
        arrived: Callable[[str], None],
    ) -> None:
        self._book = book
        self._handlers = handlers
        self._leading = leading
        self._clock = clock
        self._wait = wait
        self._arrived = arrived
        self._waiting: deque[Ping] = deque()
        self._unresolved: dict[str, Ping] = {}
        self._checked_at: float | None = None
        self._running: set[asyncio.Task[None]] = set()

    def add(self, changes: Sequence[HookChange]) -> None:
        """Have pings sent for what changed."""
        for change in changes:
            for hook, operation in pings_for(change):
                self._add(hook, operation)
        self.send()

    def send(self) -> None:
        """Start what may be sent now; called whenever something may have changed."""
        now = self._clock()
        self._recheck_unresolved(now)
        while self._waiting and len(self._running) < AT_ONCE:
            ping = self._waiting[0]
            if not self._leading():
                if now - ping.asked_at < EXPIRES:
                    return
                self._waiting.popleft()
                log.debug("ping_skipped", reason="not_delivering", hook=ping.hook.name, operation=ping.operation)
                continue
            self._waiting.popleft()
            task = asyncio.create_task(self._send(ping))
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End those under way."""
        self._waiting.clear()
        self._unresolved.clear()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _add(self, hook: Hook, operation: Operation) -> None:
        if hook.handler not in self._handlers:
            return
        if len(self._waiting) >= WAITING:
            log.warning("ping_dropped", reason="too_many_waiting", hook=hook.name, operation=operation)
            return
        before = self._unresolved.pop(hook.id, None)
        if before is not None and operation == "update":
            operation = before.operation  # what came first was never told
        config = self._config(hook) if operation == "delete" else None
        self._waiting.append(Ping(hook, operation, self._clock(), config))

    def _recheck_unresolved(self, now: float) -> None:
        """Let those go out that waited for a reference's value; forget those whose hook says something else now."""
        if self._checked_at is not None and 0 <= now - self._checked_at < RECHECK_SECONDS:
            return
        self._checked_at = now
        for hook_id, ping in list(self._unresolved.items()):
            in_force = self._book.get(hook_id)
            if in_force is None or not in_force.same_definition(ping.hook):
                del self._unresolved[hook_id]
            elif self._config(ping.hook) is not None:
                del self._unresolved[hook_id]
                self._waiting.append(msgspec.structs.replace(ping, asked_at=now))

    def _hold(self, ping: Ping) -> None:
        """Have a ping wait for a reference's value; there is none to wait for where the hook went."""
        if ping.operation == "delete" or len(self._unresolved) >= WAITING:
            log.info("ping_dropped", reason="unresolved_reference", hook=ping.hook.name)
            return
        log.info("ping_postponed", reason="unresolved_reference", hook=ping.hook.name)
        self._unresolved.setdefault(ping.hook.id, ping)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("ping_task_failed", error=type(error).__name__)
        self.send()

    async def _send(self, ping: Ping) -> None:
        outcome: Outcome | None = None
        for wait_before in (0.0, *PAUSES):
            if wait_before:
                await pause(self._wait, self._clock, wait_before)
            config = ping.config if ping.config is not None else self._config(ping.hook)
            if config is None:
                self._hold(ping)
                return
            outcome = await self._try(ping, config)
            if not isinstance(outcome, Retry):
                break
        if isinstance(outcome, Delivered) and ping.operation != "delete":
            self._arrived(ping.hook.id)
        if outcome is not None:
            said = {} if isinstance(outcome, Delivered) else {"error": outcome.error, "detail": outcome.detail}
            log.info("ping_failed" if said else "ping_sent", hook=ping.hook.name, operation=ping.operation, **said)

    async def _try(self, ping: Ping, config: Mapping[str, Any]) -> Outcome | None:
        try:
            async with asyncio.timeout(LONGEST):
                return await self._handlers[ping.hook.handler].ping(ping.hook, config, ping.operation, self._clock())
        except TimeoutError:
            return Retry("timeout", "the handler did not end in time")
        except Exception as error:  # noqa: BLE001 - a handler's bug costs a ping, never the worker
            return Retry("internal", f"the handler raised {type(error).__name__}")

    def _config(self, hook: Hook) -> Mapping[str, Any] | None:
        try:
            return self._book.resolved(hook)
        except UnresolvedReference:
            return None
