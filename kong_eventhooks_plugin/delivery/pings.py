"""Pings: telling an endpoint that its hook was created, changed or deleted.

Best effort, and only by the process that delivers.

Limits: ``WAITING`` pings wait, further ones are dropped and logged; one that could not be sent for ``EXPIRES``
seconds, because another process delivers, is dropped (that one sends its own); ``AT_ONCE`` run side by side, each with
``PAUSES`` between its tries. A slow endpoint therefore delays other pings at the worst, and no delivery.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from kong_eventhooks_plugin.delivery.waiting import Clock, Wait, pause
from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.handlers.contract import Handler, Operation
from kong_eventhooks_plugin.hooks.contract import Change, HookBook
from kong_eventhooks_plugin.model.delivery import Delivered, Outcome, Retry
from kong_eventhooks_plugin.model.hook import Hook

WAITING = 1_000
EXPIRES = 60.0
AT_ONCE = 8
PAUSES = (5.0, 30.0)
LONGEST = 20.0

log = structlog.get_logger()


class Ping(msgspec.Struct, frozen=True):
    """One ping to send; ``config`` is resolved at once where the hook goes away."""

    hook: Hook
    operation: Operation
    asked_at: float
    config: Mapping[str, Any] | None = None


def pings_for(change: Change) -> Iterator[tuple[Hook, Operation]]:
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
    """See the file's head. ``leading`` tells whether this process delivers."""

    def __init__(
        self, book: HookBook, handlers: Mapping[str, Handler], leading: Callable[[], bool], clock: Clock, wait: Wait
    ) -> None:
        self._book = book
        self._handlers = handlers
        self._leading = leading
        self._clock = clock
        self._wait = wait
        self._waiting: deque[Ping] = deque()
        self._running: set[asyncio.Task[None]] = set()

    def add(self, changes: Sequence[Change]) -> None:
        """Have pings sent for what changed."""
        for change in changes:
            for hook, operation in pings_for(change):
                self._add(hook, operation)
        self.send()

    def send(self) -> None:
        """Start what may be sent now; called whenever something may have changed."""
        now = self._clock()
        while self._waiting and len(self._running) < AT_ONCE:
            ping = self._waiting[0]
            if not self._leading():
                if now - ping.asked_at < EXPIRES:
                    return
                self._waiting.popleft()
                log.debug("ping left to the delivering process", hook=ping.hook.name, operation=ping.operation)
                continue
            self._waiting.popleft()
            task = asyncio.create_task(self._send(ping))
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End those under way."""
        self._waiting.clear()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _add(self, hook: Hook, operation: Operation) -> None:
        if hook.handler not in self._handlers:
            return
        if len(self._waiting) >= WAITING:
            log.warning("ping dropped, too many wait", hook=hook.name, operation=operation)
            return
        config = self._config(hook) if operation == "delete" else None
        self._waiting.append(Ping(hook, operation, self._clock(), config))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("ping failed", error=type(error).__name__)
        self.send()

    async def _send(self, ping: Ping) -> None:
        outcome: Outcome | None = None
        for wait_before in (0.0, *PAUSES):
            if wait_before:
                await pause(self._wait, self._clock, wait_before)
            config = ping.config if ping.config is not None else self._config(ping.hook)
            if config is None:
                return
            outcome = await self._try(ping, config)
            if not isinstance(outcome, Retry):
                break
        if outcome is not None:
            said = {} if isinstance(outcome, Delivered) else {"error": outcome.error, "detail": outcome.detail}
            log.info(
                "ping", hook=ping.hook.name, operation=ping.operation, delivered=isinstance(outcome, Delivered), **said
            )

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
            log.info("no ping, a reference has no value", hook=hook.name)
            return None
