from typing import Any

import pytest

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.request_headers import RESERVED, header_secrets, user_headers
from kong_eventhooks_plugin.hooks import schema


def test_headers_are_taken_by_their_lower_name() -> None:
    assert dict(user_headers({"headers": {"X-Team": " a ", "Authorization": "Bearer ü"}})) == {
        b"x-team": b"a",
        b"authorization": "Bearer ü".encode(),
    }
    assert dict(user_headers({})) == dict(user_headers({"headers": None})) == {}


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "TE", "webhook-id", "Webhook-Signature"]
)
def test_what_frames_and_proves_the_message_is_left_out(name: str) -> None:
    assert dict(user_headers({"headers": {name: "x"}})) == {}


@pytest.mark.parametrize(
    "headers",
    ["x", ["a"], {"a b": "x"}, {"": "x"}, {1: "x"}, {"a": 1}, {"a": "x\r\ny: z"}, {"a": "\0"}, {"a": "\ud800"}],
)
def test_what_no_header_can_be_makes_the_request_impossible(headers: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        dict(user_headers({"headers": headers}))
    assert "y: z" not in str(refused.value)


def test_the_schema_refuses_no_header_that_would_be_sent() -> None:
    assert set(schema.RESERVED_HEADERS) <= RESERVED


def test_values_and_their_last_words_are_secrets() -> None:
    assert set(header_secrets({b"authorization": b"Bearer abcdef", b"x": b"short"})) == {b"Bearer abcdef", b"abcdef"}


def test_what_identifies_nobody_is_no_secret() -> None:
    assert not list(
        header_secrets({b"content-type": b"application/json", b"accept": b"text/html", b"user-agent": b"mine 1.0"})
    )
