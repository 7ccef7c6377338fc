"""``webhook-custom`` through the real sandbox to a real receiver."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from kong_eventhooks_plugin.handlers.compile_check import compile_errors
from kong_eventhooks_plugin.handlers.contract import DeliveryJob
from kong_eventhooks_plugin.handlers.sandbox_failure import TRIES
from kong_eventhooks_plugin.handlers.webhook_custom import WebhookCustomHandler, authority
from kong_eventhooks_plugin.model.delivery import Delivered, Discard, Outcome, Retry
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import SandboxLimits
from tests.support.custom_webhooks import custom_handler, pool_and_custom_handler
from tests.support.delivery_jobs import make_job
from tests.support.events import make_event, make_hook
from tests.support.http_receiver import HttpReceiver, Request, answer
from tests.support.sandbox import running_pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE_LIMIT = {
    "consumer": {"id": "c-1", "username": 'Joanna & <Co/KG> "JJ"'},
    "ip": "192.0.2.7",
    "service": {"id": "s-1", "name": "demo"},
    "rate": 5,
    "limit": 4,
    "window": "minute",
}
JSON = {"content-type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both() -> AsyncIterator[tuple[Pool, WebhookCustomHandler]]:
    async with pool_and_custom_handler() as made:
        yield made


@pytest.fixture
def handler(both: tuple[Pool, WebhookCustomHandler]) -> WebhookCustomHandler:
    return both[1]


@pytest.fixture
def pool(both: tuple[Pool, WebhookCustomHandler]) -> Pool:
    return both[0]


async def sent(handler: WebhookCustomHandler, data: dict[str, Any] | None = None, **config: Any) -> Request:
    """Deliver and return what arrived."""
    async with HttpReceiver(answer(200)) as receiver:
        url = config.pop("url", "/hook")
        job = make_job(
            {"url": f"http://127.0.0.1:{receiver.port}{url}", "method": "POST", **config},
            RATE_LIMIT if data is None else data,
            handler="webhook-custom",
        )
        outcome = await handler.deliver(job)
        assert isinstance(outcome, Delivered), outcome
        (request,) = receiver.requests
        return request


async def outcome_of(handler: WebhookCustomHandler, data: dict[str, Any] | None = None, **config: Any) -> Outcome:
    job = make_job({"url": "http://127.0.0.1:9/", "method": "POST", **config}, data or RATE_LIMIT, "webhook-custom")
    return await handler.deliver(job)


async def test_kongs_own_example_of_an_admin_told_to_slack(handler: WebhookCustomHandler) -> None:
    text = "Admin account `{{ entity.username }}` {{ operation}}d; email address set to `{{ entity.email }}`"
    data = {"entity": {"username": "Arya Stark", "email": "arya@gameofthrones.com"}, "operation": "create"}
    request = await sent(handler, data, headers=JSON, payload={"text": text})
    expected = "Admin account `Arya Stark` created; email address set to `arya@gameofthrones.com`"
    assert json.loads(request.body) == {"text": expected}
    assert request.headers["content-type"] == "application/json"


async def test_kongs_own_example_of_a_rate_limit_told_to_slack(handler: WebhookCustomHandler) -> None:
    text = "Rate limit exceeded by username '{{ consumer.username }}' on service '{{ service.name }}'"
    request = await sent(handler, headers=JSON, payload={"text": text})
    assert json.loads(request.body) == {
        "text": "Rate limit exceeded by username 'Joanna & <Co/KG> \"JJ\"' on service 'demo'"
    }
    nobody = await sent(handler, RATE_LIMIT | {"consumer": {}}, headers=JSON, payload={"text": text})
    assert json.loads(nobody.body)["text"] == "Rate limit exceeded by username '' on service 'demo'"


async def test_kongs_own_example_without_a_template(handler: WebhookCustomHandler) -> None:
    request = await sent(handler, headers={"Content-type": "application/json"}, payload={"text": "new consumer added"})
    assert json.loads(request.body) == {"text": "new consumer added"}


async def test_slack_blocks(handler: WebhookCustomHandler) -> None:
    payload = {
        "text": "{{ service.name }}: rate limit exceeded",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Rate limit exceeded", "emoji": True}},
            {
                "type": "section",
                "fields": [
                    {"type": "mrkdwn", "text": "*Who*\n{{ escape(consumer.username) }}"},
                    {"type": "mrkdwn", "text": "*Where*\n{% if service then %}{{ service.name }}{% end %}"},
                ],
            },
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "{{ rate }} a {{ window }}, not {{ limit }}"}]},
        ],
    }  # fmt: skip
    body = json.loads((await sent(handler, headers=JSON, payload=payload)).body)
    assert body["blocks"][1]["fields"][0]["text"] == "*Who*\nJoanna &amp; &lt;Co&#47;KG&gt; &quot;JJ&quot;"
    assert body["blocks"][1]["fields"][1]["text"] == "*Where*\ndemo"
    assert body["blocks"][2]["elements"][0]["text"] == "5 a minute, not 4"
    assert body["blocks"][0] == payload["blocks"][0]


async def test_pagerduty_events_v2(handler: WebhookCustomHandler) -> None:
    payload = {
        "routing_key": "0123456789abcdef0123456789abcdef",
        "event_action": "trigger",
        "dedup_key": "{{ source }}/{{ service.name }}/{{ consumer.id or ip }}",
        "payload": {
            "summary": "{{ consumer.username }} exceeded {{ limit }} per {{ window }} on {{ service.name }}",
            "source": "{{ service.name }}",
            "severity": "{{ rate > 10 and 'error' or 'warning' }}",
            "custom_details": {"ip": "{{ ip }}", "limits": ["{{ limit }}", 4]},
        },
    }
    body = json.loads((await sent(handler, headers=JSON, payload=payload)).body)
    assert body["dedup_key"] == "rate-limiting/demo/c-1"
    assert body["payload"]["summary"] == 'Joanna & <Co/KG> "JJ" exceeded 4 per minute on demo'
    assert body["payload"]["severity"] == "warning"
    assert body["payload"]["custom_details"] == {"ip": "192.0.2.7", "limits": ["4", 4]}


async def test_names_with_full_stops_and_brackets_are_told_apart(handler: WebhookCustomHandler) -> None:
    payload = {"a.b": "{{ ip }}", "a": {"b": "{{ limit }}"}, "l[0]": "{{ rate }}", "l": ["{{ window }}"]}
    body = json.loads((await sent(handler, headers=JSON, payload=payload)).body)
    assert body == {"a.b": "192.0.2.7", "a": {"b": "4"}, "l[0]": "5", "l": ["minute"]}


async def test_a_form_and_a_query_carry_the_text_unspoiled(handler: WebhookCustomHandler) -> None:
    form = await sent(
        handler,
        headers={"content-type": "application/x-www-form-urlencoded"},
        payload={"who": "{{ consumer.username }}"},
    )
    assert form.body == b"who=Joanna+%26+%3CCo%2FKG%3E+%22JJ%22"
    query = await sent(handler, method="GET", url="/hook?a=1", payload={"who": "{{ ip }}", "n": 2})
    assert (query.method, query.path, query.body) == ("GET", "/hook?a=1&who=192.0.2.7&n=2", b"")


async def test_without_a_content_type_it_is_multipart(handler: WebhookCustomHandler) -> None:
    request = await sent(handler, payload={"who": "{{ ip }}"})
    boundary = request.headers["content-type"].partition("boundary=")[2]
    assert request.body == (
        f'--{boundary}\r\ncontent-disposition: form-data; name="who"\r\n\r\n192.0.2.7\r\n--{boundary}--\r\n'.encode()
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS", "PROPFIND"])
async def test_every_method(handler: WebhookCustomHandler, method: str) -> None:
    assert (await sent(handler, method=method)).method == method


async def test_a_body_is_sent_as_it_is_with_values_escaped_for_its_type(handler: WebhookCustomHandler) -> None:
    body = '{"who": "{{ consumer.username }}", "what": {{ service }}, "rate": {{ rate }}}\n'
    request = await sent(handler, headers=JSON, body=body, payload={"never": "sent"})
    assert json.loads(request.body) == {"who": 'Joanna & <Co/KG> "JJ"', "what": RATE_LIMIT["service"], "rate": 5}
    xml = await sent(handler, headers={"content-type": "application/xml"}, body="<who>{{ consumer.username }}</who>")
    assert xml.body == b"<who>Joanna &amp; &lt;Co&#47;KG&gt; &quot;JJ&quot;</who>"
    assert (await sent(handler, body="{{ x }}", body_format=False)).body == b"{{ x }}"
    assert (await sent(handler, body="")).body == b""


async def test_formats_can_be_switched(handler: WebhookCustomHandler) -> None:
    tag = "{{ ip }}"
    off = await sent(handler, headers={**JSON, "x-ip": tag}, payload={"a": tag}, payload_format=False)
    assert (off.headers["x-ip"], json.loads(off.body)) == (tag, {"a": tag})
    on = await sent(handler, headers={**JSON, "x-ip": tag}, headers_format=True)
    assert on.headers["x-ip"] == "192.0.2.7"


async def test_jinja2_where_it_is_chosen(handler: WebhookCustomHandler) -> None:
    text = "{% if limit > 3 %}{{ consumer.username | upper }}{{ missing.x }}{% endif %}"
    request = await sent(handler, template="jinja2", headers=JSON, payload={"text": text})
    assert json.loads(request.body) == {"text": 'JOANNA & <CO/KG> "JJ"'}


async def test_signatures_cover_the_rendered_body(handler: WebhookCustomHandler) -> None:
    request = await sent(handler, headers=JSON, payload={"text": "{{ ip }}"}, secret="whsec_c2VjcmV0LW9mLXRlc3Rz")
    digest = hmac.new(b"whsec_c2VjcmV0LW9mLXRlc3Rz", request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-kong-signature"] == f"sha256={digest}"
    webhook = Webhook("whsec_c2VjcmV0LW9mLXRlc3Rz")
    key = webhook.sign(request.headers["webhook-id"], _at(request), request.body.decode())
    assert request.headers["webhook-signature"] == key


def _at(request: Request) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)


async def test_a_url_template_fills_path_and_query_alone(handler: WebhookCustomHandler) -> None:
    url = "/u/{{consumer.username}}/x?ip={{ip}}&n={*limit*}"
    request = await sent(handler, RATE_LIMIT | {"consumer": {"username": "a/b?c#d é"}}, url=url, url_format=True)
    assert request.path == "/u/a%2Fb%3Fc%23d%20%C3%A9/x?ip=192.0.2.7&n=4"
    untouched = await sent(handler, url="/u/%7Bx%7D?y={{ip}}")
    assert "192.0.2.7" not in untouched.path


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://{{ip}}/x", "its scheme or host would change"),
        ("http://127.0.0.1:{{limit}}/x", "its scheme or host would change"),
        ("http://127.0.0.1:9/{{dots}}/x", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{{dot}}", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{{dots .. ''}}/x", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/a/../{{dots}}/x", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{{up}}", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{*up*}", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/u-{{back}}", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{{dots}};/x", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/u{{cut}}admin", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{* cut_dot *}", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{* encoded *};/x", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{* twice *}/x", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{{ended}}/x", "a value is . or .., which leads elsewhere"),
        ("http://127.0.0.1:9/{{('%'):rep(9000)}}", "over 8192 characters"),
    ],
)
async def test_a_url_that_would_lead_elsewhere_is_not_called(
    handler: WebhookCustomHandler, url: str, said: str
) -> None:
    data = {
        "dots": "..", "dot": ".", "ip": "h", "limit": 9, "up": "../admin", "back": "\\..\\admin", "cut": "/..;a=b/",
        "cut_dot": ".%3b", "encoded": "%2e%2E", "twice": "%252e%25252e%253B", "ended": "..\0",
    }  # fmt: skip
    outcome = await outcome_of(handler, data, url=url, url_format=True)
    assert isinstance(outcome, Discard | Retry)
    assert said in outcome.detail
    assert handler.endpoint({"url": "http://h:81{{x}}/"}) is None or "{{" not in str(handler.endpoint({"url": url}))


async def test_the_definitions_own_steps_up_stay(handler: WebhookCustomHandler) -> None:
    request = await sent(handler, url="/a/../{{ ip }};v=1/{{ limit .. '...' }}", url_format=True)
    assert request.path == "/192.0.2.7;v=1/4..."


@pytest.mark.parametrize(
    ("name", "sent_as", "note"),
    [
        ("a\r\nevil: 1", "a evil: 1", "header x-who: line ends and control characters removed"),
        ("José\0\x1b", "José", "header x-who: line ends and control characters removed"),
        ("a" * 20_000, "a" * 4_096, "header x-who: cut from 20,000 to 4,096 bytes"),
    ],
)
async def test_a_value_that_no_header_can_have_is_cleaned_and_noted(
    handler: WebhookCustomHandler, name: str, sent_as: str, note: str
) -> None:
    for status, detail in ((200, note), (503, f"answered 503; {note}")):
        async with HttpReceiver(answer(status)) as receiver:
            config = {"url": receiver.url, "headers": {"x-who": "{{ x }}"}, "headers_format": True}
            outcome = await handler.deliver(make_job(config, {"x": name}, handler="webhook-custom"))
            headers = receiver.requests[0].headers
        assert headers["x-who"].encode("latin-1").decode() == sent_as
        assert "evil" not in headers
        assert (outcome.note if isinstance(outcome, Delivered) else outcome.detail) == detail


async def test_a_content_type_that_a_template_made_is_cleaned(handler: WebhookCustomHandler) -> None:
    headers = {"content-type": "application/json{{ x }}"}
    request = await sent(handler, {"x": "\r\n"}, headers=headers, headers_format=True, payload={"a": "b"})
    assert (request.headers["content-type"], json.loads(request.body)) == ("application/json", {"a": "b"})


async def test_a_template_that_fails_on_an_event_is_a_permanent_failure(handler: WebhookCustomHandler) -> None:
    outcome = await outcome_of(handler, payload={"a": {"b": ["ok", "n: {{ nothing() }}"]}})
    said = "config.payload.a.b[1]: line 1, column 4: attempt to call global 'nothing' (a nil value)"
    assert outcome == Discard("template", said, logged="config.payload.a.b[1]: line 1, column 4: it fails")


@pytest.mark.parametrize("template", ["resty", "jinja2"])
async def test_null_in_a_json_body(handler: WebhookCustomHandler, template: str) -> None:
    data = {"n": None, "big": 9007199254740993}
    body = '{"n": {{ n }}, "s": "{{ n }}", "big": {{ big }}}'
    request = await sent(handler, data, headers=JSON, body=body, template=template)
    assert json.loads(request.body) == {"n": None, "s": "", "big": 9007199254740993}


@pytest.mark.parametrize(
    "body", ['{"ip": {{ ip }}}', '{"a": 1', "{{ ip }}", "{% if false then %}{}{% end %}", '{"ip": "{* ip *}",}']
)
async def test_a_json_body_that_is_no_json_is_a_permanent_failure(handler: WebhookCustomHandler, body: str) -> None:
    for kind in ("application/json; charset=utf-8", "application/vnd.api+json"):
        headers = {"content-type": kind, "x": "{{ ip }}"}
        outcome = await outcome_of(handler, headers=headers, headers_format=True, body=body)
        assert isinstance(outcome, Discard)
        assert outcome.error == "template"
        assert "is not JSON, as its content type says" in outcome.detail


async def test_a_definition_that_cannot_be_sent_is_kept_for_mending(handler: WebhookCustomHandler) -> None:
    plain = await outcome_of(handler, headers={"content-type": "text/plain"}, payload={"a": "b"})
    assert isinstance(plain, Retry)
    assert plain.error == "config"
    bad_header = await outcome_of(handler, headers={"x\n": "y"}, payload={"a": "{{ ip }}"})
    assert isinstance(bad_header, Retry)
    assert bad_header.error == "config"
    unsigned = await outcome_of(handler, secret="")
    assert isinstance(unsigned, Retry)


async def test_limits_mean_what_the_contract_says() -> None:
    limits = SandboxLimits(wall_seconds=0.3, cpu_seconds=5, workers=1, waiting=1)
    config = {"url": "http://127.0.0.1:9/", "payload": {"a": "{% while true do end %}"}}
    job = make_job(config, RATE_LIMIT, "webhook-custom")
    async with running_pool(limits) as pool, custom_handler(pool) as handler:
        assert isinstance(first := await handler.deliver(job), Retry)
        assert first.error == "template"
        last = await handler.deliver(_attempt(job, TRIES))
        assert isinstance(last, Discard)
        assert last.detail == "stopped after 0.3 s of time"
    async with running_pool(limits) as closed:
        pass
    async with custom_handler(closed) as handler:
        outcome = await handler.deliver(_attempt(job, 50))
        assert outcome == Retry("internal", "sandbox closed: the sandbox is closed")


def _attempt(job: DeliveryJob, number: int) -> DeliveryJob:
    return msgspec.structs.replace(job, attempt=number)


async def test_there_is_no_ping(handler: WebhookCustomHandler) -> None:
    job = make_job({"url": "http://127.0.0.1:9/"})
    assert await handler.ping(job.hook, job.config, "create", 0.0) is None


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("http://h/x", "http://h"), ("https://h:8443?x=/", "https://h:8443"), ("http://u:p@h#f", "http://u:p@h"),
        ("http://{{x}}/y", "http://{{x}}"), ("", ""), ("nonsense", "nonsense"),
    ],
)  # fmt: skip
async def test_authority(url: str, part: str) -> None:
    assert authority(url) == part


async def test_the_endpoint_is_known_before_the_url_is(handler: WebhookCustomHandler) -> None:
    assert handler.endpoint({"url": "http://h:81/{{ x }}?y={{ z }}", "url_format": True}) == "http://h:81"
    assert handler.endpoint({"url": 5}) is None
    assert handler.endpoint({}) is None


async def test_what_does_not_compile_is_found_when_the_hook_is_made(pool: Pool) -> None:
    config = {
        "url": "http://h:{{ port }}/", "url_format": True, "headers": {"x": "{% x"}, "headers_format": True,
        "body": "ok {{ ip }}", "payload": {"a": [{"b": "line\n {{ x + }}"}]},
    }  # fmt: skip
    assert await compile_errors(pool, make_hook(handler="webhook-custom", config=config)) == {
        "config": {
            "headers": {"x": "line 1, column 1: {% is not closed by %}"},
            "payload": {"a[0].b": "line 2, column 2: unexpected symbol near ')'"},
        }
    }
    assert await compile_errors(
        pool, make_hook(handler="webhook-custom", config={"template": "jinja2", "body": "{% if %}"})
    ) == {"config": {"body": "line 1, column 1: Expected an expression, got 'end of statement block'"}}
    assert (
        await compile_errors(
            pool, make_hook(handler="webhook-custom", config={"url": "http://h/", "payload": {"a": "{{ fine }}"}})
        )
        == {}
    )


async def test_an_event_that_is_not_json_is_never_sent(handler: WebhookCustomHandler) -> None:
    job = make_job({"url": "http://127.0.0.1:9/", "payload": {"a": "{{ x }}"}}, {"x": object()}, "webhook-custom")
    outcome = await handler.deliver(job)
    assert isinstance(outcome, Discard)
    assert "cannot be handed to the sandbox" in outcome.detail
    assert make_event().data  # the helper's own event stays what it was
