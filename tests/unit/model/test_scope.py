"""Which events a hook's scope covers."""

import pytest

from kong_eventhooks_plugin.model.scope import GLOBAL, NOWHERE, EventScope, HookScope

REQUEST = EventScope(service=("s-1", "demo"), route=("r-1", "demo-route"), consumer=("c-1", "Joe"))


@pytest.mark.parametrize(
    "scope",
    [
        GLOBAL,
        HookScope(service="s-1"),
        HookScope(service="demo"),
        HookScope(route="demo-route"),
        HookScope(consumer="Joe"),
        HookScope(service="s-1", route="r-1", consumer="c-1"),
    ],
)
def test_id_and_name_both_cover(scope: HookScope) -> None:
    assert scope.covers(REQUEST)


@pytest.mark.parametrize(
    "scope",
    [HookScope(service="other"), HookScope(route="demo"), HookScope(service="s-1", consumer="Ann")],
)
def test_every_part_of_a_scope_must_fit(scope: HookScope) -> None:
    assert not scope.covers(REQUEST)


def test_an_event_from_nowhere_matches_global_hooks_alone() -> None:
    assert GLOBAL.covers(NOWHERE)
    assert not HookScope(service="s-1").covers(NOWHERE)
