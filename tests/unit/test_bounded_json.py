"""What counts as a value, and that what is refused is never parsed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin import bounded_json
from kong_eventhooks_plugin.bounded_json import TooManyValues, decode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='a,:[{}]"\\\n\u20ac', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='b,"\\', max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def counted(value: Any) -> int:
    if isinstance(value, dict):
        return max(2 * len(value), 1) + sum(map(counted, value.values()))
    if isinstance(value, list):
        return max(len(value), 1) + sum(map(counted, value))
    return 0


@given(VALUES, st.integers(1, 40))
def test_what_is_in_a_text_is_no_value(value: Any, piece: int) -> None:
    data, count = json.dumps(value).encode(), counted(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded_json, "PIECE", piece)
        patch.setattr(bounded_json, "PIECES", piece)
        assert decode(data, count) == value
        if count:
            with pytest.raises(TooManyValues, match=f"^more than {count - 1:,} values$"):
                decode(data, count - 1)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" + b"[]," * 300_000 + b"[]]", id="empty lists"),
        pytest.param(b'{"a":[' + b'{"a":{"b":{}}},' * 60_000 + b"0]}", id="objects"),
        pytest.param(b"{" + b",".join(b'"%x":0' % n for n in range(90_000)) + b"}", id="keys"),
        pytest.param(b"[" + b'"",' * 300_000 + b'""]', id="empty texts"),
        pytest.param(b"[" + b"[]," * 300_000 + b'"', id="no JSON at its end"),
    ],
)
def test_a_megabyte_of_values_is_not_parsed(data: bytes) -> None:
    decoder: Any = None
    with pytest.raises(TooManyValues):
        decode(data, 25_000, decoder)


@pytest.mark.parametrize("inside", ["[],", '\\",', "\\\\", '{"a":', "\\\\,"])
def test_a_long_text_is_one_value(inside: str) -> None:
    text = ("," * 100 + inside) * 20_000
    assert decode(json.dumps([text]).encode(), 50) == [text]


@pytest.mark.parametrize("data", [b"", b"[", b'"', b"[1,]", b'["\\', b'\\"[', b"\xff", b"[" * 5_000, b'{"a":' * 5_000])
def test_no_json_is_a_decode_error(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeError)):
        decode(data, 10_000)
