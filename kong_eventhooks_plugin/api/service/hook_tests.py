"""The use cases ``ping`` and ``test``: a hook's handler is called at once, whatever queue, filter and ``enabled`` say.

A test says what the filter says. Nothing is stored, counted or retried; but one that arrives enables a hook again that
its endpoint had disabled (docs/delivery.md). Limits: ``AT_ONCE`` run at the same time, one more is refused; each has
``MAX_SECONDS``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from kong_eventhooks_plugin.api.service.hooks import Enable
from kong_eventhooks_plugin.errors import (
    HookError,
    HookTestFailed,
    NoPing,
    TooBusy,
    UnresolvedReference,
    ValidationError,
)
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler
from kong_eventhooks_plugin.handlers.webhook_body import ping_body
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Outcome, SentRequest
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.preview.dry_run import FilterVerdict
from kong_eventhooks_plugin.sources.examples import event_with, example_data, example_name
from kong_eventhooks_plugin.sources.nulls import without_nulls

AT_ONCE: Final = 8
MAX_SECONDS: Final = 20.0

T = TypeVar("T")

Explain = Callable[[Hook, Event], Awaitable[FilterVerdict | None]]
"""Returns what a hook's filter says of an event, None where it has none."""


class HookTestResult(NamedTuple):
    """``request`` is what was sent, None without an endpoint. ``error`` is how a lambda failed that counts as done."""

    data: dict[str, Any]
    answer: Answer
    request: SentRequest | None
    filter: FilterVerdict | None
    error: str | None


class TestDelivery:
    __test__ = False  # not a test for pytest

    def __init__(
        self,
        registry: ActiveHooks,
        handlers: Mapping[str, Handler],
        find: Callable[[str], Hook],
        clock: Callable[[], float],
        enable: Enable,
        explain: Explain,
    ) -> None:
        self._registry = registry
        self._handlers = handlers
        self._find = find
        self._clock = clock
        self._enable = enable
        self._explain = explain
        self._running = 0

    async def ping(self, key: str) -> dict[str, Any]:
        """Send a hook's ping; return its body, which holds no secret.

        Raises ``UnknownHook``, ``NoPing``, ``HookTestFailed``, ``TooBusy``, ``StoreUnavailable``.
        """
        hook = self._find(key)
        handler = self._handler(hook)

        async def ping() -> Outcome | None:
            return await handler.ping(hook, await self._config(hook), None, self._clock())

        outcome = await self._run(ping)
        if outcome is None:
            raise NoPing(hook.handler)
        await self._arrived(hook, outcome)
        sent: dict[str, Any] = msgspec.json.decode(ping_body(hook, None))
        return sent

    async def test(self, key: str, data: dict[str, Any]) -> HookTestResult:
        """Call a hook's handler with ``data`` as the event's data; where it is empty, with the event's example.

        The event is the hook's own; where it names none, what ``data`` has as ``event``, else the example's.
        Raises ``UnknownHook``, ``ValidationError``, ``HookTestFailed``, ``TooBusy``, ``StoreUnavailable``.
        """
        hook = self._find(key)
        error = json_values.json_error(data)
        if error is not None:
            raise ValidationError({error.path or "@entity": error.text if error.path else [error.text]})
        now = self._clock()
        event = _event(hook, data, now)
        sent = without_nulls(event)
        handler = self._handler(hook)

        async def deliver() -> tuple[FilterVerdict | None, Outcome]:
            config = await self._config(hook)
            job = DeliveryJob(f"test_{event.id}", sent, hook.source, hook, config, 1, now, test=True)
            return await self._explain(hook, event), await handler.deliver(job)

        verdict, outcome = await self._run(deliver)
        arrived = await self._arrived(hook, outcome, verdict)
        return HookTestResult(event.data, arrived.answer, arrived.request, verdict, arrived.raised)

    async def _arrived(self, hook: Hook, outcome: Outcome, verdict: FilterVerdict | None = None) -> Delivered:
        if not isinstance(outcome, Delivered):
            answer = outcome.answer if outcome.answer.status is not None else None
            raise HookTestFailed(outcome.error, outcome.detail, answer, outcome.request, verdict)
        await self._enable(hook.id)
        return outcome

    def _handler(self, hook: Hook) -> Handler:
        handler = self._handlers.get(hook.handler)
        if handler is None:
            raise HookTestFailed("config", f"the handler '{hook.handler}' does not run here")
        return handler

    async def _config(self, hook: Hook) -> Mapping[str, Any]:
        try:
            return await self._registry.refreshed(hook)
        except UnresolvedReference as error:
            raise HookTestFailed("config", str(error)) from error

    async def _run(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._running >= AT_ONCE:
            raise TooBusy(f"{AT_ONCE} pings and tests run already")
        self._running += 1
        try:
            async with asyncio.timeout(MAX_SECONDS):
                return await call()
        except TimeoutError as error:
            raise HookTestFailed("timeout", "the handler did not end in time") from error
        except HookError:
            raise
        except Exception as error:  # noqa: BLE001 - a handler's bug is reported to the caller and harms nothing else
            # Without its text, which may hold a URL or a header.
            raise HookTestFailed("internal", f"the handler raised {type(error).__name__}") from None
        finally:
            self._running -= 1


def _event(hook: Hook, data: dict[str, Any], now: float) -> Event:
    given = data.get("event")
    name = hook.event or (given if given and isinstance(given, str) else example_name(hook.source))
    return event_with(hook.source, name, data or example_data(hook.source, name), now)
