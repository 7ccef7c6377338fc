"""The text form of an inference rule, and which requests it names."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.model.scope import NOWHERE, EventScope
from kong_eventhooks_plugin.sources.requests.infer import InferRule, InferRules, parse_infer_rule

SCOPE = EventScope(service=("s-1", "demo"), route=("r-1", "demo-route"))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("route:demo-route", InferRule("route", "demo-route", 429)),
        ("service:demo", InferRule("service", "demo", 429)),
        (" route:r_1.x~2@503 ", InferRule("route", "r_1.x~2", 503)),
        ("service:a7d6e0b8-620f-53ce-96df@403", InferRule("service", "a7d6e0b8-620f-53ce-96df", 403)),
        ("route:größe", InferRule("route", "größe")),
    ],
)  # fmt: skip
def test_forms(text: str, rule: InferRule) -> None:
    assert parse_infer_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    ["", "demo", "route:", "route:@503", "consumer:joe", "route:a:b", "route:a b", "Route:a", "route:a@", "route:a@5o3",
     "route:a@50", "route:a@5030", "route:a@503@503", "route:a,service:b@1", "route:a@٤٢٩"],
)  # fmt: skip
def test_what_names_nothing_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(SettingsError, match=r"names no route or service: write route:NAME or service:NAME"):
        parse_infer_rule(text)


@pytest.mark.parametrize("status", ["000", "099", "600", "999"])
def test_a_status_must_be_one(status: str) -> None:
    with pytest.raises(SettingsError, match=rf"'route:a@{status}': {int(status)} is no HTTP status"):
        parse_infer_rule(f"route:a@{status}")


@given(st.text(max_size=40) | st.from_regex(r"(route|service):\w{1,5}(@[0-9]{3})?", fullmatch=True))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    with suppress(SettingsError):
        rule = parse_infer_rule(text)
        assert parse_infer_rule(f"{rule.entity}:{rule.name_or_id}@{rule.status}") == rule


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (InferRule("route", "demo-route"), True),
        (InferRule("route", "r-1"), True),
        (InferRule("service", "demo"), True),
        (InferRule("service", "s-1"), True),
        (InferRule("route", "demo"), False),
        (InferRule("service", "demo-route"), False),
        (InferRule("service", "demo", 503), False),
    ],
)
def test_a_rule_names_by_id_or_name_and_status(rule: InferRule, names: bool) -> None:
    rules = InferRules([InferRule("route", "other"), rule])
    assert rules.name(429, SCOPE) is names
    assert rules.statuses == {429, rule.status}
    assert not rules.name(429, NOWHERE)


def test_no_rules_name_nothing() -> None:
    assert not InferRules([]).name(429, SCOPE)
    assert InferRules([]).statuses == frozenset()
