"""The Admin API's answer, plain and compressed, whole and broken."""

import gzip
import json
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import ObservationError
from kong_eventhooks_plugin.sources.changes.answer_body import BYTES, VALUES, decode_entity

ENTITY = {"id": "84cc", "username": "grace", "tags": None}
PLAIN = json.dumps(ENTITY).encode()


@pytest.mark.parametrize(
    "body",
    [PLAIN, b" \r\n" + PLAIN, gzip.compress(PLAIN), zlib.compress(PLAIN)],
    ids=["plain", "space", "gzip", "zlib"],
)
def test_read(body: bytes) -> None:
    assert decode_entity(body) == ENTITY


BOMB = gzip.compress(b"[" + b" " * (BYTES + 1) + b"]")


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b"<html>", b"[" * 100_000, gzip.compress(PLAIN)[:-9],
     gzip.compress(b"[]"), b"\x1f\x8b", b"x", b"\x78\x9c", BOMB, b" " * (BYTES + 1),
     b'{"a":[' + b"[]," * VALUES + b"[]]}"],
    ids=["nothing", "null", "list", "text", "begun", "binary", "html", "deep", "cut", "packed list", "gzip's head",
         "letter", "zlib's head", "bomb", "blanks",
         "values"],
)  # fmt: skip
def test_unreadable(body: bytes) -> None:
    with pytest.raises(ObservationError) as caught:
        decode_entity(body)
    assert "grace" not in str(caught.value)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"\x1f\x8b\x08\x00" + tail))
def test_anything_is_read_or_refused(body: bytes) -> None:
    with suppress(ObservationError):
        assert isinstance(decode_entity(body), dict)


def test_a_bomb_is_not_unpacked_whole() -> None:
    bomb = gzip.compress(bytes(8 * BYTES), 1)
    tracemalloc.start()
    try:
        with pytest.raises(ObservationError):
            decode_entity(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * BYTES
    finally:
        tracemalloc.stop()
