"""Query parameters: sizes, offsets, times, names.

As in Kong, unknown parameters are ignored, and the first of a repeated one counts. A time is Unix seconds or ISO
8601 with its zone (``2026-01-31T12:00:00Z``).
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar, cast, get_args

from kong_eventhooks_plugin.api.rest.form_values import number
from kong_eventhooks_plugin.errors import BadArgument, ValidationError
from kong_eventhooks_plugin.model.delivery import State
from kong_eventhooks_plugin.queue.contract import DeliveryFilter

T = TypeVar("T", bound=str)

Query = Mapping[str, str]

MAX_TEXT: Final = 256


def size(query: Query) -> float | None:
    """May raise ``BadArgument``."""
    text = query.get("size")
    if text is None:
        return None
    found = number(text)
    if found is None:
        raise BadArgument("size must be a number", 9, "invalid size")
    return found


def text(query: Query, name: str) -> str | None:
    """Return any text, None where it is missing or empty; raises ``ValidationError``."""
    value = query.get(name)
    if value is not None and len(value) > MAX_TEXT:
        raise ValidationError({name: f"length must be at most {MAX_TEXT}"})
    return value or None


def moment(query: Query, name: str) -> float | None:
    """Return a time in Unix seconds; raises ``ValidationError``."""
    return as_moment(query.get(name), name)


def as_moment(value: Any, name: str) -> float | None:
    """Return a value as a time in Unix seconds; raises ``ValidationError``."""
    if value is None:
        return None
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds):
        raise ValidationError({name: "expected Unix seconds, or a time like 2026-01-31T12:00:00Z"})
    return seconds


def state(query: Query) -> State | None:
    """May raise ``ValidationError``."""
    value = query.get("state") or None
    return None if value is None else one_of(value, "state", cast("tuple[State, ...]", get_args(State)))


def delivery_filter(query: Query, hook_id: str | None) -> DeliveryFilter:
    """May raise ``ValidationError``."""
    return DeliveryFilter(
        hook_id=hook_id,
        state=state(query),
        source=text(query, "source"),
        since=moment(query, "since"),
        until=moment(query, "until"),
        event_prefix=text(query, "event_id"),
    )


def one_of(value: Any, name: str, choices: tuple[T, ...]) -> T:
    """May raise ``ValidationError`` with Kong's text."""
    found = next((choice for choice in choices if choice == value), None)
    if found is None:
        raise ValidationError({name: f"expected one of: {', '.join(choices)}"})
    return found


def _seconds(value: Any) -> float | None:
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        found = number(value)
        return _iso_seconds(value) if found is None else float(found)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer in JSON may be larger than any double
        return None


def _iso_seconds(text: str) -> float | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if when.tzinfo is None else when.timestamp()
