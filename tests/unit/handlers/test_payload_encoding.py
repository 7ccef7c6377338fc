"""How a payload becomes a body or a query."""

import email.parser
import email.policy
import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.payload_encoding import Encoded, encode_payload, pairs

NESTED = {"a": "x & y", "b": {"c": 1, "d": [True, None]}, "e": [{"f": "g"}, ["h"]], "é": 0.5}
FLAT = [
    ("a", "x & y"),
    ("b[c]", "1"),
    ("b[d][]", "true"),
    ("b[d][]", ""),
    ("e[0][f]", "g"),
    ("e[1][]", "h"),
    ("é", "0.5"),
]


def parts(encoded: Encoded) -> list[tuple[str, str]]:
    head = f"content-type: {encoded.content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + encoded.body)
    return [
        (str(part.get_param("name", header="content-disposition")), part.get_payload(decode=True).decode())
        for part in message.iter_parts()
    ]  # type: ignore[attr-defined,union-attr]


@pytest.mark.parametrize("header", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"])
def test_json(header: str) -> None:
    encoded = encode_payload(NESTED, header, "POST")
    assert json.loads(encoded.body) == NESTED
    assert encoded.content_type == header


def test_pairs_of_a_nested_payload() -> None:
    assert list(pairs(NESTED)) == FLAT


def test_form() -> None:
    encoded = encode_payload(NESTED, "application/x-www-form-urlencoded", "PUT")
    assert parse_qsl(encoded.body.decode(), keep_blank_values=True) == FLAT


def test_query_of_a_get() -> None:
    encoded = encode_payload(NESTED, None, "GET")
    assert parse_qsl(encoded.query, keep_blank_values=True) == FLAT
    assert encoded.body == b""
    assert "x%20%26%20y" in encoded.query


@pytest.mark.parametrize("header", [None, "multipart/form-data", 'multipart/form-data; boundary="my own"'])
def test_multipart_also_where_no_type_is_set(header: str | None) -> None:
    encoded = encode_payload({"a": "x\r\ny", 'q"\n': "z", "n": {"m": 1}}, header, "POST")
    assert parts(encoded) == [("a", "x\r\ny"), ("q%22%0A", "z"), ("n[m]", "1")]
    assert header is None or "my own" not in header or encoded.content_type == header


def test_a_value_that_holds_the_boundary_is_refused() -> None:
    with pytest.raises(ValidationError, match="boundary"):
        encode_payload({"a": "x--abc--"}, "multipart/form-data; boundary=abc", "POST")


def test_another_content_type_is_refused_with_the_fix() -> None:
    with pytest.raises(ValidationError, match="with text/plain set body instead"):
        encode_payload({"a": "b"}, "text/plain", "POST")


json_payloads = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ),
)


@given(json_payloads)
def test_every_payload_can_be_sent_as_a_form(payload: dict[str, object]) -> None:
    assert parse_qsl(
        encode_payload(payload, "application/x-www-form-urlencoded", "POST").body.decode(), keep_blank_values=True
    ) == list(pairs(payload))
