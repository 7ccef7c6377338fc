"""What holds for every handler: it never raises, gives an outcome, tells no secret, and can be closed twice."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.model.delivery import Delivered, Discard, Retry
from tests.support.custom_webhooks import lambda_handler, webhook_custom_handler
from tests.support.delivery_jobs import IMPATIENT, make_job, webhook_handler
from tests.support.http_receiver import HttpReceiver, answer
from tests.support.log_lines import KeptLines

FACTORIES = {
    "webhook": lambda: webhook_handler(IMPATIENT),
    "webhook-custom": lambda: webhook_custom_handler(IMPATIENT),
    "lambda": lambda_handler,
    "log": lambda: LogHandler(KeptLines()),
}
# For endpoints that do answer.
PATIENT = {"webhook": webhook_handler, "webhook-custom": webhook_custom_handler}
SECRETS = ("s3cr3t-one", "s3cr3t-two", "Bearer-s3cr3t", "hunter2-s3cr3t", "t0ken-s3cr3t", "s3cr3t-path-segment")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# Also what no source gives: whatever it is, it must not stop the worker.
odd_values = json_values | st.builds(object) | st.binary() | st.dictionaries(st.integers(), json_values, max_size=2)
config_names = st.sampled_from([
    "url", "headers", "secret", "previous_secret", "ssl_verify", "level", "method", "payload", "payload_format", "body",
    "body_format", "headers_format", "url_format", "template", "functions",
]) | st.text()  # fmt: skip


@pytest.fixture(params=sorted(FACTORIES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


@pytest.fixture
def handler(name: str, runner: asyncio.Runner) -> Iterator[Handler]:
    """One for all examples, as in service: what one of them leaves behind must not harm the next."""

    async def make() -> Handler:
        return FACTORIES[name]()

    one = runner.run(make())
    yield one
    runner.run(one.close())


@pytest.fixture
def receiver(runner: asyncio.Runner) -> Iterator[HttpReceiver]:
    one = HttpReceiver()
    yield runner.run(one.__aenter__())
    runner.run(one.__aexit__())


@settings(
    max_examples=2 * settings().max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    data=st.dictionaries(st.text(), odd_values, max_size=4),
    config=st.dictionaries(config_names, json_values, max_size=5),
    live=st.booleans(),
)
def test_it_never_raises(
    name: str, runner: asyncio.Runner, handler: Handler, receiver: HttpReceiver,
    data: dict[str, Any], config: dict[str, Any], live: bool,
) -> None:  # fmt: skip
    async def one() -> None:
        chosen = config | {"url": receiver.url} if live else config
        job = make_job(chosen, data, handler=name)
        assert isinstance(await handler.deliver(job), Delivered | Retry | Discard)
        endpoint = handler.endpoint(chosen)
        assert endpoint is None or "://" in endpoint
        assert isinstance(await handler.ping(job.hook, chosen, "update", job.now), Delivered | Retry | Discard | None)

    with structlog.testing.capture_logs():
        runner.run(one())


@pytest.mark.parametrize("status", [200, 302, 410, 500])
async def test_no_secret_is_in_what_it_says(name: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    echoed = " ".join(SECRETS).encode()
    async with HttpReceiver(answer(status, echoed, {"location": f"/{SECRETS[0]}"})) as receiver:
        config = {
            "url": receiver.url.replace("//", f"//user:{SECRETS[3]}@") + f"/{SECRETS[5]}?token={SECRETS[4]}",
            "headers": {"authorization": f"Basic {SECRETS[2]}"},
            "secret": SECRETS[0],
            "previous_secret": SECRETS[1],
        }
        handler: Handler = PATIENT.get(name, FACTORIES[name])()
        job = make_job(config, handler=name)
        with structlog.testing.capture_logs() as logs, caplog.at_level("DEBUG"):
            outcomes = [await handler.deliver(job), await handler.ping(job.hook, config, "create", job.now)]
        await handler.close()
    said = repr(outcomes) + repr(logs) + caplog.text
    # What an endpoint can repeat is what was sent to it; the keys of signatures never are.
    leaked = [secret for secret in SECRETS[2:] if secret in said]
    assert leaked == []
    assert not name.startswith("webhook") or receiver.requests[0].headers["authorization"] == f"Basic {SECRETS[2]}"


@pytest.mark.parametrize("fault", ["refused", "unknown name", "bad"])
async def test_no_secret_is_in_what_it_says_of_a_failure(
    name: str, fault: str, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    host = {"refused": f"127.0.0.1:{unused_tcp_port}", "unknown name": "nowhere.invalid", "bad": "[::1"}[fault]
    config = {
        "url": f"http://user:{SECRETS[3]}@{host}/{SECRETS[5]}?token={SECRETS[4]}",
        "headers": {"authorization": f"Basic {SECRETS[2]}", "bad": f"{SECRETS[2]}\n" if fault == "bad" else "x"},
        "secret": SECRETS[0],
        "previous_secret": SECRETS[1],
    }
    handler: Handler = FACTORIES[name]()
    job = make_job(config, handler=name)
    with structlog.testing.capture_logs() as logs, caplog.at_level("DEBUG"):
        outcomes = [await handler.deliver(job), await handler.ping(job.hook, config, "create", job.now)]
    await handler.close()
    said = repr(outcomes) + repr(logs) + caplog.text
    assert [secret for secret in SECRETS if secret in said] == []


async def test_it_can_be_closed_twice_and_unused(name: str) -> None:
    handler: Handler = FACTORIES[name]()
    await handler.close()
    await handler.close()


async def test_it_says_its_own_name(name: str) -> None:
    handler: Handler = FACTORIES[name]()
    assert handler.name == name
    await handler.close()


def test_the_secrets_of_this_file_are_all_different() -> None:
    assert not any(one in other for one, other in itertools.permutations(SECRETS, 2))
