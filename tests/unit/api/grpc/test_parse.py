"""Requests as the use cases take them."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from kong_eventhooks_plugin.api.grpc import parse
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import hooks_pb2 as pb
from kong_eventhooks_plugin.api.grpc.structs import to_struct
from kong_eventhooks_plugin.api.service.entity import IGNORED
from kong_eventhooks_plugin.errors import ValidationError


def update(*paths: str, **fields: Any) -> pb.UpdateHookRequest:
    if "config" in fields:
        fields["config"] = to_struct(fields["config"])
    request = pb.UpdateHookRequest(hook="h", definition=pb.Hook(**fields))
    request.update_mask.paths.extend(paths)
    return request


def test_only_what_is_set_is_given() -> None:
    request = pb.CreateHookRequest(
        definition=pb.Hook(
            name="h", on_change=False, snooze=0, tags=["a"], config=to_struct({}), created_at=Timestamp(seconds=7),
            scope=pb.HookScope(route="r"), declared_in="here",
        )
    )  # fmt: skip
    assert parse.definition(request) == {
        "name": "h", "on_change": False, "snooze": 0, "tags": ["a"], "config": {}, "created_at": 7,
        "scope": {"route": "r"}, "declared_in": "here",
    }  # fmt: skip


def test_every_field_of_the_message_is_read() -> None:
    hook = pb.Hook(id="i", name="n", source="s", event="e", handler="h", on_change=True, snooze=1, enabled=True)
    hook.MergeFrom(pb.Hook(tags=["t"], filter="f", config=to_struct({"a": 1}), declared_in="d"))
    hook.MergeFrom(pb.Hook(created_at=Timestamp(seconds=1), updated_at=Timestamp(seconds=2)))
    hook.scope.service = "s"
    hook.MergeFrom(pb.Hook(state=pb.HOOK_STATE_HELD, held="endpoint_gone"))
    fields = set(pb.Hook.DESCRIPTOR.fields_by_name)
    assert set(parse.definition(pb.CreateHookRequest(definition=hook))) == fields.difference(IGNORED)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (update(event="e", snooze=5), {"event": "e", "snooze": 5}),
        (update("event", event="e", snooze=5), {"event": "e"}),
        (update("event", "tags", snooze=5), {"event": None, "tags": None}),
        (update("config", config={"url": "u"}), {"config": {"url": "u"}}),
        (update("config"), {"config": None}),
        (update("config.url", config={"url": "u", "secret": "s"}), {"config": {"url": "u"}}),
        (update("config.secret", config={"url": "u"}), {"config": {"secret": None}}),
        (update("config.url", "config.secret", config={"url": "u"}), {"config": {"url": "u", "secret": None}}),
        (update("config.secret", "config", config={"url": "u"}), {"config": {"url": "u", "secret": None}}),
    ],
)
def test_a_mask_selects_fields(request_: pb.UpdateHookRequest, expected: dict[str, Any]) -> None:
    assert parse.changes(request_) == expected


@pytest.mark.parametrize("path", ["*", "nothing", "event.name", "", "tags.0"])
def test_a_mask_that_names_no_field_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="update_mask: a hook has no field"):
        parse.changes(update(path, event="e"))


def test_a_long_mask_is_refused() -> None:
    with pytest.raises(ValidationError, match="update_mask: more than 100 paths"):
        parse.changes(update(*["event"] * 101))


def test_a_definition_has_to_be_there() -> None:
    with pytest.raises(ValidationError, match="definition: required field missing"):
        parse.definition(pb.CreateHookRequest())


@pytest.mark.parametrize(("given", "size"), [(0, None), (1, 1), (1_000, 1_000), (5_000, 1_000)])
def test_a_pages_size(given: int, size: int | None) -> None:
    assert parse.size(given) == size


def test_what_cannot_be_a_size_or_a_name() -> None:
    with pytest.raises(ValidationError, match="page_size"):
        parse.size(-1)
    with pytest.raises(ValidationError, match="hook: length must be at most 256"):
        parse.needed("x" * 257, "hook")
    with pytest.raises(ValidationError, match="hook: required field missing"):
        parse.needed("", "hook")
