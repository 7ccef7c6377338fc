"""One change becomes three events, always the same ones."""

from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.dispatch.digest import digest
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.model.scope import EventScope, HookScope
from kong_eventhooks_plugin.sources.changes.events import ENTITY_BYTES, events_of_change
from kong_eventhooks_plugin.sources.changes.model import Actor, EntityChange
from tests.support.crud import AT, make_change

FIELDS = (
    "operation", "entity", "old_entity", "schema",
    "changed", "actor", "seen_by", "old_at", "workspace", "deleted_with", "omitted_fields",
)  # fmt: skip


def data_of(change: EntityChange) -> dict[str, Any]:
    return events_of_change(change)[0].data


def test_three_events_with_the_same_data_and_ids_of_their_own() -> None:
    events = events_of_change(make_change())
    assert [(event.source, event.event) for event in events] == [
        ("crud", "consumers"), ("crud", "consumers:create"), ("dao:crud", "create"),
    ]  # fmt: skip
    assert len({event.id for event in events}) == 3
    assert all(event.data == events[0].data and event.time == AT for event in events)


def test_a_change_reported_again_gives_the_same_ids() -> None:
    before = [event.id for event in events_of_change(make_change())]
    # What a process that comes after knows is what was kept: identity and time; the rest decides nothing.
    after = [event.id for event in events_of_change(make_change(entity={"id": "84cc"}))]
    assert before == after
    assert not set(before) & {event.id for event in events_of_change(make_change("c-2"))}


def test_every_field_is_always_there_and_those_of_enterprise_come_first() -> None:
    data = data_of(make_change())
    assert tuple(data) == FIELDS
    assert data["actor"] is data["old_at"] is data["old_entity"] is data["workspace"] is data["deleted_with"] is None
    assert data["changed"] == data["omitted_fields"] == []


def test_an_update_says_what_changed_and_who_did_it() -> None:
    actor = Actor(method="PATCH", path="/consumers/grace", ip="192.0.2.7", request_id="7d05")
    data = data_of(
        make_change(
            operation="update",
            old_entity={"id": "84cc", "custom_id": "g1"},
            old_at=AT - 60,
            changed=("custom_id",),
            actor=actor,
            workspace="team",
        )
    )
    assert (data["changed"], data["seen_by"], data["old_at"], data["workspace"]) == (
        ["custom_id"], "route", AT - 60, "team",
    )  # fmt: skip
    assert data["old_entity"] == {"id": "84cc", "custom_id": "g1"}
    assert data["actor"] == {
        "consumer": None, "credential": None, "ip": "192.0.2.7", "user_agent": None, "method": "PATCH",
        "path": "/consumers/grace", "request_id": "7d05",
    }  # fmt: skip


def test_a_delete_reports_the_entity_that_went_as_kong_does() -> None:
    gone = {"id": "84cc", "username": "grace"}
    data = data_of(make_change(operation="delete", entity=gone, old_entity=gone, deleted_with="consumers:84cc"))
    assert (data["entity"], data["old_entity"], data["deleted_with"]) == (gone, None, "consumers:84cc")


def test_on_change_looks_at_what_changed_and_not_at_who_did_it() -> None:
    one = events_of_change(make_change(actor=Actor(method="POST", path="/consumers")))
    other = events_of_change(make_change("c-2", at=AT + 5))
    third = events_of_change(make_change("c-3", entity={"id": "84cc", "username": "hopper"}))
    assert [digest(event) for event in one] == [digest(event) for event in other]
    assert digest(one[0]) != digest(third[0])


def test_ids_and_digests_stay_what_they_were() -> None:
    """With others, an upgrade would publish what is in the outbox twice, and hooks with on_change would fire again."""
    events = events_of_change(make_change())
    assert [event.id for event in events] == [
        "01a1fef4-fba4-8904-b143-e8c5831ebed8",
        "01a1fef4-fba4-8c70-8ea6-d230c91edc23",
        "01a1fef4-fba4-81d0-a3c1-8e0c6fd9bd27",
    ]
    assert {digest(event).hex() for event in events} == {"4ea821fddd01bab2c1f61c4423169a64"}


SCOPES: list[tuple[str, EntityChange, EventScope]] = [
    ("a consumer is in its own", make_change(), EventScope(consumer=("84cc", "grace"))),
    (
        "a credential in its consumer's",
        make_change(schema="keyauth_credentials", entity={"id": "k", "key": "***", "consumer": {"id": "84cc"}}),
        EventScope(consumer=("84cc",)),
    ),
    (
        "a route in its own and its service's",
        make_change(schema="routes", entity={"id": "r", "name": "rt", "service": {"id": "s"}}),
        EventScope(service=("s",), route=("r", "rt")),
    ),
    (
        "a route that moved in both services'",
        make_change(
            schema="routes", operation="update", entity={"id": "r", "name": None, "service": {"id": "s2"}},
            old_entity={"id": "r", "name": None, "service": {"id": "s1"}},
        ),
        EventScope(service=("s2", "s1"), route=("r",)),
    ),
    (
        "a service that was renamed in that of both names",
        make_change(
            schema="services", operation="update", entity={"id": "s", "name": "new"},
            old_entity={"id": "s", "name": "old"},
        ),
        EventScope(service=("s", "new", "old")),
    ),
    (
        "a plugin in those of all it is on",
        make_change(
            schema="plugins",
            entity={"id": "p", "name": "key-auth", "service": {"id": "s"}, "route": None, "consumer": {"id": "c"}},
        ),
        EventScope(service=("s",), consumer=("c",)),
    ),
    ("an upstream in none", make_change(schema="upstreams", entity={"id": "u", "name": "up"}), EventScope()),
    (
        "odd values are left alone",
        make_change(schema="things", entity={"id": "x", "service": "s", "route": {"id": 7}, "consumer": {"id": ""}}),
        EventScope(),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "scope"), [row[1:] for row in SCOPES], ids=[row[0] for row in SCOPES])
def test_scope(change: EntityChange, scope: EventScope) -> None:
    assert {event.scope for event in events_of_change(change)} == {scope}


def test_a_hook_on_a_service_fires_for_the_route_that_left_it() -> None:
    moved = SCOPES[3][1]
    assert HookScope(service="s1").covers(events_of_change(moved)[0].scope)
    assert not HookScope(service="s3").covers(events_of_change(moved)[0].scope)


def test_a_large_entity_loses_its_largest_fields_and_says_which() -> None:
    large = {"id": "p", "name": "pre-function", "config": {"access": ["x" * ENTITY_BYTES]}, "tags": ["a"]}
    data = data_of(make_change(schema="plugins", operation="update", entity=large, old_entity=large))
    small = {"id": "p", "name": "pre-function", "config": None, "tags": ["a"]}
    assert (data["entity"], data["old_entity"]) == (small, small)
    assert data["omitted_fields"] == ["entity.config", "old_entity.config"]
    assert large["config"] is not None, "the change itself stays whole"


def test_an_entity_of_exactly_the_limit_is_whole() -> None:
    entity = {"id": "p", "text": ""}
    entity["text"] = "x" * (ENTITY_BYTES - len(msgspec.json.encode(entity)))
    assert data_of(make_change(entity=entity))["omitted_fields"] == []
    longer = {**entity, "text": entity["text"] + "x"}
    assert data_of(make_change(entity=longer))["omitted_fields"] == ["entity.text"]


def test_a_change_that_an_older_release_left_in_the_outbox_keeps_its_ids() -> None:
    """It may have published one of the three before the upgrade."""
    kept = b'{"identity":"c-1","at":1795278830.0,"schema":"consumers","operation":"create","id":"84cc","entity":{}}'
    change = msgspec.json.decode(kept, type=EntityChange)
    assert events_of_change(change)[0].id == event_id(1795278830.0, "c-1", "crud", "consumers")
