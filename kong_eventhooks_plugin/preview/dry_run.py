"""A dry run: what a hook would do with an event. Nothing is sent or written, and no state of the hook changes.

It takes the way of a real event: does the hook match, what says its filter, what say on_change and snooze now, and what
would its handler send. Each of these is answered, whatever the others say.

References are never resolved: a request shows them in the place of their values, and a signature is masked. User code
runs in the sandbox, in a lane of the hook's dry runs (``handlers.measured_run``).

Limits: ``AT_ONCE`` run at the same time, one more is refused; each has ``MAX_SECONDS``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from kong_eventhooks_plugin.dispatch.matcher import Matcher
from kong_eventhooks_plugin.errors import TooBusy
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler, Preview, Used
from kong_eventhooks_plugin.handlers.measured_run import measure
from kong_eventhooks_plugin.model.delivery import Discard, Retry
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.masking import MASK, is_reference
from kong_eventhooks_plugin.model.scope import GLOBAL
from kong_eventhooks_plugin.model.suppression import SuppressionSlot, decide_suppression
from kong_eventhooks_plugin.queue.contract import Candidate, HeldBack
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Explain, Explained, Failed, Part
from kong_eventhooks_plugin.sources.nulls import without_nulls

AT_ONCE: Final = 8
MAX_SECONDS: Final = 20.0

_STAND_IN_URL: Final = "https://reference.invalid/"

Slot = Callable[[Candidate, str], Awaitable[SuppressionSlot | None]]
"""Reads what a hook's rule remembers of events of that name."""


class FilterVerdict(msgspec.Struct, frozen=True):
    """``holds`` is None where the filter has no value; ``error`` says why."""

    expression: str
    holds: bool | None
    error: str | None
    parts: tuple[Part, ...]


class SuppressionVerdict(msgspec.Struct, frozen=True):
    """What on_change and snooze say now. ``slot`` is what they remember, None: nothing."""

    on_change: bool
    snooze: int | None
    verdict: Literal["fires", "snoozed", "unchanged"]
    slot: SuppressionSlot | None


class HookPreview(msgspec.Struct, frozen=True):
    """``mismatch`` is why the event does not reach the hook at all, ``held_back`` why it would not fire."""

    hook: Hook
    event: Event
    mismatch: str | None
    held_back: HeldBack | None
    filter: FilterVerdict | None
    suppression: SuppressionVerdict | None
    handled: Preview
    used: tuple[Used, ...]


async def nothing_remembered(_: Candidate, __: str) -> SuppressionSlot | None:
    return None


class DryRun:
    """``slot`` reads the state of on_change and snooze. ``clock`` gives Unix seconds."""

    def __init__(self, handlers: Mapping[str, Handler], pool: Pool, clock: Callable[[], float], slot: Slot) -> None:
        self._handlers = handlers
        self._pool = pool
        self._clock = clock
        self._slot = slot
        self._running = 0

    async def run(self, hook: Hook, event: Event, *, scoped: bool = True) -> HookPreview:
        """Return what the hook would do. ``scoped`` False: the event is not of one service, route or consumer.

        Raises ``TooBusy``, ``TimeoutError``, ``StoreUnavailable``.
        """
        if self._running >= AT_ONCE:
            raise TooBusy(f"{AT_ONCE} dry runs are at work already")
        self._running += 1
        try:
            async with asyncio.timeout(MAX_SECONDS):
                return await self._run(hook, event, scoped=scoped)
        finally:
            self._running -= 1

    async def _run(self, hook: Hook, event: Event, *, scoped: bool) -> HookPreview:
        anywhere = hook if scoped else msgspec.structs.replace(hook, scope=GLOBAL)
        matched = Matcher([msgspec.structs.replace(anywhere, enabled=True)]).match(event)
        verdict, used = await self._filter(hook, event)
        suppression = await self._suppression(matched[0], event) if matched else None
        handled = await self._handled(self._job(hook, event))
        return HookPreview(
            hook=hook,
            event=event,
            mismatch=None if matched else _mismatch(hook, event),
            held_back=_held_back(hook, verdict, suppression),
            filter=verdict,
            suppression=suppression,
            handled=handled,
            used=(*used, *handled.used),
        )

    def _job(self, hook: Hook, event: Event) -> DeliveryJob:
        config = _stand_ins(hook.config)
        return DeliveryJob(f"preview_{event.id}", without_nulls(event), hook.source, hook, config, 1, self._clock())

    async def explain(self, hook: Hook, event: Event) -> FilterVerdict | None:
        """Return what the hook's filter says of the event, None where it has none."""
        return (await self._filter(hook, event))[0]

    async def _filter(self, hook: Hook, event: Event) -> tuple[FilterVerdict | None, tuple[Used, ...]]:
        if hook.filter is None:
            return None, ()
        run = await measure(self._pool, Explain(hook.filter, event.data, event.event, event.source), hook)
        used = tuple(msgspec.structs.replace(each, name=f"filter: {each.name}") for each in run.used)
        if isinstance(run.result, Explained):
            verdict = run.result.verdict
            holds, error = (verdict, None) if isinstance(verdict, bool) else (None, verdict)
            return FilterVerdict(hook.filter, holds, error, run.result.parts), used
        text = run.result.text if isinstance(run.result, Failed) else "no verdict came back"
        return FilterVerdict(hook.filter, None, text, ()), used

    async def _suppression(self, candidate: Candidate, event: Event) -> SuppressionVerdict | None:
        rule = candidate.rule
        if rule is None:
            return None
        slot = await self._slot(candidate, event.event)
        decided = decide_suppression(rule, slot, candidate.digest, self._clock())
        verdict = decided if isinstance(decided, str) else "fires"
        return SuppressionVerdict(rule.on_change, rule.snooze, verdict, slot)

    async def _handled(self, job: DeliveryJob) -> Preview:
        handler = self._handlers.get(job.hook.handler)
        if handler is None:
            return Preview(outcome=Discard("config", f"the handler '{job.hook.handler}' does not run here"))
        try:
            return await handler.preview(job)
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - a handler's bug is reported to the caller and harms nothing else
            return Preview(outcome=Retry("internal", f"the handler raised {type(error).__name__}"))


def _stand_ins(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a hook's config with something in the place of each reference, so that a request can be made."""
    filled: dict[str, Any] = {name: MASK if is_reference(value) else value for name, value in config.items()}
    if is_reference(config.get("url")):
        filled["url"] = _STAND_IN_URL
    if isinstance(config.get("headers"), Mapping):
        filled["headers"] = {name: MASK if is_reference(each) else each for name, each in config["headers"].items()}
    if filled.pop("secret_file", None) is not None:
        filled["secret"] = MASK
    return filled


def _mismatch(hook: Hook, event: Event) -> str:
    if hook.event not in (None, event.event):
        return f"the hook is on the event '{hook.event}'"
    if hook.scope != GLOBAL and not hook.scope.covers(event.scope):
        return "the hook is on another service, route or consumer"
    return f"a hook on the source '{hook.source}' that names {hook.event or 'no event'} does not receive this event"


def _held_back(hook: Hook, verdict: FilterVerdict | None, suppression: SuppressionVerdict | None) -> HeldBack | None:
    if not hook.enabled:
        return "disabled"
    if verdict is not None and not verdict.holds:
        return "filter_error" if verdict.holds is None else "filter"
    return None if suppression is None or suppression.verdict == "fires" else suppression.verdict
