"""Endpoints through a real forward proxy; which of them are called without it."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.client_tls import TlsMaterial
from kong_eventhooks_plugin.handlers.forward_proxy import MAX_EXCEPTIONS, ForwardProxy
from kong_eventhooks_plugin.handlers.http_client import HttpClient
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.model.delivery import Delivered, Discard, Outcome, Retry
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.authority import Authority
from tests.support.delivery_jobs import make_job
from tests.support.forward_proxy import Proxy
from tests.support.http_receiver import HttpReceiver, answer


async def deliver(proxy: ForwardProxy | None, *urls: str, rules: AddressRules | None = None, **config: Any) -> Outcome:
    """Call each URL over one client; return the last outcome."""
    handler = WebhookHandler(HttpClient(Metrics(), rules or AddressRules(), proxy=proxy))
    try:
        outcomes = [await handler.deliver(make_job({"url": url, **config})) for url in urls]
    finally:
        await handler.close()
    return outcomes[-1]


async def test_plain_http_goes_through_it_with_the_whole_url() -> None:
    async with HttpReceiver(answer(200)) as receiver, Proxy("user:pa55") as proxy:
        url = f"http://hooks.invalid:{receiver.port}/a?b=c"
        assert isinstance(await deliver(ForwardProxy(proxy.url, "user:pa55"), url), Delivered)
    assert proxy.requests == [f"POST {url} HTTP/1.1"]
    [first] = receiver.requests
    assert first.path == "/a?b=c"
    assert first.headers["host"] == f"hooks.invalid:{receiver.port}"
    assert "proxy-authorization" not in first.headers


async def test_tls_goes_through_a_tunnel_that_the_proxy_cannot_read(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(*authority.signed("server"))
    context.verify_mode = ssl.CERT_REQUIRED
    pair = authority.signed("gateway")
    cert, key, ca = (Path(path).read_text() for path in (*pair, authority.file))  # noqa: ASYNC240 - a test's own files
    async with HttpReceiver(answer(200), tls=context) as receiver, Proxy("user:pa55") as proxy:
        url, through = f"https://127.0.0.1:{receiver.port}/", ForwardProxy(proxy.url, "user:pa55")
        assert isinstance(await deliver(through, url, url, tls=TlsMaterial(cert, key, ca)), Delivered)
        distrusted = await deliver(through, url)
    assert proxy.requests == [f"CONNECT 127.0.0.1:{receiver.port} HTTP/1.1"] * 2
    assert proxy.heads[0]["user-agent"].startswith("kong-event-hooks/")
    assert len(receiver.requests) == 2
    assert isinstance(distrusted, Retry)
    assert distrusted.error == "tls"


async def test_a_proxy_that_refuses_says_so() -> None:
    async with Proxy("user:pa55") as proxy:
        asking = await deliver(ForwardProxy(proxy.url), "https://hooks.invalid/")
    async with Proxy(refusing=403) as proxy:
        refused = await deliver(ForwardProxy(proxy.url), "https://hooks.invalid/")
    gone = await deliver(ForwardProxy(proxy.url), "https://hooks.invalid/")
    for outcome, text in ((asking, "it answered 407"), (refused, "it answered 403"), (gone, "no connection to the")):
        assert isinstance(outcome, Retry)
        assert (outcome.error, outcome.answer.status) == ("connect", None)
        assert text in outcome.detail


@pytest.mark.parametrize("host", ["10.1.2.3", "[fd00::1]", "127.0.0.1"])
async def test_a_host_that_is_an_address_is_checked_before_the_proxy_is_asked(host: str) -> None:
    async with Proxy() as proxy:
        through = ForwardProxy(proxy.url)
        outcome = await deliver(through, f"http://{host}/", rules=AddressRules(private=False))
    assert isinstance(outcome, Discard)
    assert outcome.error == "address_refused"
    assert proxy.requests == []


async def test_the_proxy_s_own_address_is_the_operator_s_choice_and_an_exception_s_is_not() -> None:
    rules = AddressRules(private=False)
    async with HttpReceiver(answer(200)) as receiver, Proxy() as proxy:
        through = ForwardProxy(proxy.url, exceptions=["localhost"])
        assert isinstance(await deliver(through, f"http://hooks.invalid:{receiver.port}/", rules=rules), Delivered)
        direct = await deliver(through, f"http://localhost:{receiver.port}/", rules=rules)
    assert isinstance(direct, Retry)
    assert direct.error == "address_refused"
    assert len(proxy.requests) == 1


async def test_an_exception_is_called_directly() -> None:
    async with HttpReceiver(answer(200)) as receiver, Proxy() as proxy:
        through = ForwardProxy(proxy.url, exceptions=["127.0.0.0/8"])
        assert isinstance(await deliver(through, receiver.url), Delivered)
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("host", "direct"),
    [
        ("hooks.example.com", True), ("HOOKS.example.com.", True), ("a.hooks.example.com", False),
        ("corp.example", True), ("a.b.corp.example", True), ("notcorp.example", False),
        ("10.1.2.3", True), ("11.1.2.3", False), ("[fd00::1]", True), ("::1", False), ("10.1", True), ("0xa.1", True),
    ],
)  # fmt: skip
def test_which_hosts_are_exceptions(host: str, direct: bool) -> None:
    proxy = ForwardProxy(
        "http://p:1", exceptions=["hooks.Example.com", ".corp.example", "10.0.0.0/8", "fd00::/8", "192.0.2.1"]
    )
    assert proxy.applies(host) is not direct


@pytest.mark.parametrize("text", ["http://x", "a b", "*.example.com", "10.0.0.0/99", ""])
def test_what_is_no_exception_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="no host, no domain"):
        ForwardProxy("http://p:1", exceptions=[text])


def test_exceptions_have_a_limit_and_the_address_has_a_port() -> None:
    with pytest.raises(SettingsError, match="at most 1,000"):
        ForwardProxy("http://p:1", exceptions=["a"] * (MAX_EXCEPTIONS + 1))
    with pytest.raises(SettingsError, match="endpoint_proxy"):
        ForwardProxy("http://p:99999")
