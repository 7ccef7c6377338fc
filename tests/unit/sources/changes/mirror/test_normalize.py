"""What two forms of one state have in common."""

from typing import Any

import pytest

from kong_eventhooks_plugin.kong.admin_api.entities import MaskedEntity
from kong_eventhooks_plugin.model.masking import MASK
from kong_eventhooks_plugin.sources.changes.mirror.normalize import comparable

APART = {
    "nothing": {"same_rules": True, "same_origin": True},
    "origin": {"same_rules": True, "same_origin": False},
    "rules": {"same_rules": False, "same_origin": True},
}


def hidden(digests: dict[str, str] | None = None, **shown: Any) -> MaskedEntity:
    return MaskedEntity(shown, digests or {})


@pytest.mark.parametrize(
    ("apart", "old", "new", "same"),
    [
        ("nothing", hidden(a=1), hidden(a=1, b=2), False),
        ("origin", hidden(a=1), hidden(a=1, b=2), True),
        ("origin", hidden(a=1, b=None), hidden(a=1, b=2), False),
        ("origin", hidden(a={"x": 1}), hidden(a={"x": 1, "y": 2}), False),
        ("rules", hidden(a={"x": 1}), hidden(a={"x": 1, "y": 2}), True),
        ("rules", hidden(a={"x": 1}), hidden(a={"x": 2, "y": 2}), False),
        ("rules", hidden({"a": "1"}, a=MASK), hidden(a="open"), True),
        ("rules", hidden({"a": "1"}, a=MASK), hidden({"a": "2"}, a=MASK), False),
        ("rules", hidden({"a": "1"}, a=MASK), hidden(a=None), False),
        ("rules", hidden({"c": "1"}, c=MASK), hidden({"c.x": "1"}, c={"x": MASK, "y": 1}), True),
        ("rules", hidden({"c.l": "1"}, c={"l": [MASK]}), hidden(c={"l": ["x", "y"]}), True),
        ("rules", hidden({"c.l": "1"}, c={"l": [MASK]}), hidden({"c.l": "2"}, c={"l": [MASK]}), False),
    ],
)
def test_common(apart: str, old: MaskedEntity, new: MaskedEntity, same: bool) -> None:
    one, other = comparable(old, new, **APART[apart])
    assert (one == other) is same
    two, another = comparable(new, old, **APART[apart])
    assert (two == another) is same, "whichever comes first"


def test_what_is_handed_in_stays() -> None:
    old, new = hidden(a={"x": 1}, b=1), hidden(a={"y": 2})
    comparable(old, new, **APART["rules"])
    assert (old, new) == (hidden(a={"x": 1}, b=1), hidden(a={"y": 2}))
