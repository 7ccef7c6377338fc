"""The bodies of the calls that Enterprise does not have; the OpenAPI document is generated from these structs.

The errors have the texts of Kong's schemas, which a decoder of JSON does not.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.api.rest.bodies import from_json
from kong_eventhooks_plugin.api.service.deliveries import SETTLED, Settled
from kong_eventhooks_plugin.api.service.events import MAX_KEY, MAX_NAME
from kong_eventhooks_plugin.api.service.previews import ChosenEvent
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks.validation.json_values import LONGEST_SHALLOW, MAX_SEPARATORS, shallow_json

_NO_CONTROLS: Final = "^[^\u0000-\u001f\u007f-\u009f]*$"

Moment = float | Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class NewEvent(Struct, frozen=True, forbid_unknown_fields=True):
    event: Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=_NO_CONTROLS)]
    data: dict[str, Any] | None = None
    key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_KEY, pattern=_NO_CONTROLS)] | None,
        Meta(description="The same key again is the same event, and fires nothing twice."),
    ] = None


class ReplayRange(Struct, frozen=True, forbid_unknown_fields=True):
    since: Annotated[Moment | None, Meta(description="Deliveries created then or later.")] = None
    until: Annotated[Moment | None, Meta(description="Deliveries created before.")] = None
    state: Settled | None = "dead"


class PreviewInput(Struct, frozen=True, forbid_unknown_fields=True):
    """event_id is a recorded event; else it is made up: event's example, or with data."""

    hook: Annotated[dict[str, Any] | None, Meta(description="The fields to change, as in a PATCH.")] = None
    event: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)] | None = None
    event_id: str | None = None
    data: dict[str, Any] | None = None


class DefinitionPreviewInput(PreviewInput, frozen=True):
    __doc__ = PreviewInput.__doc__
    hook: Annotated[dict[str, Any], Meta(description="The whole definition.")]


def preview_input(given: Mapping[str, Any]) -> tuple[dict[str, Any] | None, ChosenEvent]:
    """Return the hook's definition or changes, and the event; raises ``ValidationError``."""
    errors = _unknown_fields(given, PreviewInput) | _wrong_types(given, _PREVIEW_TYPES)
    if errors:
        raise ValidationError(errors)
    chosen = ChosenEvent(given.get("event"), given.get("event_id"), given.get("data"))
    return given.get("hook"), chosen


_TEXT: Final = (str, "a string")
_RECORD: Final = (dict, "a record")
_PREVIEW_TYPES: Final = {"hook": _RECORD, "event": _TEXT, "event_id": _TEXT, "data": _RECORD}
_EVENT_TYPES: Final = {"event": _TEXT, "data": _RECORD, "key": _TEXT}


class GivenEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """A ``NewEvent`` whose texts nobody has looked at."""

    event: str
    data: dict[str, Any] | None = None
    key: str | None = None


class ShallowEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """A ``GivenEvent`` in whose data ``json_error`` finds nothing."""

    event: str
    data: dict[str, shallow_json()] | None = None  # type: ignore[valid-type]  # for msgspec alone
    key: str | None = None


_GIVEN_EVENT: Final = msgspec.json.Decoder(GivenEvent)
_SHALLOW_EVENT: Final = msgspec.json.Decoder(ShallowEvent)


def read_new_event(body: bytes) -> ShallowEvent | GivenEvent | NewEvent:
    """Return the event of a body of JSON. Raises ``BadArgument`` and ``ValidationError``."""
    if len(body) > MAX_SEPARATORS:
        return new_event(from_json(body))
    try:
        if len(body) <= LONGEST_SHALLOW and b"\\" not in body:
            return _SHALLOW_EVENT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return _GIVEN_EVENT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return new_event(from_json(body))  # it has the texts of what is wrong


def new_event(given: Mapping[str, Any]) -> NewEvent:
    """May raise ``ValidationError``."""
    errors = _unknown_fields(given, NewEvent) | _wrong_types(given, _EVENT_TYPES)
    if given.get("event") is None:
        errors["event"] = "required field missing"
    if errors:
        raise ValidationError(errors)
    return NewEvent(given["event"], given.get("data"), given.get("key"))


def replay_range(given: Mapping[str, Any]) -> tuple[float | None, float | None, Settled]:
    """Return where the range begins and ends, and the state; raises ``ValidationError``."""
    errors = _unknown_fields(given, ReplayRange)
    if errors:
        raise ValidationError(errors)
    return (
        queries.as_moment(given.get("since"), "since"),
        queries.as_moment(given.get("until"), "until"),
        "dead" if given.get("state") is None else queries.one_of(given["state"], "state", SETTLED),
    )


def _wrong_types(given: Mapping[str, Any], types: Mapping[str, tuple[type, str]]) -> dict[str, str]:
    return {
        name: f"expected {text}"
        for name, (kind, text) in types.items()
        if given.get(name) is not None and not isinstance(given[name], kind)
    }


def _unknown_fields(given: Mapping[str, Any], kind: type[Struct]) -> dict[str, str]:
    return {name: "unknown field" for name in given if name not in kind.__struct_fields__}
