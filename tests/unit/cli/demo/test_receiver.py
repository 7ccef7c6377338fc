import time
from typing import Any

import pytest
import structlog

from kong_eventhooks_plugin.cli.demo.receiver import BODY, Received, Receiver, signature_errors
from kong_eventhooks_plugin.handlers.signatures import key_of, kong_signature, standard_signature
from kong_eventhooks_plugin.model.delivery import Delivered, Retry
from tests.support.delivery_jobs import make_job, webhook_handler
from tests.support.http import http_client

SECRET = "whsec_c2VjcmV0"
NOW = 1_800_000_000


def headers(body: bytes, stamp: int = NOW, secret: str = SECRET) -> dict[str, str]:
    return {
        "x-kong-signature": kong_signature(secret, body, "sha256"),
        "webhook-id": "e_h",
        "webhook-timestamp": str(stamp),
        "webhook-signature": standard_signature([key_of(secret)], "e_h", stamp, body),
    }


def problems(body: bytes = b"{}", **changed: str) -> list[str]:
    given = headers(b"{}") | {name.replace("_", "-"): value for name, value in changed.items()}
    return list(signature_errors(SECRET, {name: value for name, value in given.items() if value}, body, NOW + 299))


def test_right_signatures_have_no_problem() -> None:
    assert problems() == []
    assert problems(x_kong_signature=kong_signature(SECRET, b"{}", "sha1")) == []
    both = standard_signature([b"another", key_of(SECRET)], "e_h", NOW, b"{}")
    assert problems(webhook_signature=both) == [], "a rotation"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"body": b"{} "}, ["x-kong-signature is wrong", "webhook-signature is wrong"]),
        ({"x_kong_signature": ""}, ["x-kong-signature is missing"]),
        ({"x_kong_signature": "sha256=ü"}, ["x-kong-signature is wrong"]),
        ({"webhook_signature": ""}, ["webhook-signature is missing"]),
        ({"webhook_signature": "v1,AAAA v1a,x"}, ["webhook-signature is wrong"]),
        ({"webhook_id": "other"}, ["webhook-signature is wrong"]),
        ({"webhook_timestamp": ""}, ["webhook-timestamp is no time"]),
        ({"webhook_timestamp": "-1"}, ["webhook-timestamp is no time"]),
        ({"webhook_timestamp": "9" * 16}, ["webhook-timestamp is no time"]),
        (
            {"webhook_timestamp": str(NOW - 2)},
            ["webhook-timestamp is more than 300 s away", "webhook-signature is wrong"],
        ),
    ],
)
def test_each_wrong_thing_is_named(changed: dict[str, Any], said: list[str]) -> None:
    assert problems(**changed) == said


async def test_the_webhook_handler_and_the_receiver_agree() -> None:
    got: list[Received] = []
    handler = webhook_handler()
    async with Receiver(secret=SECRET, on_delivery=got.append) as receiver:
        job = make_job({"url": f"{receiver.url}/a?x=1", "secret": SECRET}, now=time.time())
        delivered = await handler.deliver(job)
        assert isinstance(delivered, Delivered)
        assert delivered.answer.status == 204
        wrong = make_job({"url": receiver.url, "secret": "another"}, now=time.time())
        outcome = await handler.deliver(wrong)
    await handler.close()
    assert isinstance(outcome, Retry)
    assert outcome.answer.status == 401
    assert outcome.answer.body == b"x-kong-signature is wrong; webhook-signature is wrong\n"
    assert [(each.method, each.path, each.verified) for each in got] == [("POST", "/a?x=1", True), ("POST", "/", False)]
    assert (got[0].json["event"], got[0].id) == ("rate-limit-exceeded", job.delivery_id)


async def test_without_a_secret_nothing_is_checked() -> None:
    got: list[Received] = []
    async with Receiver(on_delivery=got.append) as receiver, http_client() as client:
        for body in (b"[1]", b"\xff", b"", b'{"a":1}'):
            assert (await client.post(receiver.url + "/deep/path", content=body)).status_code == 204
        assert (await client.get(receiver.url)).status_code == 204
    assert [each.json for each in got] == [{}, {}, {}, {"a": 1}, {}]
    assert {(each.verified, each.id) for each in got} == {(None, None)}


async def test_a_body_over_the_limit_is_refused() -> None:
    got: list[Received] = []
    async with Receiver(on_delivery=got.append) as receiver, http_client() as client:
        assert (await client.post(receiver.url, content=b"x" * (BODY + 1))).status_code == 413
        assert got == []


async def test_a_listener_that_fails_does_not_fail_the_request() -> None:
    def broken(_: Received) -> None:
        raise ZeroDivisionError

    async with Receiver(on_delivery=broken) as receiver, http_client() as client:
        with structlog.testing.capture_logs() as logs:
            assert (await client.post(receiver.url)).status_code == 204
    assert [each["event"] for each in logs] == ["on_delivery_failed"]


async def test_it_listens_on_loopback_and_closes_twice() -> None:
    receiver = Receiver()
    await receiver.start()
    assert receiver.url.startswith("http://127.0.0.1:")
    await receiver.close()
    await receiver.close()


def test_a_secret_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="base64"):
        Receiver(secret="whsec_???")
