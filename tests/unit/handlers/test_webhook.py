import base64
import json
import time
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks.webhooks import Webhook

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.errors import HttpError
from kong_eventhooks_plugin.handlers.http_client import MAX_BODY_BYTES, Client, HttpAnswer, HttpClient, HttpRequest
from kong_eventhooks_plugin.handlers.signatures import kong_signature
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Discard, Retry
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.delivery_jobs import make_job, webhook_handler
from tests.support.http_receiver import HttpReceiver, Request, answer

SECRET = "whsec_" + base64.b64encode(b"a very secret key").decode()


async def posted(config: dict[str, Any], now: float | None = None, **options: Any) -> Request:
    handler = webhook_handler(**options)
    async with HttpReceiver() as receiver:
        job = make_job({"url": receiver.url} | config, now=time.time() if now is None else now)
        assert isinstance(await handler.deliver(job), Delivered)
        await handler.close()
        return receiver.requests[0]


async def test_what_is_posted() -> None:
    request = await posted({}, now=1_795_278_776.9)
    assert (request.method, request.path) == ("POST", "/hook")
    assert json.loads(request.body) == {"source": "rate-limiting", "event": "rate-limit-exceeded", "a": 1}
    port = request.headers.pop("host").partition(":")[2]
    assert port.isdigit()
    assert request.headers == {
        "content-type": "application/json",
        "user-agent": f"kong-event-hooks/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(request.body)),
        "webhook-id": make_job({}).delivery_id,
        "webhook-timestamp": "1795278776",
    }


async def test_the_official_verifier_accepts_it() -> None:
    request = await posted({"secret": SECRET})
    assert Webhook(SECRET).verify(request.body, request.headers)["event"] == "rate-limit-exceeded"
    assert request.headers["x-kong-signature"] == kong_signature(SECRET, request.body, "sha256")


async def test_both_secrets_sign_during_a_rotation_and_kongs_header_has_the_new_one() -> None:
    request = await posted({"secret": "new one", "previous_secret": SECRET}, digest="sha1")
    for secret in ("whsec_" + base64.b64encode(b"new one").decode(), SECRET):
        assert Webhook(secret).verify(request.body, request.headers)
    assert request.headers["x-kong-signature"] == kong_signature("new one", request.body, "sha1")


async def test_the_definitions_headers_replace_ours_but_not_what_proves_the_message() -> None:
    headers = {
        "User-Agent": "mine",
        "Content-Type": "application/vnd.x+json",
        "X-Team": "a",
        "Webhook-Id": "forged",
        "X-Kong-Signature": "forged",
        "Host": "elsewhere",
        "Content-Length": "1",
        "Connection": "close",
    }
    request = await posted({"headers": headers, "secret": "s"})
    got = request.headers
    assert (got["user-agent"], got["content-type"], got["x-team"]) == ("mine", "application/vnd.x+json", "a")
    assert got["webhook-id"] == make_job({}).delivery_id
    assert got["x-kong-signature"] == kong_signature("s", request.body, "sha256")
    assert got["host"].startswith("127.0.0.1:")
    assert got["content-length"] == str(len(request.body))
    assert "connection" not in got


async def test_user_and_password_of_the_url_sign_in_unless_a_header_does() -> None:
    async with HttpReceiver() as receiver:
        handler = webhook_handler()
        url = receiver.url.replace("//", "//me:pw@")
        await handler.deliver(make_job({"url": url}))
        await handler.deliver(make_job({"url": url, "headers": {"Authorization": "Bearer x"}}))
        await handler.close()
    sent = [request.headers["authorization"] for request in receiver.requests]
    assert sent == ["Basic " + base64.b64encode(b"me:pw").decode(), "Bearer x"]


async def test_the_query_arrives_as_it_is_written() -> None:
    async with HttpReceiver() as receiver:
        handler = webhook_handler()
        await handler.deliver(make_job({"url": receiver.url + "/a%2Fb?sig=%2B%7e%3D&x=a+b"}))
        await handler.close()
    assert receiver.requests[0].path == "/hook/a%2Fb?sig=%2B%7e%3D&x=a+b"


@pytest.mark.parametrize(
    "config",
    [
        {"secret": ""},
        {"secret": 5},
        {"secret": "whsec_???"},
        {"secret": "s", "previous_secret": ""},
        {"previous_secret": "s"},
        {"url": None},
        {"url": "ftp://x"},
        {"headers": {"a b": "c"}},
    ],
)
async def test_what_cannot_be_signed_or_sent_is_not_sent_and_may_be_fixed(config: dict[str, Any]) -> None:
    handler = webhook_handler()
    async with HttpReceiver() as receiver:
        outcome = await handler.deliver(make_job({"url": receiver.url} | config))
        assert isinstance(outcome, Retry)
        assert outcome.error == "config"
        assert receiver.connections == 0
    await handler.close()


async def test_a_header_that_a_line_end_came_with_is_cleaned_and_noted() -> None:
    handler = webhook_handler()
    async with HttpReceiver() as receiver:
        outcome = await handler.deliver(make_job({"url": receiver.url, "headers": {"authorization": "Bearer t\r\n"}}))
        assert receiver.requests[0].headers["authorization"] == "Bearer t"
    assert isinstance(outcome, Delivered)
    assert outcome.note == "header authorization: line ends and control characters removed"
    await handler.close()


async def test_an_event_that_is_not_json_can_never_arrive() -> None:
    handler = webhook_handler()
    outcome = await handler.deliver(make_job({"url": "http://127.0.0.1:9/"}, {"x": object()}))
    assert outcome == Discard("internal", "the event's data is not JSON (TypeError)")
    await handler.close()


@pytest.mark.parametrize("size", [0, 1, MAX_BODY_BYTES - 1, MAX_BODY_BYTES, MAX_BODY_BYTES + 1])
async def test_so_much_of_the_answer_is_kept(size: int) -> None:
    handler = webhook_handler()
    async with HttpReceiver(answer(500, b"x" * size)) as receiver:
        outcome = await handler.deliver(make_job({"url": receiver.url}))
    assert outcome.answer == Answer(500, b"x" * min(size, MAX_BODY_BYTES), (("content-length", str(size)),))
    await handler.close()


async def test_a_ping_tells_of_the_hook_and_is_signed() -> None:
    handler = webhook_handler()
    async with HttpReceiver() as receiver:
        config = {"url": receiver.url, "secret": SECRET}
        job = make_job(config)
        assert isinstance(await handler.ping(job.hook, config, "create", time.time()), Delivered)
        request = receiver.requests[0]
    await handler.close()
    body = Webhook(SECRET).verify(request.body, request.headers)
    assert (body["source"], body["event"], body["operation"]) == ("kong:event_hooks", "ping", "create")
    config = {"url": receiver.url, "headers": {}, "secret": "***", "ssl_verify": True}
    assert body["event_hooks"]["config"] == config
    assert request.headers["webhook-id"] == f"ping_{job.hook.id}_create_0"


async def test_each_ping_that_somebody_asks_for_has_an_id_of_its_own() -> None:
    handler = webhook_handler()
    async with HttpReceiver() as receiver:
        job = make_job({"url": receiver.url})
        for now in (1.0, 2.5):
            await handler.ping(job.hook, job.config, None, now)
    await handler.close()
    assert len(set(receiver.ids)) == 2
    assert not any("." in each for each in receiver.ids)


class BrokenClient(Client):
    async def send(self, request: HttpRequest) -> HttpAnswer:
        raise ZeroDivisionError


async def test_a_bug_below_is_an_outcome() -> None:
    handler = WebhookHandler(BrokenClient())
    outcome = await handler.deliver(make_job({"url": "http://127.0.0.1:9/"}))
    assert outcome == Retry("internal", "the handler raised ZeroDivisionError")
    await handler.close()


def request(headers: dict[bytes, bytes], method: str = "POST", path: bytes = b"/", port: int = 9) -> HttpRequest:
    return HttpRequest(method, f"http://127.0.0.1:{port}", b"127.0.0.1", path, headers)


async def test_a_closed_client_sends_nothing() -> None:
    client = HttpClient(Metrics())
    await client.close()
    with pytest.raises(RuntimeError):
        await client.send(request({}))


@pytest.mark.parametrize("text", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"])
async def test_nothing_in_a_request_begins_a_line_of_its_own(text: bytes) -> None:
    client = HttpClient(Metrics())
    for bad in (request({b"x": text}), request({text: b"x"}), request({}, text.decode()), request({}, path=text)):
        with pytest.raises(HttpError, match=r"^the request cannot be sent$"):
            await client.send(bad)
    await client.close()


async def test_a_preset_has_its_form_a_signature_and_a_key_that_no_record_shows() -> None:
    handler, key = webhook_handler(), "0123456789abcdef0123456789abcdef"
    async with HttpReceiver(answer(202)) as receiver:
        config = {"url": receiver.url, "preset": "pagerduty", "preset_key": key, "secret": SECRET}
        outcome = await handler.deliver(make_job(config, now=time.time()))
        (request,) = receiver.requests
    await handler.close()
    assert isinstance(outcome, Delivered)
    assert json.loads(request.body)["routing_key"] == key
    assert Webhook(SECRET).verify(request.body, request.headers)
    assert outcome.request is not None
    assert key not in str(outcome.request)
    # The record has this body: one made of the event anew would be another.
    assert not outcome.request.of_event
    assert outcome.request.body == request.body.replace(key.encode(), b"***")


async def test_a_cloud_event_s_attributes_are_no_secrets_to_its_record() -> None:
    handler = webhook_handler()
    async with HttpReceiver(answer(200, b"took event-hooks.rate-limiting.rate-limit-exceeded")) as receiver:
        job = make_job({"url": receiver.url, "preset": "cloudevents-binary"}, now=time.time())
        outcome = await handler.deliver(job)
        (request,) = receiver.requests
    await handler.close()
    assert outcome.request is not None
    shown = dict(outcome.request.headers)
    assert [shown[name] for name in ("ce-id", "ce-type")] == [request.headers[name] for name in ("ce-id", "ce-type")]
    assert outcome.answer.body == b"took event-hooks.rate-limiting.rate-limit-exceeded"


async def test_the_key_of_an_alert_api_is_a_header_and_an_end_has_a_path_of_its_own() -> None:
    handler = webhook_handler()
    async with HttpReceiver(answer(202)) as receiver:
        for state in ("open", "resolved"):
            job = make_job({"url": receiver.url, "preset": "opsgenie", "preset_key": "k3y"}, now=time.time())
            event = replace(job.event, source="balancer", event="health", data={"state": state, "state_key": "of-it"})
            await handler.deliver(replace(job, event=event))
    await handler.close()
    opened, closed = receiver.requests
    assert [one.headers["authorization"] for one in (opened, closed)] == ["GenieKey k3y"] * 2
    assert json.loads(opened.body)["alias"] == "of-it"
    assert (opened.path, closed.path) == ("/hook", "/hook/of-it/close?identifierType=alias")


@pytest.mark.parametrize(("status", "kind"), [(200, Delivered), (400, Discard), (503, Retry)])
async def test_a_preset_says_what_an_answer_means(status: int, kind: type) -> None:
    handler = webhook_handler()
    async with HttpReceiver(answer(status, b"invalid_payload")) as receiver:
        outcome = await handler.deliver(make_job({"url": receiver.url, "preset": "slack"}, now=time.time()))
    await handler.close()
    assert type(outcome) is kind
    assert outcome.answer.status == status


@pytest.mark.parametrize(("preset", "count"), [("slack", 1), ("cloudevents", 1), ("pagerduty", 0), ("opsgenie", 0)])
async def test_a_ping_has_the_form_too_and_is_no_alarm(preset: str, count: int) -> None:
    handler = webhook_handler()
    async with HttpReceiver(answer(200)) as receiver:
        job = make_job({"url": receiver.url, "preset": preset, "preset_key": "k"})
        outcome = await handler.ping(job.hook, job.config, "create", time.time())
        assert isinstance(outcome, Delivered)
        assert len(receiver.requests) == count
    await handler.close()
    assert all(b"ping" in one.body for one in receiver.requests)
    assert (outcome.note is None) is bool(count)
