"""Who may call the API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.service.access import (
    Access,
    Caller,
    check_token,
    host_of,
    printable,
    require_token_beyond_loopback,
    same_address,
)
from kong_eventhooks_plugin.errors import AccessRefused, SettingsError, TokenNeeded

TOKEN = "correct-horse-battery-staple"


def test_without_a_token_everybody_is_trusted() -> None:
    assert Access().trusted(Caller())
    assert Access().admit("read", Caller(token="whatever"))


@pytest.mark.parametrize("sent", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\udcff", "ü" * 30])
def test_with_one_set_no_other_caller_is(sent: str | None) -> None:
    access = Access(TOKEN)
    assert access.trusted(Caller(token=TOKEN))
    assert not access.trusted(Caller(token=sent))
    with pytest.raises(TokenNeeded) as refused:
        access.admit("read", Caller(token=sent))
    assert "Authorization: Bearer" in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_wrong_token_is_refused_where_none_is_needed() -> None:
    access = Access(TOKEN)
    assert not access.admit("open", Caller())
    assert access.admit("open", Caller(token=TOKEN))
    with pytest.raises(TokenNeeded, match="the admin token is wrong"):
        access.admit("open", Caller(token=TOKEN + "x"))


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(sent: bytes, wanted: bytes) -> bool:
        compared.append((sent, wanted))
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    Access(TOKEN).trusted(Caller(token="x"))
    Access(TOKEN).trusted(Caller())
    assert compared == [(b"x", TOKEN.encode()), (b"", TOKEN.encode())], "no shortcut, not even without a token"


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8010", "LOCALHOST:1", "localhost.:8010", "127.0.0.1", "127.0.0.1:8010", "[::1]:8010",
     "[::1]", "192.0.2.7:8010", "hooks.internal", "Hooks.Internal:80"],
)  # fmt: skip
def test_names_of_ours(host: str) -> None:
    Access(hosts=["hooks.internal"]).check_host(host)


@pytest.mark.parametrize(
    "host",
    [None, "", " localhost", "evil.test", "evil.test:8010", "localhost.evil.test", "127.0.0.1.evil.test",
     "localhost@evil.test", "localhost/x", "localhost:8010:1", "localhost:x", "[::1", "localhost?x", "evil\x00",
     "127.1.evil", "hooks.internal.evil"],
)  # fmt: skip
def test_foreign_names_are_refused_with_a_reason(host: str | None) -> None:
    with pytest.raises(AccessRefused, match="api_hosts"):
        Access(hosts=["hooks.internal"]).check_host(host)


@pytest.mark.parametrize(
    ("host", "origin", "site"),
    [
        ("localhost:8010", None, None),
        ("localhost:8010", "http://localhost:8010", "same-origin"),
        ("127.0.0.1", "http://127.0.0.1", None),
        ("[::1]:8010", "http://[::1]:8010", None),
        ("localhost:443", "https://localhost", "none"),
    ],
)
def test_our_own_pages_and_no_page_at_all(host: str, origin: str | None, site: str | None) -> None:
    Access().check_page(Caller(host=host, origin=origin, fetch_site=site))


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("http://evil.test", None),
        ("null", None),
        ("http://localhost", None),
        ("http://localhost:8011", None),
        ("https://127.0.0.1:8010", None),
        ("http://localhost:8010/", None),
        ("http://u@localhost:8010", None),
        ("file://localhost:8010", None),
        ("http://localhost:99999999", None),
        ("", None),
        (None, "cross-site"),
        (None, "same-site"),
        ("http://localhost:8010", "cross-site"),
        (None, "nonsense"),
    ],
)
def test_pages_of_other_sites_are_refused(origin: str | None, site: str | None) -> None:
    with pytest.raises(AccessRefused):
        Access(TOKEN).check_page(Caller(token=TOKEN, host="localhost:8010", origin=origin, fetch_site=site))


@pytest.mark.parametrize("listen", ["127.0.0.1:8010", "localhost:0", "[::1]:8010", "127.9.9.9:1"])
def test_loopback_needs_no_token(listen: str) -> None:
    require_token_beyond_loopback(listen, None)
    require_token_beyond_loopback(listen, TOKEN)


@pytest.mark.parametrize("listen", ["0.0.0.0:8010", "[::]:8010", "192.0.2.7:8010", ":8010", "sidecar:8010", "8010"])
def test_beyond_it_a_token_is_needed(listen: str) -> None:
    require_token_beyond_loopback(listen, TOKEN)
    with pytest.raises(SettingsError, match=r"^listen: .*api_token_file"):
        require_token_beyond_loopback(listen, None)


@pytest.mark.parametrize(
    "token",
    ["", "short", "fifteen-bytes-1", "x" * 5_000, "with a space in its text", "ümlaute-" * 4,
     "line\nend-line\nend-line", "tab\ttab\ttab\ttab\ttab"],
)  # fmt: skip
def test_a_token_that_is_none(token: str) -> None:
    with pytest.raises(SettingsError, match=r"^api_token_file: the token m"):
        check_token(token)


@given(st.text())
def test_any_header_is_read(header: str) -> None:
    host = host_of(header)
    assert host is None or host == host.casefold()
    same_address(header, header)
    assert len(printable(header)) <= 100
    assert printable(header).isprintable() or not printable(header)
