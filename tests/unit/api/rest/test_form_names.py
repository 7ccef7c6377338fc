"""Nested values from flat names: the corners that no recording has."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.rest.form_names import nested, steps
from kong_eventhooks_plugin.errors import BadArgument, ValidationError
from tests.support.waiting import SECONDS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", ["a"]),
        ("a.b.c", ["a", "b", "c"]),
        ("a[]", ["a", -1]),
        ("a[2]", ["a", 2]),
        ("a[0]", ["a", 0]),
        ("a[b]", ["a", "b"]),
        ("a[b.c][3].d", ["a", "b.c", 3, "d"]),
        ("a[99999]", ["a", "99999"]),
        ("a[-1]", ["a", "-1"]),
        ("[5].a", ["[5]", "a"]),
        ("[5][x]", ["[5]", "x"]),
        ("a[b", ["a[b"]),
        ("a]b.c", ["a]b", "c"]),
        ("a[b]c", ["a[b]c"]),
        ("a..b", ["a", "b"]),
        (".a", [".a"]),
        ("a.", ["a."]),
        ("", [""]),
        ("[", ["["]),
    ],
)
def test_the_way_down_that_a_name_describes(name: str, expected: list[object]) -> None:
    assert list(steps(name)) == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ([("a", "1"), ("a", "2")], {"a": ["1", "2"]}),
        ([("a[]", "1"), ("a[]", "2")], {"a": ["1", "2"]}),
        ([("a[2]", "2"), ("a[1]", "1"), ("a[]", "3")], {"a": ["1", "2", "3"]}),
        ([("a[2]", "2")], {"a": {"2": "2"}}),
        ([("a[0]", "x"), ("a[1]", "y")], {"a": {"0": "x", "1": "y"}}),
        ([("a[].x", "1"), ("a[].y", "2")], {"a": [{"x": "1", "y": "2"}]}),
        ([("a[1].x", "1"), ("a[2].x", "2")], {"a": [{"x": "1"}, {"x": "2"}]}),
        ([("a[1][1]", "1"), ("a[1][2]", "2")], {"a": [["1", "2"]]}),
        ([("a.b", "1"), ("a[c]", "2")], {"a": {"b": "1", "c": "2"}}),
    ],
)
def test_what_names_make_together(form: list[tuple[str, str]], expected: object) -> None:
    assert nested(form) == expected
    if len({name for name, _ in form}) == len(form) and "[]" not in form[-1][0]:
        assert nested(reversed(form)) == expected


@pytest.mark.parametrize(
    "form",
    [[("a", "1"), ("a.b", "2")], [("a.b", "2"), ("a", "1")], [("a[]", "1"), ("a.b", "2")],
     [("a.b", "1"), ("a[1]", "2")], [("a[1]", "1"), ("a[1].b", "2")], [("a", "1"), ("a[]", "2")]],
)  # fmt: skip
def test_names_that_contradict_each_other(form: list[tuple[str, str]]) -> None:
    with pytest.raises(ValidationError) as refused:
        nested(form)
    assert list(refused.value.fields) == ["a"]


def test_limits() -> None:
    assert len(nested((f"a{n}", "") for n in range(1_000))) == 1_000
    with pytest.raises(BadArgument, match=r"^Too many arguments$"):
        nested((f"a{n}", "") for n in range(1_001))
    nested([(".".join("a" * 32), "x")])
    with pytest.raises(BadArgument, match="32 levels"):
        nested([(".".join("a" * 33), "x")])


@pytest.mark.parametrize(
    "name", ["[" * 400_000, "a" + "[]" * 200_000, "]" * 400_000, "a[" * 200_000 + "]", "." * 400_000]
)
def test_the_work_grows_with_the_length_alone(name: str) -> None:
    began = time.process_time()
    with contextlib.suppress(BadArgument):
        nested([(name, "x")])
    assert time.process_time() - began < SECONDS  # it takes 0.3 s; with the square of the length, hours


@given(st.lists(st.tuples(st.text(alphabet="ab.[]01\n\u00fc", max_size=12), st.text(max_size=3)), max_size=6))
def test_any_form_is_an_object_or_refused(form: list[tuple[str, str]]) -> None:
    with contextlib.suppress(BadArgument, ValidationError):
        assert isinstance(nested(form), dict)


@given(
    st.recursive(
        st.text(min_size=1, max_size=3),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3), st.dictionaries(st.text("abc", min_size=1), inner, min_size=1)
        ),
        max_leaves=8,
    )
)
def test_what_is_spelled_out_comes_back(value: object) -> None:
    def spelled(name: str, each: object) -> list[tuple[str, str]]:
        if isinstance(each, dict):
            return [pair for key, one in each.items() for pair in spelled(f"{name}.{key}", one)]
        if isinstance(each, list):
            return [pair for place, one in enumerate(each, 1) for pair in spelled(f"{name}[{place}]", one)]
        return [(name, str(each))]

    assert nested(spelled("top", value)) == {"top": value}
