"""The pages of hooks: the list with their states, one with what it did, making, changing, testing and removing one."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from kong_eventhooks_plugin.api import advice
from kong_eventhooks_plugin.api.advice import Advice
from kong_eventhooks_plugin.api.console import hook_form
from kong_eventhooks_plugin.api.console.guard import Visit, see_other
from kong_eventhooks_plugin.api.console.parsing import by_path, json_object
from kong_eventhooks_plugin.api.console.parts import Parts
from kong_eventhooks_plugin.api.console.rendering import segment
from kong_eventhooks_plugin.api.console.sparkline import Sparkline, sparkline
from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.api.service.entity import hook_view
from kong_eventhooks_plugin.api.service.presenter import tested_view, views_of_test
from kong_eventhooks_plugin.api.service.readiness import Readiness
from kong_eventhooks_plugin.delivery.activity import PastAttempt
from kong_eventhooks_plugin.errors import BadArgument, HookTaken, HookTestFailed, IdTaken, ValidationError
from kong_eventhooks_plugin.handlers.target_url import parse_target
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.masking import masked
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.masking import is_reference
from kong_eventhooks_plugin.queue.contract import DeliveryFilter
from kong_eventhooks_plugin.sources.catalogue import events_of
from kong_eventhooks_plugin.sources.examples import example_data, example_name

PAGE: Final = 50
RECENT: Final = 10
_STATES: Final = ("held", "on", "off")


class HookRow(NamedTuple):
    """A hook in the list. ``held`` is the reason, ``advice`` what it means; both None where it is on."""

    hook: Hook
    state: str
    held: str | None
    advice: Advice | None
    target: str
    waiting: int
    last: tuple[PastAttempt, ...]
    line: Sparkline


class Tested(NamedTuple):
    """What a test came to: ``error`` is why it did not arrive."""

    error: str | None
    result: views.ResultView | None = None
    request: views.RequestView | None = None
    filter: views.FilterVerdictView | None = None


class HookPages:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._schema = schema.hook(parts.known)

    async def index(self, visit: Visit) -> web.StreamResponse:
        query = visit.request.query
        state, text = query.get("state", ""), query.get("q", "").strip().lower()[:200]
        ready = await self._parts.check()
        found = [(_state(hook, ready), hook) for hook in self._parts.hooks().values() if _matches(hook, text)]
        counts = {each: sum(one == each for one, _ in found) for each in _STATES}
        chosen = [(one, hook) for one, hook in found if state in {"", one}]
        chosen.sort(key=lambda each: (_STATES.index(each[0]), each[1].name))
        page = _page(query.get("page"))
        values = {
            "rows": [self._row(hook, ready) for _, hook in chosen[page * PAGE : (page + 1) * PAGE]],
            "counts": counts,
            "state": state,
            "q": query.get("q", "")[:200],
            "page": page,
            "more": len(chosen) > (page + 1) * PAGE,
        }
        return self._parts.render("hooks.html", visit, values)

    async def show(self, visit: Visit) -> web.StreamResponse:
        return await self._shown(visit, self._parts.hook_of(visit))

    async def new(self, visit: Visit) -> web.StreamResponse:
        handler = visit.request.query.get("handler", "")
        if handler not in self._parts.known.handlers:
            values = {"handlers": self._parts.known.handlers}
            return self._parts.render("new_hook.html", visit, values)
        query = visit.request.query
        return self._form(visit, handler, {"source": query.get("source", "")[:100]}, None, {})

    async def create(self, visit: Visit) -> web.StreamResponse:
        handler = visit.field("handler")
        if handler not in self._parts.known.handlers:
            raise BadArgument("no such handler")
        return await self._saved(visit, handler, None)

    async def edit(self, visit: Visit) -> web.StreamResponse:
        hook = self._parts.hook_of(visit)
        return self._form(visit, hook.handler, hook_form.values(hook), hook, {})

    async def update(self, visit: Visit) -> web.StreamResponse:
        hook = self._parts.hook_of(visit)
        return await self._saved(visit, hook.handler, hook)

    async def switch(self, visit: Visit) -> web.StreamResponse:
        hook = self._parts.hook_of(visit)
        await self._parts.service.hooks.update(hook.id, {"enabled": visit.field("enabled") == "true"})
        return see_other(f"/console/hooks/{segment(hook.id)}")

    async def delete(self, visit: Visit) -> web.StreamResponse:
        hook = self._parts.hook_of(visit)
        if visit.request.method == "POST":
            await self._parts.service.hooks.delete(hook.id)
            return see_other("/console/hooks")
        return self._parts.render("delete_hook.html", visit, {"hook": hook})

    async def test(self, visit: Visit) -> web.StreamResponse:
        hook, given = self._parts.hook_of(visit), visit.field("data")
        return await self._shown(visit, hook, given, await self._tested(hook, given))

    async def _tested(self, hook: Hook, given: str) -> Tested:
        try:
            tested = await self._parts.service.test_delivery.test(hook.id, json_object(given))
        except msgspec.DecodeError as error:
            return Tested(f"That is not JSON: {error}")
        except ValidationError as error:
            return Tested(str(error))
        except HookTestFailed as error:
            return Tested(f"{error.error}: {error}", **views_of_test(error.answer, error.request, error.verdict))
        view = tested_view(tested)
        return Tested(view.error, view.result, view.request, view.filter)

    async def replay(self, visit: Visit) -> web.StreamResponse:
        hook = self._parts.hook_of(visit)
        replayed = await self._parts.service.deliveries.replay_of_hook(hook.id)
        return await self._shown(visit, hook, replayed=replayed)

    async def _saved(self, visit: Visit, handler: str, before: Hook | None) -> web.StreamResponse:
        hooks = self._parts.service.hooks
        try:
            given = hook_form.definition(
                self._schema, handler, visit.form, None if before is None else hook_form.values(before)
            )
            saved = await (hooks.create(given) if before is None else hooks.update(before.id, given))
        except ValidationError as error:
            errors = by_path(error)
        except (HookTaken, IdTaken) as error:
            errors = {"name": str(error)}
        except BadArgument as error:
            errors = {"": str(error)}
        else:
            return see_other(f"/console/hooks/{segment(saved.id)}")
        return self._form(visit, handler, _posted(visit.form), before, errors)

    def _form(
        self, visit: Visit, handler: str, values: Mapping[str, Any], hook: Hook | None, errors: Mapping[str, str]
    ) -> web.Response:
        sections = hook_form.sections(self._schema, handler, values, errors)
        placed = {each.name for section in sections for each in section.inputs if each.error}
        rows = [
            section._replace(inputs=[hook_form.reposted(each, visit.form) for each in section.inputs])
            for section in sections
        ]
        shown = {
            "sections": rows,
            "handler": handler,
            "hook": hook,
            "errors": [(path, text) for path, text in errors.items()],
            "unplaced": [(path, text) for path, text in errors.items() if path not in placed],
            "events": {source: events_of(source) for source in self._parts.known.sources},
        }
        return self._parts.render("hook_form.html", visit, shown, 400 if errors else 200)

    async def _shown(
        self, visit: Visit, hook: Hook, data: str | None = None, tested: Tested | None = None, replayed: Any = None
    ) -> web.Response:
        parts = self._parts
        ready = await parts.check()
        page = await parts.service.deliveries.page(DeliveryFilter(hook_id=hook.id), RECENT)
        held_back = {reason: count for (name, reason), count in parts.held_back().items() if name == hook.name}
        values = {
            "row": self._row(hook, ready),
            "view": hook_view(_masked(hook), None, trusted=True),
            "declared": hook.origin.place != "api",
            "standing": parts.delivering.standing(hook.id),
            "deliveries": [parts.service.presenter.delivery(each) for each in page.deliveries],
            "held_back": [(reason, count, advice.HELD_BACK.get(reason, reason)) for reason, count in held_back.items()],
            "data": _example(hook) if data is None else data,
            "tested": tested,
            "replayed": replayed,
        }
        return parts.render("hook.html", visit, values)

    def _row(self, hook: Hook, ready: Readiness) -> HookRow:
        parts, now = self._parts, self._parts.clock()
        held = ready.held.get(hook.name)
        reason = None if held is None else held.partition(":")[0]
        activity = parts.delivering.activity
        return HookRow(
            hook=hook,
            state=_state(hook, ready),
            held=held,
            advice=None if reason is None else advice.HELD.get(reason, advice.UNKNOWN_HOLD),
            target=_target(hook),
            waiting=ready.queue.get("per_hook", {}).get(hook.name, 0),
            last=tuple(activity.last(hook.id)),
            line=sparkline(activity.minutes(hook.id, now)),
        )


def _masked(hook: Hook) -> Hook:
    """Return a hook whose page may be seen over a shoulder: without its secrets, and with what it sends."""
    config, shown = hook.config, masked(hook).config
    if "url" in config:
        shown = {**shown, "url": _target(hook)}
    kept = {name: config[name] for name in ("payload", "body") if name in config}
    return msgspec.structs.replace(hook, config={**shown, **kept})


def _target(hook: Hook) -> str:
    url = hook.config.get("url")
    if not isinstance(url, str) or is_reference(url):
        return hook.handler if url is None else str(url)
    try:
        return parse_target(url).shown
    except ValidationError:  # a template may be no URL
        return str(masked(hook).config["url"])


def _state(hook: Hook, ready: Readiness) -> str:
    return "off" if not hook.enabled else "held" if hook.name in ready.held else "on"


def _matches(hook: Hook, text: str) -> bool:
    words = (hook.name, hook.source, hook.event or "", hook.handler, *hook.tags)
    return not text or any(text in word.lower() for word in words)


def _page(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 6 else 0


def _posted(form: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in form.items() if name != "config"} | {"config": {}}


def _example(hook: Hook) -> str:
    """Return an event's data for a test, as the API takes it where nothing is given."""
    data = example_data(hook.source, hook.event or example_name(hook.source))
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode()
