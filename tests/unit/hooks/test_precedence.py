"""Which of several definitions of a name is in force."""

from typing import Any

from kong_eventhooks_plugin.hooks.in_force.precedence import HookSet, merge
from kong_eventhooks_plugin.model.hook import Hook, Origin, OriginPlace
from kong_eventhooks_plugin.model.scope import HookScope


def hook(name: str, place: OriginPlace, key: str = "k", **fields: Any) -> Hook:
    origin = Origin(place, key, f"{place} {key} {name}")
    return Hook(id=f"id-{name}", name=name, source="rate-limiting", handler="log", config={}, origin=origin, **fields)


def test_the_strongest_place_wins() -> None:
    places: tuple[OriginPlace, ...] = ("api", "file", "instance", "admin-api")
    merged = merge([HookSet(place, (hook("a", place),)) for place in places])
    assert merged.hooks["id-a"].origin.place == "instance"
    assert merged.errors == ()


def test_hooks_of_all_places_are_there() -> None:
    merged = merge(
        [HookSet("file", (hook("a", "file"), hook("b", "file"))), HookSet("instance", (hook("c", "instance"),))]
    )
    assert {each.name for each in merged.hooks.values()} == {"a", "b", "c"}


def test_within_a_place_the_first_wins_and_the_second_is_an_error() -> None:
    merged = merge([HookSet("file", (hook("a", "file", "f1"),)), HookSet("file", (hook("a", "file", "f2"),))])
    assert merged.hooks["id-a"].origin.key == "f1"
    assert [str(error) for error in merged.errors] == ["file f2 a: name: 'a' is declared by file f1 a too, which holds"]


def test_of_two_instances_the_one_started_last_wins() -> None:
    merged = merge(
        [HookSet("instance", (hook("a", "instance", "p1"),)), HookSet("instance", (hook("a", "instance", "p2"),))]
    )
    assert merged.hooks["id-a"].origin.key == "p2"
    assert [str(error) for error in merged.errors] == [
        "instance p1 a: name: 'a' is declared by instance p2 a too, which holds"
    ]


def test_another_scope_is_an_error() -> None:
    here, there = HookScope(service="demo"), HookScope(service="other")
    merged = merge(
        [HookSet("instance", (hook("a", "instance", scope=here),)), HookSet("file", (hook("a", "file", scope=there),))]
    )
    assert merged.hooks["id-a"].scope == here
    assert [str(error) for error in merged.errors] == [
        "file k a: 'a' has another scope than in instance k a, which holds"
    ]


def test_a_scope_that_may_be_the_same_is_none() -> None:
    here, there = HookScope(service="5dd2b4b8-0b1e-5e0c-8a6e-6b8f0c7f7d11"), HookScope(service="demo")
    merged = merge(
        [HookSet("instance", (hook("a", "instance", scope=here),)), HookSet("file", (hook("a", "file", scope=there),))]
    )
    assert merged.errors == ()


def test_what_is_only_stored_is_the_last_of_its_place() -> None:
    stored = HookSet("instance", (hook("a", "instance", "old"), hook("b", "instance", "old")), stored=True)
    fresh = HookSet("instance", (hook("a", "instance", "new"),))
    weaker = HookSet("file", (hook("b", "file", scope=HookScope(service="x")),))
    merged = merge([stored, fresh, weaker])
    assert merged.hooks["id-a"].origin.key == "new"
    assert merged.hooks["id-b"].origin.place == "instance", "its place has not declared yet"
    assert merged.errors == ()
