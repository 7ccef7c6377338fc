"""Which hooks hear an event: named cases, and a naive reference that must agree."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.dispatch.digest import digest
from kong_eventhooks_plugin.dispatch.matcher import Matcher
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.scope import NOWHERE, EventScope, HookScope
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate
from tests.support.events import make_event, make_hook

DEMO = EventScope(service=("s-1", "demo"), route=("r-1", "demo-route"), consumer=("c-1", "Joe"))


def heard(hooks: list[Hook], event: Event) -> list[str]:
    names = {hook.id: hook.name for hook in hooks}
    return sorted(names[candidate.hook_id] for candidate in Matcher(hooks).match(event))


def test_no_hooks_hear_nothing() -> None:
    assert Matcher([]).match(make_event()) == ()
    assert not Matcher([]).has_subscribers("rate-limiting", ["rate-limit-exceeded"])


def test_a_hook_hears_its_source_and_event() -> None:
    hooks = [
        make_hook("every"),
        make_hook("this", event="rate-limit-exceeded"),
        make_hook("another-event", event="x"),
        make_hook("another-source", source="response-ratelimiting"),
    ]
    assert heard(hooks, make_event()) == ["every", "this"]


@pytest.mark.parametrize("source", ["rate-limiting", "response-ratelimiting", "rate-limiting-advanced"])
def test_rate_limiting_advanced_hears_both_and_is_told_its_own_name(source: str) -> None:
    hook = make_hook(source="rate-limiting-advanced", event="rate-limit-exceeded")
    assert Matcher([hook]).match(make_event(source=source)) == (Candidate(hook.id, "rate-limiting-advanced"),)


def test_but_nobody_else_hears_it() -> None:
    assert heard([make_hook(source="rate-limiting")], make_event(source="rate-limiting-advanced")) == []


def test_a_crud_hook_without_an_event_receives_a_change_once() -> None:
    hooks = [
        make_hook("every", source="crud"),
        make_hook("consumers", source="crud", event="consumers"),
        make_hook("created", source="crud", event="consumers:create"),
        make_hook("dao", source="dao:crud"),
    ]
    assert heard(hooks, make_event(source="crud", event="consumers")) == ["consumers", "every"]
    assert heard(hooks, make_event(source="crud", event="consumers:create")) == ["created"]
    assert heard(hooks, make_event(source="dao:crud", event="create")) == ["dao"]


def test_a_name_with_a_colon_is_as_any_other_elsewhere() -> None:
    assert heard([make_hook("every", source="custom")], make_event(source="custom", event="a:b")) == ["every"]


def test_a_scoped_hook_hears_its_scope_and_a_global_one_hears_it_too() -> None:
    hooks = [
        make_hook("global"),
        make_hook("demo", scope=HookScope(service="demo")),
        make_hook("joe-on-demo", scope=HookScope(service="s-1", consumer="Joe")),
        make_hook("ann", scope=HookScope(consumer="Ann")),
    ]
    assert heard(hooks, make_event(scope=DEMO)) == ["demo", "global", "joe-on-demo"]
    assert heard(hooks, make_event(scope=NOWHERE)) == ["global"]


def test_a_hook_that_is_switched_off_matches_and_is_refused() -> None:
    hook = make_hook(enabled=False, on_change=True)
    matcher = Matcher([hook])
    assert matcher.match(make_event()) == (Candidate(hook.id, "rate-limiting", refused="disabled"),)
    assert not matcher.has_subscribers("rate-limiting", ["rate-limit-exceeded"])


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({}, None),
        ({"on_change": True}, SuppressionRule(on_change=True, snooze=None)),
        ({"snooze": 60}, SuppressionRule(on_change=False, snooze=60)),
        ({"on_change": True, "snooze": 60}, SuppressionRule(on_change=True, snooze=60)),
        ({"snooze": 0}, None),
    ],
)
def test_a_hook_that_filters_gets_its_rule_and_the_digest(asked: dict[str, Any], rule: SuppressionRule | None) -> None:
    hook, event = make_hook(**asked), make_event()
    expected = Candidate(hook.id, "rate-limiting", rule, digest(event) if rule else b"")
    assert Matcher([hook]).match(event) == (expected,)


def test_a_filtering_hook_changes_nothing_for_another() -> None:
    plain, filtering = make_hook("plain"), make_hook("filtering", on_change=True)
    assert Candidate(plain.id, "rate-limiting") in Matcher([plain, filtering]).match(make_event())


@pytest.mark.parametrize(
    ("fields", "hears"),
    [
        ({}, True),
        ({"event": "rate-limit-exceeded"}, True),
        ({"event": "x"}, False),
        ({"source": "rate-limiting-advanced"}, True),
        ({"source": "response-ratelimiting"}, False),
        ({"scope": HookScope(service="demo")}, True),
        ({"enabled": False}, False),
    ],
)
def test_whether_a_source_is_heard_at_all(fields: dict[str, Any], hears: bool) -> None:
    assert Matcher([make_hook(**fields)]).has_subscribers("rate-limiting", ["rate-limit-exceeded"]) is hears


TELLS = {
    "rate-limiting": ["rate-limiting"],
    "response-ratelimiting": ["response-ratelimiting"],
    "rate-limiting-advanced": ["rate-limiting-advanced", "rate-limiting", "response-ratelimiting"],
    "crud": ["crud"],
    "unknown": ["unknown"],
}
sources = st.sampled_from([*TELLS])
named_events = st.sampled_from(["rate-limit-exceeded", "consumers"])
entity = st.none() | st.sampled_from(["a", "b", "c"])
scopes = st.builds(HookScope, service=entity, route=entity, consumer=entity)
aliases = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2).map(tuple)
declared = st.lists(
    st.fixed_dictionaries(
        {"source": sources, "event": st.none() | named_events, "scope": scopes, "enabled": st.booleans(),
         "on_change": st.booleans(), "snooze": st.none() | st.just(5)}
    ),
    max_size=8,
)  # fmt: skip


def hears(hook: Hook, event: Event) -> bool:
    """The rule, hook by hook and without an index."""
    where = event.scope
    return (
        event.source in TELLS[hook.source]
        and hook.event in {None, event.event}
        and hook.scope.service in {None, *where.service}
        and hook.scope.route in {None, *where.route}
        and hook.scope.consumer in {None, *where.consumer}
    )


@given(declared, sources, named_events, st.builds(EventScope, service=aliases, route=aliases, consumer=aliases))
def test_it_agrees_with_asking_every_hook(
    fields: list[dict[str, Any]], source: str, named: str, scope: EventScope
) -> None:
    hooks = [make_hook(str(at), **given_fields) for at, given_fields in enumerate(fields)]
    event = make_event(source=source, event=named, scope=scope)
    matcher = Matcher(hooks)
    matched = matcher.match(event)
    found = {candidate.hook_id: candidate for candidate in matched}
    assert found.keys() == {hook.id for hook in hooks if hears(hook, event)}
    assert len(found) == len(matched)
    for hook in hooks:
        if hook.id in found:
            candidate = found[hook.id]
            filters = hook.enabled and (hook.on_change or hook.snooze is not None)
            assert candidate.source == hook.source
            assert candidate.refused == (None if hook.enabled else "disabled")
            assert (candidate.rule is not None, candidate.digest != b"") == (filters, filters)
    anywhere = [hook for hook in hooks if hook.enabled and source in TELLS[hook.source]]
    assert matcher.has_subscribers(source, [named]) is any(hook.event in {None, named} for hook in anywhere)
