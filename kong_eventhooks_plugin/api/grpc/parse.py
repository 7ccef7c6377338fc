"""Requests as arguments of the use cases: keys, definitions, ranges, pages. In proto3 empty means unset.

Limits, each a ``ValidationError``: a text has ``MAX_TEXT`` characters, a mask ``MAX_PATHS`` paths. A page size above
Kong's largest becomes that (AIP-158).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import hooks_pb2
from kong_eventhooks_plugin.api.grpc.structs import from_struct, from_timestamp
from kong_eventhooks_plugin.api.service import paging
from kong_eventhooks_plugin.errors import ValidationError

MAX_TEXT: Final = 256
MAX_PATHS: Final = 100

MISSING: Final = "required field missing"

_SCALARS: Final = (
    "id", "name", "source", "event", "handler", "on_change", "snooze", "enabled", "filter", "declared_in",
)  # fmt: skip
_TIMES: Final = ("created_at", "updated_at")
_FIELDS: Final = frozenset(hooks_pb2.Hook.DESCRIPTOR.fields_by_name)


def needed(text: str, field: str) -> str:
    found = given_text(text, field)
    if found is None:
        raise ValidationError({field: MISSING})
    return found


def given_text(text: str, field: str) -> str | None:
    """Return a text, None where it is empty."""
    if len(text) > MAX_TEXT:
        raise ValidationError({field: f"length must be at most {MAX_TEXT}"})
    return text or None


def size(page_size: int) -> int | None:
    """Return how many entries a page may have, None for the default."""
    if page_size < 0:
        raise ValidationError({"page_size": "must not be negative"})
    return min(page_size, paging.MAX_SIZE) or None


def moment(request: Any, field: str) -> float | None:
    """Return a field of a request in Unix seconds, None where it is not set."""
    return from_timestamp(getattr(request, field), field) if request.HasField(field) else None


def definition(request: Message) -> dict[str, Any]:
    """Return the fields that are set in a request's ``definition``, which is required."""
    if not request.HasField("definition"):
        raise ValidationError({"definition": MISSING})
    hook: hooks_pb2.Hook = request.definition  # type: ignore[attr-defined]  # only called for requests that have one
    with below("definition"):
        return _set_fields(hook)


def changes(request: hooks_pb2.UpdateHookRequest) -> dict[str, Any]:
    """Return the fields that an update sets, None for those it unsets."""
    mask = request.update_mask.paths
    given = definition(request)
    if len(mask) > MAX_PATHS:
        raise ValidationError({"update_mask": f"more than {MAX_PATHS} paths"})
    return _masked(given, request.update_mask) if mask else given


@contextmanager
def below(field: str) -> Iterator[None]:
    """Nest the errors of the block below ``field``."""
    try:
        yield
    except ValidationError as error:
        raise ValidationError({field: error.fields}) from None


def _set_fields(hook: hooks_pb2.Hook) -> dict[str, Any]:
    given: dict[str, Any] = {name: getattr(hook, name) for name in _SCALARS if hook.HasField(name)}
    for name in _TIMES:
        if hook.HasField(name):
            given[name] = from_timestamp(getattr(hook, name), name)
    if hook.tags:
        given["tags"] = list(hook.tags)
    if hook.HasField("config"):
        with below("config"):
            given["config"] = from_struct(hook.config)
    if hook.HasField("scope"):
        given["scope"] = {field.name: value for field, value in hook.scope.ListFields()}
    return given


def _masked(given: dict[str, Any], mask: FieldMask) -> dict[str, Any]:
    """Return what a mask names: an unset field is None; of ``config`` the named fields, or all that are set.

    Records are merged, as in google.protobuf.FieldMask's rules and in PATCH.
    """
    changed: dict[str, Any] = {}
    config = given.get("config") or {}
    for path in mask.paths:
        name, _, inner = path.partition(".")
        if name not in _FIELDS or (inner and name != "config"):
            raise ValidationError({"update_mask": f"a hook has no field '{path[:MAX_TEXT]}'"})
        if not inner:
            changed[name] = {**config, **(changed.get(name) or {})} or None if name == "config" else given.get(name)
        else:
            changed["config"] = {**(changed.get("config") or {}), inner: config.get(inner)}
    return changed
