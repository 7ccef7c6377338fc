import aiohttp
import pytest

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.sources.reachability.decision import database_error, error_of, public_url, step
from kong_eventhooks_plugin.sources.reachability.model import Outage


def test_it_counts_from_the_third_failure_in_a_row_and_is_one_event() -> None:
    outage, told = None, []
    for now, fault in (
        (1.0, "connect"),
        (2.0, "connect"),
        (3.0, "timeout"),
        (4.0, "timeout"),
        (5.0, None),
        (6.0, None),
    ):
        taken = step(outage, fault, now, patience=3)
        outage = taken.outage
        told.append((taken.began, taken.ended))
    began = Outage(since=1.0, failures=3, error="timeout", counts=True)
    ended = Outage(since=1.0, failures=4, error="timeout", counts=True)
    assert told == [(None, None), (None, None), (began, None), (None, None), (None, ended), (None, None)]


def test_fewer_failures_are_nothing_and_do_not_add_up() -> None:
    outage = None
    for now, fault in enumerate(("connect", "connect", None, "connect", "connect", None)):
        taken = step(outage, fault, float(now), patience=3)
        outage = taken.outage
        assert (taken.began, taken.ended) == (None, None)


def test_a_patience_of_one() -> None:
    assert step(None, "connect", 1.0, patience=1).began is not None


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        ({"database": {"reachable": False}}, "not_reachable"),
        ({"database": {"reachable": True}}, None),
        ({"configuration_hash": "0"}, None),
        ({"database": None}, None),
    ],
)
def test_the_database_in_an_answer_of_status(status: dict[str, object], fault: str | None) -> None:
    assert database_error(status) == fault


KEY = aiohttp.client_reqrep.ConnectionKey("kong", 8001, False, True, None, None, None, None)


def caused_by(cause: BaseException | None) -> AdminApiError:
    error = AdminApiError("/status: failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        (TimeoutError(), "timeout"),
        (aiohttp.ConnectionTimeoutError(), "timeout"),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), "connect"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError("no such host")), "connect"),
        (aiohttp.ClientConnectorSSLError(KEY, ConnectionError("handshake")), "tls"),
        (aiohttp.ServerDisconnectedError(), "connection"),
        (ConnectionResetError(), "connection"),
        (ValueError("no JSON"), "unreadable"),
        (None, "unreadable"),
    ],
)
def test_the_class_of_a_failure(cause: BaseException | None, fault: str) -> None:
    assert error_of(caused_by(cause)) == fault


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://admin:secret@kong:8001/api/?token=x", "http://kong:8001/api"),
        ("https://kong.example/", "https://kong.example"),
        ("http://[::1]:8001", "http://[::1]:8001"),
        ("http://kong:notaport/secret", ""),
        ("http://[bad/secret", ""),
    ],
)
def test_where_an_admin_api_is_shown_without_secrets(url: str, shown: str) -> None:
    assert public_url(url) == shown
