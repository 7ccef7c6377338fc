"""Query parameters and times in bodies."""

from typing import Any

import pytest

from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.errors import ValidationError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0), (5, 5.0), ("1.5", 1.5), ("0x10", 16.0), ("2026-01-31T12:00:00Z", 1_769_860_800.0),
        ("2026-01-31T13:00:00+01:00", 1_769_860_800.0), ("8.2e192", 8.2e192), (10**300, 1e300), (None, None),
    ],
)  # fmt: skip
def test_a_time_is_a_double(value: Any, seconds: float | None) -> None:
    """A whole number beyond 64 bits, too: no store takes it as an integer."""
    found = queries.as_moment(value, "since")
    assert (found, type(found)) == (seconds, type(seconds))


@pytest.mark.parametrize("value", [True, "", "now", "2026-01-31T12:00:00", 10**400, float("inf"), [], "9" * 300])
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(ValidationError):
        queries.as_moment(value, "since")
