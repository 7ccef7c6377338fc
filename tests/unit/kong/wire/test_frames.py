"""Frames: fed whole, byte by byte, split anywhere and with more behind; over the limit; within a room."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.kong.wire.frames import (
    EMPTY_FRAME,
    HEAD_BYTES,
    LARGE_BYTES,
    TAIL_BYTES,
    ByteBudget,
    FrameReader,
    Oversized,
    encode_frame,
)
from tests.support.peer import split

LIMIT = 300
PAYLOADS = st.lists(st.one_of(st.binary(max_size=40), st.binary(min_size=LIMIT - 2, max_size=LIMIT + 100)), max_size=8)


def collect(reader: FrameReader, chunks: list[bytes]) -> list[bytes | Oversized]:
    """Feed chunks as a connection does and return what came out."""
    found: list[bytes | Oversized] = []
    for chunk in chunks:
        frame: bytes | Oversized | None = reader.feed(chunk)
        while frame is not None or (frame := reader.next()) is not None:
            found.append(frame)
            frame = None
    return found


def expected(payload: bytes) -> bytes | Oversized:
    if len(payload) <= LIMIT:
        return payload
    return Oversized(len(payload), payload[:HEAD_BYTES], payload[-TAIL_BYTES:])


@given(PAYLOADS, st.lists(st.integers(min_value=0)))
def test_any_split_gives_the_same_frames(payloads: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(encode_frame, payloads))
    reader = FrameReader(LIMIT)
    assert collect(reader, split(data, cuts)) == [expected(payload) for payload in payloads]
    assert not reader.partial
    assert reader.waiting == 0


@given(PAYLOADS)
def test_byte_by_byte(payloads: list[bytes]) -> None:
    data = b"".join(map(encode_frame, payloads))
    reader = FrameReader(LIMIT)
    assert collect(reader, [data[at : at + 1] for at in range(len(data))]) == [expected(each) for each in payloads]
    assert not reader.partial


@given(PAYLOADS, st.binary(min_size=1, max_size=3))
def test_what_comes_behind_is_kept(payloads: list[bytes], trailing: bytes) -> None:
    reader = FrameReader(LIMIT)
    data = b"".join(map(encode_frame, payloads))
    assert collect(reader, [data + trailing]) == [expected(payload) for payload in payloads]
    assert reader.partial
    rest = encode_frame(b"")[: 4 - len(trailing)] if not any(trailing) else None
    if rest is not None:
        assert collect(reader, [rest]) == [b""]


@given(st.binary(max_size=2_000), st.lists(st.integers(min_value=0)))
def test_garbage_never_raises(garbage: bytes, cuts: list[int]) -> None:
    reader = FrameReader(LIMIT)
    for frame in collect(reader, split(garbage, cuts)):
        assert isinstance(frame, Oversized) or len(frame) <= LIMIT
    reader.close()
    assert not reader.partial


def test_a_length_and_its_bytes_apart_need_no_copy() -> None:
    reader = FrameReader()
    assert reader.feed(struct.pack("<I", 3)) is None
    assert reader.partial
    assert reader.waiting == 0
    payload = b"abc"
    assert reader.feed(payload) is payload
    assert not reader.partial


def test_empty_frames() -> None:
    reader = FrameReader()
    assert reader.feed(EMPTY_FRAME) == b""
    assert collect(reader, [EMPTY_FRAME * 3]) == [b"", b"", b""]


def test_an_oversized_frame_keeps_both_ends_and_nothing_else() -> None:
    payload = bytes(range(256)) * 4_096
    reader = FrameReader(1_000)
    data = encode_frame(payload) + encode_frame(b"next")
    found: list[bytes | Oversized] = []
    for start in range(0, len(data), 1_500):
        found += collect(reader, [data[start : start + 1_500]])
        assert reader.waiting < 1_500
    assert found == [Oversized(len(payload), payload[:HEAD_BYTES], payload[-TAIL_BYTES:]), b"next"]


def test_kept_bytes_wait_for_next() -> None:
    reader = FrameReader()
    reader.keep(encode_frame(b"one") + encode_frame(b"two")[:5])
    assert reader.next() == b"one"
    assert reader.next() is None
    assert reader.feed(b"wo") is None
    assert reader.next() == b"two"


class TestRoom:
    def test_what_finds_no_room_is_oversized(self) -> None:
        room = ByteBudget(LARGE_BYTES + 10)
        first, second = FrameReader(budget=room), FrameReader(budget=room)
        large = b"x" * (LARGE_BYTES + 1)
        assert collect(first, [encode_frame(large)[:-1]]) == []
        refused = collect(second, [encode_frame(large)])[0]
        assert refused == large  # it came whole: nothing had to be kept
        assert isinstance(collect(second, [encode_frame(large)[:-1], b"x"])[0], Oversized)
        assert collect(first, [b"x"]) == [large]
        assert collect(second, [encode_frame(large)[:-1], b"x"]) == [large]

    def test_small_frames_need_none(self) -> None:
        reader = FrameReader(budget=ByteBudget(0))
        assert collect(reader, [encode_frame(b"x" * 100)[:50], b"x" * 54]) == [b"x" * 100]

    @pytest.mark.parametrize("end", ["finish", "close"])
    def test_it_is_given_back(self, end: str) -> None:
        room = ByteBudget(LARGE_BYTES + 10)
        for _ in range(3):
            reader = FrameReader(budget=room)
            assert collect(reader, [encode_frame(b"x" * (LARGE_BYTES + 1))[:-1]]) == []
            if end == "finish":
                assert len(collect(reader, [b"x"])) == 1
            else:
                reader.close()
        assert room.acquire(LARGE_BYTES + 10)
