"""Reading ``kong.log.serialize``: what is odd is left out, and never costs the rest."""

import itertools
import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import ObservationError
from kong_eventhooks_plugin.model.scope import EventScope
from kong_eventhooks_plugin.sources.requests import kong_log
from kong_eventhooks_plugin.sources.requests.kong_log import (
    LARGE,
    PATH_LIMIT,
    REMEMBERED,
    REMEMBERED_BYTES,
    KongLog,
    LogRequest,
    decode,
)
from tests.support.events import recorded, serialized

ODD: list[Any] = [None, True, 7, 1.5, "text", [], {}, ["x"], {"x": {"y": None}}]


def read(**changes: Any) -> KongLog:
    return decode(json.dumps(serialized(**changes)))


def test_it_reads_what_sources_use() -> None:
    log = read()
    assert (log.source, log.client_ip, log.request.method) == ("kong", "192.0.2.7", "GET")
    assert (log.service and log.service.port, log.route and log.route.name) == (9190, "demo-route")
    assert log.scope == EventScope(("s-1", "demo"), ("r-1", "demo-route"), ("c-1", "Joe"))


@pytest.mark.parametrize("line", recorded())
def test_it_reads_every_recorded_request_as_text_and_as_bytes(line: int) -> None:
    text = recorded()[line].serialized
    assert isinstance(text, str)
    assert decode(text) == decode(text.encode())
    assert decode(text).request.id


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/demo/x?apikey=joekey", "/demo/x"),
        ("/demo/x", "/demo/x"),
        ("/?", "/"),
        ("/a?b?c", "/a"),
        ("/a#token=joekey", "/a"),
        ("/a#b?apikey=joekey", "/a"),
        ("/a%3Fb", "/a%3Fb"),
        ("?apikey=joekey", ""),
        ("/" + "x" * 5000, "/" + "x" * (PATH_LIMIT - 1)),
        (None, None),
    ],
)
def test_the_path_has_no_query_string(uri: str | None, path: str | None) -> None:
    assert read(request={"uri": uri}).request.path == path


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/admin/consumers/grace/key-auth/s3cret?x=1", "/admin/consumers/grace/key-auth/***"),
        ("/admin/key-auths/s3cret/consumer", "/admin/key-auths/***/consumer"),
        ("/oauth2_tokens/s3cret", "/oauth2_tokens/***"),
        ("/admin/key-auths//s3cret/consumer", "/admin/key-auths/***/consumer"),
        ("/admin/consumers/grace/key-auth", "/admin/consumers/grace/key-auth"),
        ("/admin/consumers/grace/key-auth/", "/admin/consumers/grace/key-auth/"),
    ],
)
def test_the_path_names_no_credential(uri: str, path: str) -> None:
    assert LogRequest(uri=uri).path == path


def test_an_entity_may_be_known_by_id_or_name_alone() -> None:
    log = read(service={"id": "s-1"}, route={"name": "demo-route"}, consumer={"id": "", "custom_id": "42"})
    assert log.scope == EventScope(("s-1",), ("demo-route",), ())


def test_headers_of_the_request_are_not_read() -> None:
    assert "joekey" not in repr(msgspec.structs.replace(read().request, uri=None))


@pytest.mark.parametrize("tries", [[], {}, None, [{"ip": "127.0.0.1"}], "x"])
def test_tries_may_be_anything(tries: Any) -> None:
    assert read(tries=tries).client_ip == "192.0.2.7"


@pytest.mark.parametrize(
    ("status", "asked"), [("200", True), (200, True), ("502, 200", True), ("", False), (None, False)]
)
def test_whether_the_service_was_asked(status: Any, asked: bool) -> None:
    assert read(upstream_status=status).asked_service is asked


def test_entities_that_repeat_are_read_once_and_never_taken_for_others() -> None:
    one, same = read(), read()
    assert one.service_data is same.service_data
    assert one.route is same.route
    other = read(service={"id": "s-2", "name": "demo"})
    assert (other.service_data, other.scope.service) == ({"id": "s-2", "name": "demo"}, ("s-2", "demo"))
    assert other.route is one.route
    assert (read(service=None).service, read(service=None).service_data) == (None, {})


def test_remembered_entities_are_bounded() -> None:
    known = kong_log._services._known
    for number in range(REMEMBERED + 10):
        assert read(service={"id": str(number)}).scope.service == (str(number),)
        assert len(known) <= REMEMBERED
    known.clear()
    assert read(service={"name": "x" * REMEMBERED_BYTES}).scope.service == ("x" * REMEMBERED_BYTES,)
    assert not known


def _with_headers(request_id: str, source: str = "kong", **headers: str) -> KongLog:
    headers["x-kong-request-id"] = request_id
    answer = {"status": 429, "headers": headers}
    return read(source=source, request={"id": request_id}, response=answer)


def test_answers_of_kong_that_differ_in_the_requests_id_share_their_headers_and_no_others_do() -> None:
    one, same = (_with_headers(digit * 32, server="kong") for digit in "01")
    assert one.response.headers is same.response.headers
    assert one.last_verdict is same.last_verdict
    assert one.response.headers == {"server": "kong", "x-kong-request-id": ""}
    other = _with_headers("2" * 32, server="other")
    assert other.response.headers == {"server": "other", "x-kong-request-id": ""}
    assert other.last_verdict is not one.last_verdict
    for kept in (_with_headers("0" * 32, "upstream"), _with_headers("0")):
        assert kept.request.id is not None
        assert kept.response.headers == {"x-kong-request-id": kept.request.id}


def test_an_id_that_is_none_of_kongs_takes_no_header_away() -> None:
    headers = {"a": "1", "server": "kong", "via": "1.1 kong/3.9"}
    odd = json.dumps(headers)[8:40]
    assert "server" in odd
    assert _with_headers(odd, **headers).response.headers == {**headers, "x-kong-request-id": odd}


def test_remembered_headers_are_bounded() -> None:
    known = kong_log._known_headers
    for number in range(REMEMBERED + 10):
        assert _with_headers("0" * 32, server=str(number)).response.headers["server"] == str(number)
        assert len(known) <= REMEMBERED
    known.clear()
    assert _with_headers("0" * 32, server="x" * REMEMBERED_BYTES).response.headers["server"] == "x" * REMEMBERED_BYTES
    assert not known


@pytest.mark.parametrize("status", ["", None])
def test_a_try_is_proof_that_the_service_was_asked(status: Any) -> None:
    # Seen where Kong buffers the answer: there is no status of a service that did not answer.
    assert read(upstream_status=status, tries=[{"ip": "127.0.0.1", "port": 9}]).asked_service
    assert not read(upstream_status=status, tries=[{"balancer_start": 1795293910332}]).asked_service


class TestAttempts:
    def test_their_fields(self) -> None:
        given = {"ip": "192.0.2.1", "port": 80, "balancer_latency": 0, "state": "failed", "code": 502}
        (one,) = read(tries=[given | {"balancer_start": 1795293910332, "balancer_latency_ns": 1}]).attempts()
        assert msgspec.structs.asdict(one) == given
        assert type(one.balancer_latency) is int

    def test_one_without_an_address_found_no_target(self) -> None:
        tries = [{"ip": "192.0.2.1", "port": 80}, {"balancer_start": 1795293910332}]
        assert [each.ip for each in read(tries=tries).attempts()] == ["192.0.2.1"]

    @pytest.mark.parametrize("tries", [[], {}, None, "x", 7, [7], [{"ip": 7}], [{"ip": "x", "port": "y"}]], ids=repr)
    def test_odd_ones_are_none(self, tries: Any) -> None:
        assert read(tries=tries).attempts() == []
        assert read(tries=tries, client_ip=["odd"]).attempts() == []

    def test_they_survive_what_is_odd_elsewhere(self) -> None:
        log = read(tries=[{"ip": "192.0.2.1"}], client_ip=["odd"])
        assert [each.ip for each in log.attempts()] == ["192.0.2.1"]

    def test_bytes_in_them_that_are_no_text_raise_nothing(self) -> None:
        raw = json.dumps(serialized(tries=[{"ip": "192.0.2.1", "state": "S"}])).encode().replace(b'"S"', b'"\xff"')
        assert [each.ip for each in decode(raw).attempts()] in ([], ["192.0.2.1"])


@pytest.mark.parametrize("field", serialized())
def test_a_field_of_another_type_costs_nothing_but_itself(field: str) -> None:
    whole, others = read(), [name for name in serialized() if name in KongLog.__struct_fields__ and name != field]
    for value in ODD:
        log = read(**{field: value})
        assert [getattr(log, name) for name in others] == [getattr(whole, name) for name in others], value


@pytest.mark.parametrize("entity", ["service", "route", "consumer", "request"])
def test_nor_does_one_within_an_entity(entity: str) -> None:
    given = serialized()[entity]
    for name, value in itertools.product(given, ODD):
        got = getattr(read(**{entity: given | {name: value}}), entity)
        for other in set(got.__struct_fields__) & given.keys() - {name}:
            assert getattr(got, other) == given[other], (name, value)


@pytest.mark.parametrize("ip", ["192.0.2.7", ["odd"]], ids=str)
def test_numbers_may_come_as_texts(ip: Any) -> None:
    log = read(started_at="1795278775522", service={"port": "9190"}, client_ip=ip)
    assert (log.started_at, log.service and log.service.port) == (1_795_278_775_522, 9190)


@pytest.mark.parametrize("headers", [[], {}, None])
def test_an_answer_may_have_no_headers(headers: Any) -> None:
    assert read(response={"status": 429, "headers": headers}).response.headers == {}


def test_a_repeated_headers_values_are_kept() -> None:
    assert read(response={"headers": {"retry-after": ["5", "6"]}}).response.headers == {"retry-after": ["5", "6"]}


def test_bytes_of_a_client_that_are_no_text_hide_nothing() -> None:
    raw = json.dumps(serialized()).encode().replace(b"/demo/x", b"/demo/\xff")
    log = decode(raw)
    assert (log.request.path, log.client_ip) == ("/demo/\ufffd", "192.0.2.7")


@pytest.mark.parametrize("started", [None, 0, -1, 1e300, "soon", [], 1e15], ids=str)
def test_an_incredible_start_is_replaced(started: Any) -> None:
    assert read(started_at=started).started_seconds(5.0) == 5.0


def test_a_log_of_too_many_values_is_refused() -> None:
    many = b'{"request": {"uri": "/%s"}, "response": {"headers": {"x": [' + b"[]," * 100_000 + b"[]]}}}"
    for uri in (b"x", b"\xff"):
        with pytest.raises(ObservationError, match="more than 100,000 values"):
            decode(many % uri)


@pytest.mark.parametrize("text", [str, str.encode])
def test_a_large_log_is_read_as_any_other(text: Any) -> None:
    large = json.dumps({**serialized(), "more": "[]," * LARGE})
    assert decode(text(large)) == decode(json.dumps(serialized()))


@pytest.mark.parametrize("wrong", ["", "{", "[]", "null", "7", '"text"', "{}x", b"\xff", b"\x00", "[" * 5000, "\ud800"])
def test_what_is_no_object_is_refused(wrong: str | bytes) -> None:
    with pytest.raises(ObservationError, match=r"^kong\.log\.serialize gave"):
        decode(wrong)


def test_half_a_log_is_refused() -> None:
    whole = json.dumps(serialized())
    for cut in range(0, len(whole), 37):
        try:
            decode(whole[:cut])
        except ObservationError:
            continue
        pytest.fail(f"read, though cut off after {cut} characters")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*serialized(), *serialized()["request"], "headers", "name", "x"])


@given(st.dictionaries(names, json_values | st.dictionaries(names, json_values, max_size=4), max_size=8))
def test_any_object_is_read(value: dict[str, Any]) -> None:
    log = decode(json.dumps(value))
    assert isinstance(log.response.headers, dict)
    assert isinstance(log.scope, EventScope)
    assert log.started_seconds(5.0) > 0


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_anything_is_read_or_refused(raw: bytes | str) -> None:
    with suppress(ObservationError):
        assert isinstance(decode(raw), KongLog)
