from typing import Any

import pytest

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.request_headers import LONGEST_RENDERED, RESERVED, header_secrets, user_headers
from kong_eventhooks_plugin.hooks import schema


def test_headers_are_taken_by_their_lower_name() -> None:
    values = {b"x-team": b"a", b"authorization": "Bearer ü".encode()}
    assert user_headers({"X-Team": " a ", "Authorization": "Bearer ü"}) == (values, [])
    assert user_headers({}) == user_headers(None) == ({}, [])


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "TE", "webhook-id", "Webhook-Signature"]
)
def test_what_frames_and_proves_the_message_is_left_out(name: str) -> None:
    assert user_headers({name: "x"}) == ({}, [])


@pytest.mark.parametrize(
    "headers",
    ["x", ["a"], {"a b": "x"}, {"": "x"}, {1: "x"}, {"a": 1}, {"a\r\ny": "z"}],
)
def test_what_no_header_can_be_makes_the_request_impossible(headers: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        user_headers(headers)
    assert "\n" not in str(refused.value)


CONTROLS = "header x: line ends and control characters removed"


@pytest.mark.parametrize(
    ("value", "sent", "notes"),
    [
        ("x\r\ny: z", b"x y: z", [CONTROLS]),
        ("\0\x1b[31mred\x7f\n", b"[31mred", [CONTROLS]),
        ("a\tb", b"a\tb", []),
        ("\n", b"", [CONTROLS]),
        ("\ud800a", b"?a", []),
        ("José 東京", "José 東京".encode(), []),
        ("a" * 5_000, b"a" * 5_000, []),
    ],
)
def test_a_value_that_no_header_can_have_is_cleaned(value: str, sent: bytes, notes: list[str]) -> None:
    assert user_headers({"X": value}) == ({b"x": sent}, notes)


def test_what_a_template_made_is_cut_between_characters() -> None:
    values, notes = user_headers({"X": "東" * 2_000}, rendered=True)
    assert values[b"x"].decode() == "東" * (LONGEST_RENDERED // 3)
    assert notes == ["header x: cut from 6,000 to 4,096 bytes"]


def test_the_schema_refuses_no_header_that_would_be_sent() -> None:
    assert set(schema.RESERVED_HEADERS) <= RESERVED


def test_values_and_their_last_words_are_secrets() -> None:
    assert set(header_secrets({b"authorization": b"Bearer abcdef", b"x": b"short"})) == {b"Bearer abcdef", b"abcdef"}


def test_what_identifies_nobody_is_no_secret() -> None:
    assert not list(
        header_secrets({b"content-type": b"application/json", b"accept": b"text/html", b"user-agent": b"mine 1.0"})
    )
