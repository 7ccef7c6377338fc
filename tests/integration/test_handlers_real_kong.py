"""webhook-custom, lambda, log and filters behind a real Kong: what a broken limit becomes, and where lines end up."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import HttpServer, Kong, Sidecar, hooks_document, webhook
from tests.support.hooks import plugin_config
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

JSON = {"content-type": "application/json"}
LAMBDA = """\
return function (data, event, source, pid)
  kong.log.notice("noticed ", data.service.name, " ", event, " of ", source)
  kong.log.warn("warned at ", data.limit)
  kong.log.inspect({limit = data.limit})
  kong.log.debug("nobody sees this: Kong's log_level is notice")
  error("Event hook on service " .. data.service.name .. "")
end
"""


def exhaust(kong: Kong, path: str = "/demo/a", headers: dict[str, str] | None = None) -> None:
    """Use the two requests that the limit allows and break it once: Kong counts a request a moment after it."""
    for _ in range(50):
        if kong.get(path, headers)[0] == 429:
            return
    raise AssertionError("the limit does not break")


def slack(receiver: HttpServer, name: str = "slack", **fields: Any) -> dict[str, Any]:
    config = {
        "method": "POST",
        "url": f"http://127.0.0.1:{receiver.port}/services/T000",
        "headers": JSON,
        "payload": {
            "text": "Rate limit exceeded by '{{ consumer.username or ip }}' on service '{{ service.name }}'",
            "blocks": [
                {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Limit*\n{{ limit }} per {{ window }}"}]}
            ],
        },
    }
    given = {"name": name, "source": "rate-limiting-advanced", "event": "rate-limit-exceeded"}
    return {**given, "handler": "webhook-custom", "config": config, **fields}


def suppressed(sidecar: Sidecar) -> dict[tuple[str, str], float]:
    page = sidecar.get("/metrics")[1].decode()
    found = re.findall(r'^kong_event_hooks_held_back_total\{hook="(.+?)",reason="(.+?)"\} (\S+)$', page, re.MULTILINE)
    return {(hook, reason): float(count) for hook, reason, count in found}


def with_consumer(document: dict[str, Any]) -> dict[str, Any]:
    """Add a consumer who shows a key, so that an event says who was limited."""
    document["services"][0]["plugins"].insert(0, {"name": "key-auth", "config": {"anonymous": "anybody"}})
    document["consumers"] = [
        {"username": "Joanna", "keyauth_credentials": [{"key": "joannas-key"}]},
        {"username": "anybody"},
    ]
    return document


def test_slack_is_told_who_broke_the_limit_on_which_service(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    sidecar.start()
    kong.declare(with_consumer(hooks_document(upstream, [slack(receiver)])))
    kong.start()
    exhaust(kong, headers={"apikey": "joannas-key"})
    (got,) = receiver.wait_for(1)
    assert got["path"] == "/services/T000"
    headers = {name.lower(): value for name, value in got["headers"].items()}
    assert headers["content-type"] == "application/json"
    assert json.loads(got["body"]) == {
        "text": "Rate limit exceeded by 'Joanna' on service 'demo'",
        "blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "*Limit*\n2 per hour"}]}],
    }
    assert b"joannas-key" not in got["body"]


def test_a_lambdas_lines_stand_in_kongs_error_log_at_their_levels(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer
) -> None:
    hook = {"name": "lua", "source": "rate-limiting", "handler": "lambda", "config": {"functions": [LAMBDA]}}
    loud = {"name": "loud", "source": "rate-limiting", "handler": "log", "config": {"level": "warn"}}
    sidecar.start()
    kong.declare(hooks_document(upstream, [hook, loud]))
    kong.start()
    exhaust(kong)
    chunk = r'\[kong\] event_hooks\.lua:190 \[string "return function \(data, event, source, pid\)\.\.\."\]'
    wanted = [
        rf"\[notice\] .*{chunk}:2: noticed demo rate-limit-exceeded of rate-limiting, event hook: lua",
        rf"\[warn\] .*{chunk}:3: warned at 2, event hook: lua",
        rf"\[error\] .*{chunk}:6: Event hook on service demo, event hook: lua",
        rf"\[notice\] .*{chunk}:\?:4 \[lua\]-+\+",
        r"\[notice\] .*\| *limit = 2",
        r"\[warn\] .*\[kong\] event_hooks\.lua:\?:452 \[loud\]-+\+",
        r'\[warn\] .*\|"log callback: " \{ "rate-limit-exceeded"',
    ]

    def missing() -> list[str]:
        kong.get("/demo/again")  # the next log phase takes waiting lines along
        log = kong.error_log()
        return [line for line in wanted if not re.search(line, log)]

    try:
        until(lambda: not missing(), "every line in Kong's error log", pace=0.2)
    finally:
        print("missing:", missing())
    assert "nobody sees this" not in kong.error_log()
    assert "event hook: lua" in sidecar.log.read_text(), "in the sidecar's own output as well"


def test_a_filter_lets_one_through_and_holds_another(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    anything = slack(receiver, "anything", filter="data.limit >= 2 && data.service.name == 'demo'")
    joanna = slack(receiver, "joanna", filter="data.consumer.username == 'Joanna'", on_change=True)
    other = webhook(receiver, name="other", filter="data.limit > 2")
    odd = webhook(receiver, name="odd", filter="data.consumer.nickname == 'Jo'")
    sidecar.start()
    kong.declare(with_consumer(hooks_document(upstream, [anything, joanna, other, odd])))
    kong.start()
    exhaust(kong, headers={"apikey": "joannas-key"})

    def events() -> list[dict[str, Any]]:
        bodies = [json.loads(got["body"]) for got in list(receiver.requests)]
        return [body for body in bodies if body.get("event") != "ping"]

    until(lambda: len(events()) == 2, "both hooks whose filter is true fire")
    exhaust(kong)  # somebody else: not Joanna
    until(lambda: len(events()) >= 3, "the hook that takes anybody fires again")
    until(lambda: ("joanna", "filter") in suppressed(sidecar), "the other is held back, and counted")
    counts = suppressed(sidecar)
    assert counts["joanna", "filter"] == 1
    assert counts["other", "filter"] == 2
    assert counts["odd", "filter_error"] == 2
    assert all("text" in body for body in events()), "of the webhooks that are held back none arrived"
    assert "Key not found in map" in sidecar.log.read_text()


def test_what_does_not_compile_is_a_fault_and_a_dead_letter(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    broken = slack(receiver)
    broken["config"] = {**broken["config"], "payload": {"text": "{% if limit %}"}}
    sidecar.start()
    kong.declare(hooks_document(upstream, [broken]))
    kong.start()
    exhaust(kong)
    ready = until(lambda: error_of(sidecar), "the error in /readyz")
    assert "handler_config.payload.text: line 1, column 15: " in ready

    def dead() -> bool:
        page = sidecar.get("/metrics")[1].decode()
        return (
            re.search(
                r'^kong_event_hooks_delivery_attempts_total\{error="template".*outcome="discard"\}', page, re.MULTILINE
            )
            is not None
        )

    until(dead, "the delivery ends as a dead letter")
    assert receiver.requests == []


def error_of(sidecar: Sidecar) -> str | None:
    errors = json.loads(sidecar.get("/readyz")[1] or b"{}").get("errors", [])
    return str(errors[0]) if errors else None


def test_kong_refuses_what_the_schema_forbids(kong: Kong, sidecar: Sidecar, receiver: HttpServer) -> None:
    sidecar.start()
    for change, says in (
        ({"config": {"url": "http://a.b/"}}, "required field missing"),
        ({"config": {"url": "http://a.b/{{ a }}", "method": "POST"}}, "spaces in templates only"),
        ({"handler": "lambda", "config": {}}, "required field missing"),
        ({"handler": "log", "config": {"level": "loud"}}, "expected one of: debug, info"),
        ({"filter": 5}, "expected a string"),
    ):
        kong.declare({"plugins": [{"name": "event-hooks", "config": plugin_config(slack(receiver, **change))}]})
        assert says in kong.refusal()


def test_no_sandbox_process_runs_where_nothing_needs_one(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    sidecar.start()
    kong.declare(hooks_document(upstream, [webhook(receiver)]))
    kong.start()
    exhaust(kong)
    receiver.wait_for(1)
    worker = sidecar.worker_pid()
    assert Path(f"/proc/{worker}/task/{worker}/children").read_text().split() == []
