import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.target_url import parse_target


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://example.com/hook", "https://example.com:443"),
        ("HTTP://Example.COM", "http://example.com:80"),
        ("http://example.com:8080/?x=1", "http://example.com:8080"),
        ("https://user:pw@[::1]:9/", "https://[::1]:9"),
        ("https://bücher.example/", "https://bücher.example:443"),
        ("https://xn--bcher-kva.example/", "https://bücher.example:443"),
        ("http://xn--i-7iq.ws/", "http://xn--i-7iq.ws:80"),
        ("http://my_service./", "http://my_service.:80"),
    ],
)
def test_the_endpoint_is_scheme_host_and_port(url: str, endpoint: str) -> None:
    assert parse_target(url).endpoint == endpoint


def test_user_and_password_become_a_header_and_leave_the_url() -> None:
    place = parse_target("https://us%20er:p%3Aw@example.com/a%2Fb?x=%2B#part")
    assert place.authorization == b"Basic " + base64.b64encode(b"us er:p:w")
    assert (place.origin, place.path) == ("https://example.com", b"/a%2Fb?x=%2B"), "nothing is decoded or encoded anew"
    assert place.path_with("y=1") == b"/a%2Fb?x=%2B&y=1"
    assert parse_target("https://example.com").authorization is None
    assert parse_target("https://example.com").path_with("y=1") == b"/?y=1"
    assert parse_target("https://example.com/?").path_with("y=1") == b"/?y=1"


def test_what_may_be_a_credential_is_known() -> None:
    place = parse_target("https://user:hunter2@example.com/services/T0000000000000001/x?key=a%20b%20c%20d&short=1")
    assert set(place.sensitive) >= {b"hunter2", b"T0000000000000001", b"a b c d", b"a%20b%20c%20d"}
    assert b"services" not in place.sensitive


@pytest.mark.parametrize(
    "url", ["", "example.com", "ftp://x", "http://", "http:///x", "http://[::1", "http://x:99999/", "http://x:0/", "http://a..b/",
     "http://metadata/", "http://xn--/"]
)  # fmt: skip
def test_other_things_are_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        parse_target(url)
    assert not url.strip("htp:/") or url not in str(refused.value)


def test_a_long_url_is_refused() -> None:
    with pytest.raises(ValidationError, match="8192"):
        parse_target("http://x/" + "a" * 8_192)


@given(st.text() | st.text().map("http://{}".format) | st.text().map("http://xn--{}".format))
def test_any_text_is_a_target_or_a_violation(url: str) -> None:
    try:
        place = parse_target(url)
    except ValidationError:
        return
    assert place.endpoint.startswith(("http://", "https://"))
