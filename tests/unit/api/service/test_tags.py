"""The tags filter; what is refused and how is what a real Kong said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.service.tags import TagFilter, tag_filter
from kong_eventhooks_plugin.errors import BadArgument


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("a", TagFilter(("a",), all=True)),
        ("a,b", TagFilter(("a", "b"), all=True)),
        ("a/b", TagFilter(("a", "b"), all=False)),
        ("a b,ü", TagFilter(("a b", "ü"), all=True)),
        ("a,", TagFilter(("a", ""), all=True)),
    ],
)
def test_filters(text: str | None, expected: TagFilter | None) -> None:
    assert tag_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "cannot be null"), ("a,b/x", "invalid filter syntax"), (",a", "invalid filter syntax"),
     ("/", "invalid filter syntax"), ("a\n", "invalid filter syntax"),
     ("a,b,c,d,e,f", "cannot query more than 5 tags")],
)  # fmt: skip
def test_filters_that_are_none(text: str, why: str) -> None:
    with pytest.raises(BadArgument, match=rf"^invalid option \(tags: {why}\)$") as refused:
        tag_filter(text)
    assert (refused.value.code, refused.value.name, refused.value.options) == (11, "invalid options", {"tags": why})


def test_both_or_either() -> None:
    both, either = TagFilter(("a", "b"), all=True), TagFilter(("a", "b"), all=False)
    assert [both.matches(tags) for tags in (["a"], ["a", "b", "c"], [])] == [False, True, False]
    assert [either.matches(tags) for tags in (["a"], ["b", "c"], ["c"])] == [True, True, False]


@given(st.text(max_size=50))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = tag_filter(text)
    except BadArgument:
        return
    assert found is not None
