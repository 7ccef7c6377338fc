"""Sizes and offsets as Kong has them; the texts are a real Kong's."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.service.paging import bad_offset, decoded, encoded, page_size
from kong_eventhooks_plugin.errors import BadArgument


@pytest.mark.parametrize(("size", "expected"), [(None, 100), (1, 1), (1000, 1000), (10.0, 10)])
def test_sizes(size: float | None, expected: int) -> None:
    assert page_size(size) == expected


@pytest.mark.parametrize("size", [0, 1001, 1.5, -1])
def test_sizes_that_are_none(size: float) -> None:
    with pytest.raises(BadArgument, match=r"^size must be an integer between 1 and 1000$") as refused:
        page_size(size)
    assert (refused.value.code, refused.value.name) == (9, "invalid size")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=64))
def test_an_offset_comes_back(position: str) -> None:
    offset = encoded(position)
    assert decoded(offset) == position
    assert offset.isascii()
    assert not set(offset) & set("+/=&?#")


@pytest.mark.parametrize(
    ("offset", "why"),
    [("", "bad json encoding"), ("abc", "bad json encoding"), ("!", "bad base64 encoding"),
     ("eyJ4IjoxfQ", "bad offset string"), ("W10", "bad offset string"), ("WzFd", "bad offset string"),
     ("x" * 2_000, "too long"), ("ü", "bad base64 encoding")],
)  # fmt: skip
def test_offsets_that_are_none(offset: str, why: str) -> None:
    with pytest.raises(BadArgument, match=f"is not a valid offset: {why}") as refused:
        decoded(offset)
    assert (refused.value.code, refused.value.name) == (7, "invalid offset")
    assert str(bad_offset("abc", "bad json encoding")) == "'abc' is not a valid offset: bad json encoding"


@given(st.text(max_size=80))
def test_any_offset_is_read_or_refused(offset: str) -> None:
    with contextlib.suppress(BadArgument):
        decoded(offset)
