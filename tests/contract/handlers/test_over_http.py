"""What holds for every handler that calls an endpoint, against a real server that misbehaves in every way it can."""

import asyncio
import http
import json
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.client_tls import TlsMaterial
from kong_eventhooks_plugin.handlers.http_client import MAX_BODY_BYTES, ClientLimits
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Discard, Outcome, Retry
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.authority import Authority, Pair
from tests.support.custom_webhooks import UNHURRIED, webhook_custom_handler
from tests.support.delivery_jobs import IMPATIENT, make_job, webhook_handler
from tests.support.delivery_tls import self_signed
from tests.support.http_receiver import Answer as Scripted
from tests.support.http_receiver import HttpReceiver, answer, hang, raw, repeat, reset
from tests.support.sandbox import running_pool
from tests.support.waiting import SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

Deliver = Callable[..., Any]
HANDLERS: dict[str, Callable[..., Any]] = {"webhook": webhook_handler, "webhook-custom": webhook_custom_handler}
# What webhook-custom needs beside a URL; with a template in it, so that the sandbox has its part in every test.
NEEDED = {
    "webhook": {},
    "webhook-custom": {
        "method": "POST",
        "headers": {"content-type": "application/json"},
        "payload": {"event": "{{ event }}", "all": "{{ source }}"},
    },
}
OK = b"HTTP/1.1 200 OK\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    """One for all tests: each is a process, which takes a while to start."""
    async with running_pool(UNHURRIED) as one:
        yield one


@pytest.fixture(params=sorted(HANDLERS))
def make(request: pytest.FixtureRequest, pool: Pool) -> Callable[..., AbstractAsyncContextManager[Deliver]]:
    @asynccontextmanager
    async def made(**options: Any) -> AsyncIterator[Deliver]:
        handler = HANDLERS[request.param](pool=pool, **options)

        async def deliver(url: str, traceparent: str | None = None, **config: Any) -> Outcome:
            job = make_job({"url": url, **NEEDED[request.param], **config}, handler=request.param)
            return await handler.deliver(msgspec.structs.replace(job, traceparent=traceparent))

        try:
            yield deliver
        finally:
            await handler.close()

    return made


def expected(status: int) -> tuple[type[Outcome], str | None, bool]:
    if 200 <= status < 300:
        return Delivered, None, False
    if status == 410:
        return Discard, "gone", True
    if 300 <= status < 400:
        return Retry, "redirect", False
    return Retry, "status", status in (429, 502, 504)


def seen(outcome: Outcome) -> tuple[type[Outcome], str | None, bool]:
    if isinstance(outcome, Delivered):
        return Delivered, None, False
    flag = outcome.hold if isinstance(outcome, Retry) else outcome.disable
    return type(outcome), outcome.error, flag


@pytest.mark.parametrize(
    ("of_the_attempt", "own", "sent"),
    [(None, None, None), ("00-a-b-01", None, "00-a-b-01"), ("00-a-b-01", "mine", "mine"), (None, "mine", "mine")],
)
async def test_a_trace_is_continued_unless_the_hook_sets_the_header(
    make: Any, of_the_attempt: str | None, own: str | None, sent: str | None
) -> None:
    headers = {"content-type": "application/json"} | ({} if own is None else {"TraceParent": own})
    async with HttpReceiver() as receiver, make() as deliver:
        assert isinstance(await deliver(receiver.url, of_the_attempt, headers=headers), Delivered)
    assert receiver.requests[0].headers.get("traceparent") == sent


async def test_every_final_status_has_its_outcome(make: Any) -> None:
    statuses = [101, *range(200, 600)]
    async with HttpReceiver(*[answer(status, b"why") for status in statuses]) as receiver, make() as deliver:
        for status in statuses:
            outcome = await deliver(receiver.url)
            assert seen(outcome) == expected(status), status
            assert outcome.answer.status == status
            assert outcome.answer.body in (b"why", b"")


JUDGED = [
    # msteams-docs 1810: a workflow that failed is a 200 with an error in its text.
    (200, b"Webhook message delivery failed with error: HTTP 429", "!body.contains('error')", "rejected"),
    (200, b"1", "body == '1'", None),
    (200, b"", "status == 202", "rejected"),
    (409, b"known already", "status in [200, 409]", None),
    (302, b"", "status < 400", None),
    (500, b"1", "body != '1'", "status"),
    (410, b"1", "body != '1'", "gone"),
    (201, b'{"id": "abc"}', "headers['x-answer'] == 'yes' && body.contains('abc')", None),
    (200, b"not a secret: Zzzz", "headers[body] == '1'", "rejected"),
    (200, b"\xff\x00", "size(body) == 2", None),
    (200, b"a" * 30_000, "size(body) == 20000", None),
]


@pytest.mark.parametrize(("status", "body", "success", "error"), JUDGED)
async def test_a_rule_of_the_hook_s_own_decides_what_is_a_success(
    make: Any, status: int, body: bytes, success: str, error: str | None
) -> None:
    async with HttpReceiver(answer(status, body, {"x-Answer": "yes"})) as receiver, make() as deliver:
        outcome = await deliver(receiver.url, success=success)
    assert (None if isinstance(outcome, Delivered) else outcome.error) == error
    assert (outcome.answer.status, outcome.answer.body) == (status, body[:MAX_BODY_BYTES])
    if error == "rejected":
        assert "config.success is not true of the answer" in outcome.detail
        assert "Zzzz" not in outcome.detail, "the record has the answer, the error quotes none of it"


async def test_a_rule_sees_what_the_record_hides(make: Any) -> None:
    """A token of the URL is masked in the body that is kept; the rule reads the endpoint's own words."""
    async with HttpReceiver(answer(200, b"success")) as receiver, make() as deliver:
        outcome = await deliver(f"{receiver.url}?expect=success", success="body == 'success'")
    assert isinstance(outcome, Delivered)
    assert outcome.answer.body == b"***"


async def test_a_rule_without_a_verdict_is_no_success() -> None:
    handler = webhook_handler()
    async with HttpReceiver(answer(200)) as receiver:
        outcome = await handler.deliver(make_job({"url": receiver.url, "success": "true"}))
    await handler.close()
    assert isinstance(outcome, Retry)
    assert (outcome.error, outcome.hold, outcome.answer.status) == ("internal", False, 200)


async def test_a_hook_has_a_time_out_of_its_own(make: Any) -> None:
    async with HttpReceiver(hang(), answer(200)) as receiver, make() as deliver:
        assert seen(await deliver(receiver.url, timeout=0.2)) == (Retry, "timeout", True)
        assert isinstance(await deliver(receiver.url, timeout=SECONDS), Delivered)


async def test_an_interim_status_is_followed_by_the_final_one(make: Any) -> None:
    final = OK + b"connection: close\r\ncontent-length: 0\r\n\r\n"
    statuses = [status for status in range(100, 200) if status != 101]
    interim = [f"HTTP/1.1 {each} {http.client.responses.get(each, 'Wait')}\r\n\r\n".encode() for each in statuses]
    async with HttpReceiver(*(raw(each * 3 + final) for each in interim)) as receiver, make() as deliver:
        for status in statuses:
            outcome = await deliver(receiver.url)
            expected_answer = Answer(200, headers=(("connection", "close"), ("content-length", "0")))
            assert outcome == Delivered(expected_answer, request=outcome.request), status
        assert len(receiver.requests) == len(statuses)


async def test_the_outcome_has_the_request_without_its_secrets(make: Any) -> None:
    token, password = "T0000000000000000000001", "hunter2hunter2"
    secrets = {"headers": {"X-Api-Key": token, "content-type": "application/json"}, "secret": token}
    async with HttpReceiver(answer(200)) as receiver, make() as deliver:
        url = receiver.url.replace("://", f"://user:{password}@").rstrip("/")
        outcome = await deliver(f"{url}/hook/{token}?key={token}", **secrets)
        (received,) = receiver.requests
    sent = outcome.request
    assert (sent.method, sent.url) == ("POST", f"{receiver.url.rstrip('/')}/hook/***?key=***")
    shown, raw_headers = dict(sent.headers), {name: received.headers[name] for name, _ in sent.headers}
    masked = {"x-api-key", "authorization"}
    assert {name for name, value in shown.items() if value == "***"} == masked
    assert all(raw_headers[name] == value for name, value in shown.items() if name not in masked)
    assert (sent.body, sent.size) == (received.body, len(received.body))
    assert token not in str(sent)
    assert password not in str(sent)


async def test_what_was_not_answered_was_sent_all_the_same(make: Any) -> None:
    async with HttpReceiver(raw(b"")) as receiver, make() as deliver:
        outcome = await deliver(receiver.url)
    assert (outcome.error, outcome.request.method) == ("connect", "POST")


@pytest.mark.parametrize(
    ("scripted", "error", "hold"),
    [
        pytest.param(hang(), "timeout", True, id="never answers"),
        pytest.param(raw(b"HTTP/1.1 2", close=False), "timeout", True, id="stops in the status line"),
        pytest.param(repeat(b"HTTP/1.1 100 Continue\r\n", b"x: y\r\n", 0.05), "timeout", True,
                     id="drips an interim answer"),
        pytest.param(repeat(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000), "protocol", False, id="100 for ever"),
        pytest.param(repeat(b"", b"\r\n" * 10_000), "protocol", False, id="blank lines for ever"),
        pytest.param(raw(b""), "connect", False, id="closes at once"),
        pytest.param(reset(), "connect", False, id="resets at once"),
        pytest.param(raw(b"HTTP/1.1 2"), "connect", False, id="cut in the status line"),
        pytest.param(raw(b"HTTP/1.1 200"), "connect", False, id="cut where the status may go on"),
        pytest.param(raw(b"HTTP/1.1 100 Continue\r\nx: HTTP/1.1 200 OK\r\n"), "connect", False,
                     id="cut in an interim answer"),
        pytest.param(raw(b"\x16\x03\x01garbage\r\n\r\n"), "protocol", False, id="garbage"),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "protocol", False, id="another protocol"),
        pytest.param(raw(b"HTTP/1.1 abc Bad\r\n\r\n"), "protocol", False, id="a status that is no number"),
    ],
)  # fmt: skip
async def test_no_answer_is_a_retry(make: Any, scripted: Scripted, error: str, hold: bool) -> None:
    limits = IMPATIENT if error == "timeout" else None
    async with HttpReceiver(scripted) as receiver, make(limits=limits) as deliver:
        outcome = await deliver(receiver.url)
    assert isinstance(outcome, Retry)
    assert (outcome.error, outcome.hold, outcome.answer) == (error, hold, Answer())
    assert outcome.detail
    assert "\n" not in outcome.detail


BESIDE = "the endpoint sent more than 131,072 bytes of headers, chunk sizes and trailers"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
CUT_SHORT = "the answer could not be read to its end: "
# What no client can read behind a status line.
AFTER_THE_STATUS = [
    pytest.param(raw(b""), "the connection broke: closed by the endpoint", id="closes at once"),
    pytest.param(raw(b"x: y\r\nz"), "the connection broke: closed by the endpoint", id="cut in the headers"),
    pytest.param(reset(b"x: y\r\n"), "the connection broke: Connection reset by peer", id="resets in the headers"),
    pytest.param(raw(b"x: y", close=False), "no answer in time", id="stops in the headers"),
    pytest.param(repeat(b"x: ", b"y", 0.05), "no answer in time", id="drips a header"),
    pytest.param(raw(b"no colon\r\n\r\n"), "the answer is not HTTP", id="a header without a colon"),
    pytest.param(raw(b": no name\r\n\r\n"), "the answer is not HTTP", id="a header without a name"),
    pytest.param(raw(b"a b: c\r\n\r\n"), "the answer is not HTTP", id="a header's name with a space"),
    pytest.param(raw(b"\xff\x00: \x00\x01\r\n\r\n"), "the answer is not HTTP", id="bytes that no header has"),
    pytest.param(raw(b"x: a\rb\r\n\r\n"), "the answer is not HTTP", id="a line end in a header"),
    pytest.param(raw(b"content-length: -1\r\n\r\n"), "the answer is not HTTP", id="a negative length"),
    pytest.param(raw(b"content-length: 1\r\ncontent-length: 2\r\n\r\nab"), "the answer is not HTTP",
                 id="two lengths"),
    pytest.param(raw(b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"), "the answer is not HTTP",
                 id="a length and chunks"),
    pytest.param(raw(b"transfer-encoding: chunked\r\n\r\nzz\r\n"), "the answer is not HTTP", id="no chunk length"),
    pytest.param(raw(b"x: " + b"y" * 9_000 + b"\r\ncontent-length: 0\r\n\r\n"), "the answer is not HTTP",
                 id="a long header"),
    pytest.param(raw(b"y" * 9_000 + b": x\r\ncontent-length: 0\r\n\r\n"), "the answer is not HTTP",
                 id="a long name"),
    pytest.param(raw(b"".join(b"x-%d: y\r\n" % n for n in range(200)) + b"content-length: 0\r\n\r\n"),
                 "the answer is not HTTP", id="too many headers"),
    pytest.param(raw(b"set-cookie: a=b\r\n" * 200 + b"content-length: 0\r\n\r\n"), "the answer is not HTTP",
                 id="one header too often"),
    pytest.param(repeat(b"x: ", b"y" * 4096), "the answer is not HTTP", id="an endless header"),
    pytest.param(repeat(b"", b"x: y\r\n" * 100), "the answer is not HTTP", id="endless headers"),
    pytest.param(repeat(CHUNKED + b"1;", b"y" * 4_096), BESIDE, id="an endless chunk extension"),
    pytest.param(repeat(CHUNKED + b"0\r\n", b"x: " + b"y" * 8_000 + b"\r\n"), BESIDE, id="endless trailers"),
]  # fmt: skip


def said(status: int, after: Scripted) -> Scripted:
    async def scripted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 %d Said\r\n" % status)
        await after(reader, writer)

    return scripted


@pytest.mark.parametrize("status", [200, 410, 429])
@pytest.mark.parametrize(("after", "why"), AFTER_THE_STATUS)
async def test_nothing_behind_the_status_line_changes_the_outcome(
    make: Any, status: int, after: Scripted, why: str
) -> None:
    limits = ClientLimits(connect_seconds=0.5, total_seconds=0.7) if "in time" in why else None
    async with HttpReceiver(said(status, after)) as receiver, make(limits=limits) as deliver:
        outcome = await deliver(receiver.url)
        assert len(receiver.requests) == 1
    assert seen(outcome) == expected(status)
    assert outcome.answer.status == status
    note = outcome.note if isinstance(outcome, Delivered) else outcome.detail
    assert why in note


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_no_method_is_sent_twice_where_the_connection_breaks(method: str) -> None:
    async def breaks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(receiver.requests) == 1:
            writer.write(OK + b"content-length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 201 Created\r\nx: y")
            writer.close()

    handler = webhook_custom_handler()
    async with HttpReceiver(breaks) as receiver:
        job = make_job({"url": receiver.url, "method": method, "body": "x"}, handler="webhook-custom")
        for status in (200, 201):
            assert (await handler.deliver(job)).answer.status == status
    await handler.close()
    assert len(receiver.requests) == 2


async def test_an_answer_to_head_has_no_body_whatever_length_it_names() -> None:
    handler = webhook_custom_handler()
    async with HttpReceiver(raw(OK + b"content-length: 9\r\n\r\n", close=False)) as receiver:
        job = make_job({"url": receiver.url, "method": "HEAD"}, handler="webhook-custom")
        assert seen(await handler.deliver(job)) == (Delivered, None, False)
    await handler.close()


async def test_an_answer_before_the_request_was_read_counts(make: Any) -> None:
    async with HttpReceiver() as receiver:

        async def early(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

        receiver.answers = [early]
        async with make() as deliver:
            assert seen(await deliver(receiver.url)) == (Delivered, None, False)


@pytest.mark.parametrize("encoding", ["gzip", "br, gzip", "x-unknown", "\xe9", ""])
async def test_an_encoding_that_the_body_does_not_have_harms_nothing(make: Any, encoding: str) -> None:
    async with HttpReceiver(answer(200, b"plain", {"content-encoding": encoding})) as receiver, make() as deliver:
        outcome = await deliver(receiver.url)
    assert (seen(outcome), outcome.answer.body) == ((Delivered, None, False), b"plain")


async def test_odd_headers_that_can_be_read_are_in_the_record(make: Any) -> None:
    head = b"x: \xff\xe9\r\nretry-after: 1\r\nretry-after: x\r\nset-cookie: \x80=\r\ncontent-length: 0\r\n\r\n"
    async with HttpReceiver(raw(b"HTTP/1.1 200 \xff\xfe\r\n" + head)) as receiver, make() as deliver:
        outcome = await deliver(receiver.url)
    assert isinstance(outcome, Delivered)
    assert outcome.note is None
    assert dict(outcome.answer.headers)["x"] == "\xff\xe9"


@pytest.mark.parametrize("rest", [b"x: y", b"content-length: 9\r\n\r\nsome"])
async def test_a_drain_in_an_answer_that_never_ends_keeps_what_was_said(make: Any, rest: bytes) -> None:
    written = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + rest)
        await writer.drain()
        written.set()
        await reader.read()

    async with HttpReceiver(endless) as receiver, make() as deliver:
        attempt = asyncio.create_task(deliver(receiver.url))
        await written.wait()
        await asyncio.sleep(0.2)
        attempt.cancel()
        outcome = await attempt
    assert seen(outcome) == (Delivered, None, False)
    assert outcome.note == CUT_SHORT + "this process stopped"


@pytest.mark.parametrize("together", [True, False])
async def test_an_answer_that_no_request_asked_for_is_no_answer_to_the_next(make: Any, together: bool) -> None:
    stale = asyncio.Event()

    async def twice(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        once = OK + b"content-length: 2\r\n\r\nok"
        writer.write(once * 2 if together else once)
        if not together:
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.write(once)
        stale.set()

    async with HttpReceiver(twice, answer(500)) as receiver, make() as deliver:
        assert seen(await deliver(receiver.url)) == (Delivered, None, False)
        await stale.wait()
        await asyncio.sleep(0.1)
        assert seen(await deliver(receiver.url)) == (Retry, "status", False)
        assert receiver.connections == 2


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(raw(b"content-length: 100\r\n\r\nsome", close=True), id="cut in the body"),
        pytest.param(raw(b"transfer-encoding: chunked\r\n\r\n4\r\nsome\r\n", close=True), id="cut between chunks"),
        pytest.param(raw(b"content-length: 100\r\n\r\nsome", close=False), id="stops in the body"),
    ],
)
async def test_where_the_body_breaks_off_the_status_decides(make: Any, status: int, body: Scripted) -> None:
    for limits in (IMPATIENT, ClientLimits(total_seconds=10.0)):
        async with HttpReceiver(said(status, body)) as receiver, make(limits=limits) as deliver:
            outcome = await deliver(receiver.url)
        if outcome.answer.status:  # else the machine was too slow for an impatient one
            break
    assert seen(outcome) == expected(status)
    assert outcome.answer.status == status
    assert outcome.answer.body in (b"some", b"")


@pytest.mark.parametrize(
    "scripted",
    [
        pytest.param(repeat(OK + b"\r\n", b"x" * 65_536), id="without a length"),
        pytest.param(repeat(OK + b"content-length: 99999999999\r\n\r\n", b"x" * 65_536), id="with one"),
        pytest.param(
            repeat(OK + b"transfer-encoding: chunked\r\n\r\n", b"ffff\r\n" + b"x" * 65_535 + b"\r\n"), id="chunked"
        ),
    ],
)
async def test_of_an_endless_body_the_beginning_is_kept_and_the_connection_closed(
    make: Any, scripted: Scripted
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with HttpReceiver(scripted) as receiver, make() as deliver:
        async with asyncio.timeout(SECONDS):
            outcome = await deliver(receiver.url)
        assert isinstance(outcome, Delivered)
        assert (outcome.answer.status, outcome.answer.body) == (200, b"x" * MAX_BODY_BYTES)
        await deliver(receiver.url)
        assert receiver.connections == 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32_768, "KiB"


async def test_a_compressed_body_is_not_unfolded(make: Any) -> None:
    bomb = raw(OK + b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00")
    async with HttpReceiver(bomb) as receiver, make() as deliver:
        assert (await deliver(receiver.url)).answer.body == b"\x1f\x8b\x08\x00"
        assert receiver.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("location", ["/elsewhere", "http://[bad", "", "http://169.254.169.254/"])
async def test_a_redirect_is_not_followed_wherever_it_points(make: Any, location: str) -> None:
    async with HttpReceiver(answer(302, headers={"location": location})) as receiver, make() as deliver:
        outcome = await deliver(receiver.url)
        assert seen(outcome) == expected(302)
        assert len(receiver.requests) == 1


async def test_connections_are_kept_and_counted_and_cookies_are_not_kept(make: Any) -> None:
    metrics = Metrics()
    cookie = answer(200, b"ok", {"set-cookie": "a=b; path=/"})
    async with HttpReceiver(cookie) as receiver, make(metrics=metrics) as deliver:
        for _ in range(3):
            await deliver(receiver.url)
        assert receiver.connections == 1
        assert [request.headers.get("cookie") for request in receiver.requests] == [None] * 3
    kinds = {kind: metrics.registry.get_sample_value("kong_event_hooks_http_connections_total", {"kind": kind})
             for kind in ("new", "reused")}  # fmt: skip
    assert kinds == {"new": 1, "reused": 2}


async def test_a_kept_connection_that_has_gone_is_a_failed_connection(make: Any) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(receiver.requests) == 1:
            writer.write(OK + b"content-length: 0\r\n\r\n")
        else:
            writer.transport.abort()

    async with HttpReceiver(once) as receiver, make() as deliver:
        assert isinstance(await deliver(receiver.url), Delivered)
        outcome = await deliver(receiver.url)
    assert seen(outcome) == (Retry, "connect", False)


async def test_what_comes_unasked_on_a_kept_connection_ends_it(make: Any) -> None:
    delivered = asyncio.Event()

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"content-length: 0\r\n\r\n")
        if len(receiver.requests) == 1:
            await delivered.wait()
            writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
            assert await reader.read() == b""
            closed.set()

    closed = asyncio.Event()
    limits = ClientLimits(keepalive_seconds=3_600)
    async with HttpReceiver(twice) as receiver, make(limits=limits) as deliver:
        assert isinstance(await deliver(receiver.url), Delivered)
        delivered.set()
        async with asyncio.timeout(SECONDS):
            await closed.wait()
        assert isinstance(await deliver(receiver.url), Delivered)
        assert receiver.connections == 2


async def test_nothing_from_the_environment_is_used(make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with HttpReceiver() as proxy, HttpReceiver() as receiver, make() as deliver:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password pw\n")
        monkeypatch.setenv("NETRC", str(netrc))
        assert isinstance(await deliver(receiver.url), Delivered)
        assert "authorization" not in receiver.requests[0].headers
        assert proxy.connections == 0


async def test_a_port_where_nobody_listens(make: Any, unused_tcp_port: int) -> None:
    async with make() as deliver:
        outcome = await deliver(f"http://127.0.0.1:{unused_tcp_port}/")
    assert seen(outcome) == (Retry, "connect", False)
    assert outcome.detail == f"http://127.0.0.1:{unused_tcp_port}: no connection: Connection refused"


async def test_no_descriptor_left_is_no_fault_of_the_endpoint(make: Any) -> None:
    _, hard = limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with HttpReceiver(answer(200, headers={"connection": "close"})) as receiver, make() as deliver:
        assert isinstance(await deliver(receiver.url), Delivered)  # what the sandbox needs is open
        await receiver.idle()
        with socket.socket() as next_free:
            resource.setrlimit(resource.RLIMIT_NOFILE, (next_free.fileno(), hard))
        try:
            outcome = await deliver(receiver.url)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        assert (type(outcome), outcome.error, outcome.detail) == (
            Retry, "internal", f"{receiver.url.removesuffix('/hook')}: no connection: Too many open files",
        )  # fmt: skip
        assert isinstance(await deliver(receiver.url), Delivered)


async def test_a_host_that_takes_no_connection_in_time(make: Any) -> None:
    # A listener whose backlog is full drops what comes: the client waits for an answer to its first packet.
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with make(limits=ClientLimits(connect_seconds=0.5)) as deliver:
            outcome = await deliver(url := f"http://127.0.0.1:{full.getsockname()[1]}")
    assert seen(outcome) == (Retry, "timeout", True)
    assert outcome.detail == f"{url}: no connection in time"


async def test_a_name_that_nobody_knows(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        """Answer as a name server that is there and quick."""
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with make() as deliver:
        outcome = await deliver("http://nowhere.invalid/")
    assert seen(outcome) == (Retry, "connect", False)


@pytest.mark.parametrize("url", ["http://metadata.google.internal/", "http://a..b/"])
async def test_a_host_that_can_never_be_called_is_not_even_looked_up(
    make: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    async with make() as deliver:
        assert seen(await deliver(url)) == (Retry, "config", False)


@pytest.mark.parametrize("host", ["xn--i-7iq.ws", "xn--a-ecp.ru", "my_service"])
async def test_a_name_that_idna_cannot_decode_is_dialled_as_it_is(
    make: Any, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = socket.getaddrinfo, []

    def local(name: str, *args: Any, **options: Any) -> Any:
        asked.append(name)
        return real("127.0.0.1", *args, **options)

    async with HttpReceiver() as receiver, make() as deliver:
        monkeypatch.setattr(socket, "getaddrinfo", local)
        assert isinstance(await deliver(f"http://{host}:{receiver.port}/"), Delivered)
    assert asked == [host]


async def test_each_dial_is_judged_anew_whatever_the_name_was_before(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # DNS rebinding: the name leads to a receiver first, and to cloud metadata once it is trusted.
    real, addresses = socket.getaddrinfo, ["127.0.0.1", "169.254.169.254"]

    def rebinding(_: str, *args: Any, **options: Any) -> Any:
        return real(addresses.pop(0), *args, **options)

    closing = answer(200, headers={"connection": "close"})
    async with HttpReceiver(closing) as receiver, make() as deliver:
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        monkeypatch.setattr("aiohttp.connector._DNSCacheTable.expired", lambda *_: True)  # aiohttp keeps a name 10 s
        url = f"http://rebinding.test:{receiver.port}/"
        assert isinstance(await deliver(url), Delivered)
        assert seen(await deliver(url)) == (Retry, "address_refused", False)
        assert addresses == []


async def test_of_a_names_addresses_none_that_is_forbidden_is_dialled(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, addresses = socket.getaddrinfo, ["169.254.169.254", "::ffff:169.254.169.254", "127.0.0.1"]

    def several(_: str, *args: Any, **options: Any) -> Any:
        return [info for address in addresses for info in real(address, args[0], 0, *args[2:], **options)]

    metrics = Metrics()
    async with HttpReceiver() as receiver, make(metrics=metrics) as deliver:
        monkeypatch.setattr(socket, "getaddrinfo", several)
        assert isinstance(await deliver(f"http://several.test:{receiver.port}/"), Delivered)
        del addresses[2]
        assert seen(await deliver(f"http://forbidden.test:{receiver.port}/")) == (Retry, "address_refused", False)
    assert metrics.registry.get_sample_value("kong_event_hooks_http_connections_total", {"kind": "new"}) == 1


FORBIDDEN = [
    "169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%25eth0]",
    "[::169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]", "[2002:a9fe:a9fe::1]",
    "[::ffff:0:169.254.169.254]", "[2001:db8::5efe:169.254.169.254]", "169。254。169。254",
]  # fmt: skip


@pytest.mark.parametrize("url", [f"http://{host}/" for host in FORBIDDEN])
async def test_a_forbidden_address_is_discarded(make: Any, url: str) -> None:
    metrics = Metrics()
    async with make(metrics=metrics) as deliver:
        outcome = await deliver(url)
    assert seen(outcome) == (Discard, "address_refused", False)
    assert metrics.registry.get_sample_value("kong_event_hooks_http_connections_total", {"kind": "new"}) in (None, 0)


@pytest.mark.parametrize("host", ["localhost", "0x7f.1"])
async def test_a_name_that_leads_to_one_is_tried_again(make: Any, host: str) -> None:
    async with HttpReceiver() as receiver:
        url = f"http://{host}:{receiver.port}/"
        async with make() as deliver:
            assert isinstance(await deliver(url), Delivered), "loopback is allowed where no setting says otherwise"
        async with make(addresses=AddressRules(private=False)) as deliver:
            assert seen(await deliver(url)) == (Retry, "address_refused", False)
        assert len(receiver.requests) == 1


async def test_an_address_written_as_one_number_is_not_dialled(make: Any) -> None:
    async with HttpReceiver() as receiver, make() as deliver:
        assert seen(await deliver(f"http://2130706433:{receiver.port}/")) == (Retry, "config", False)
        assert receiver.connections == 0


async def test_a_certificate_is_checked_where_the_hook_does_not_say_otherwise(make: Any, tmp_path: Path) -> None:
    context, certificate = self_signed(tmp_path)
    async with HttpReceiver(tls=context) as receiver:
        async with make() as deliver:
            outcome = await deliver(receiver.url)
            assert seen(outcome) == (Retry, "tls", False)
            origin = receiver.url.removesuffix("/hook")
            assert outcome.detail == f"{origin}: certificate refused: self-signed certificate"
            assert isinstance(await deliver(receiver.url, ssl_verify=False), Delivered)
            assert seen(await deliver(receiver.url, ssl_verify=True)) == (Retry, "tls", False), (
                "not the same connection"
            )
        async with make(tls=ssl.create_default_context(cafile=certificate)) as deliver:
            assert isinstance(await deliver(receiver.url), Delivered)


def material(pair: Pair, trusted: Authority) -> TlsMaterial:
    cert, key, ca = (Path(path).read_text() for path in (*pair, trusted.file))
    return TlsMaterial(cert, key, ca)


async def test_a_hook_shows_its_own_certificate_and_trusts_its_own_authorities(make: Any, tmp_path: Path) -> None:
    ours, others = Authority(tmp_path), Authority(tmp_path, "others")
    server = ours.signed("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ours.file))
    context.load_cert_chain(*server)
    context.verify_mode = ssl.CERT_REQUIRED
    good = material(ours.signed("gateway"), ours)
    bad = material(others.signed("stranger"), ours)
    async with HttpReceiver(tls=context) as receiver, make() as deliver:
        assert isinstance(await deliver(receiver.url, tls=good), Delivered)
        assert isinstance(await deliver(receiver.url, tls=bad), Retry), "its connections are its own"
        assert isinstance(await deliver(receiver.url, tls=good), Delivered)
        distrusting = material(ours.signed("gateway"), others)
        assert seen(await deliver(receiver.url, tls=distrusting)) == (Retry, "tls", False)
        assert isinstance(await deliver(receiver.url, tls=distrusting, ssl_verify=False), Delivered)
        unusable = await deliver(receiver.url, tls=TlsMaterial("nonsense"))
        assert seen(unusable) == (Retry, "config", False)
        assert "client_cert_file" in unusable.detail


async def test_tls_to_a_server_without(make: Any) -> None:
    async with HttpReceiver(raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as receiver, make(limits=IMPATIENT) as deliver:
        outcome = await deliver(receiver.url.replace("http:", "https:"))
    assert isinstance(outcome, Retry)
    assert outcome.error in ("tls", "timeout", "connect")


async def test_retry_after_is_told(make: Any) -> None:
    async with HttpReceiver(answer(429, headers={"retry-after": "7"})) as receiver, make() as deliver:
        outcome = await deliver(receiver.url)
    assert (outcome.retry_after, outcome.hold) == (7.0, True)


async def test_credentials_of_the_url_that_an_endpoint_repeats_are_masked(make: Any) -> None:
    async def repeats(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = receiver.requests[-1].headers["authorization"].encode()
        writer.write(b"HTTP/1.1 500 No\r\nx-seen: " + said + b"\r\ncontent-type: application/json\r\n")
        writer.write(b"content-length: %d\r\n\r\n%b" % (len(said), said))

    async with HttpReceiver(repeats) as receiver, make() as deliver:
        outcome = await deliver(receiver.url.replace("//", "//someone:password@"))
        sent = receiver.requests[-1].headers["authorization"].split()[1]
    assert sent not in repr(outcome)
    assert dict(outcome.answer.headers)["content-type"] == "application/json", "what is no credential is shown"


async def test_an_endpoint_sees_the_same_body_again(make: Any) -> None:
    async with HttpReceiver(answer(500), answer(200)) as receiver, make() as deliver:
        await deliver(receiver.url, secret="s")
        await deliver(receiver.url, secret="s")
    first, second = receiver.requests
    assert json.loads(first.body)["event"] == "rate-limit-exceeded"
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
