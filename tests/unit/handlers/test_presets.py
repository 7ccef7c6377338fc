"""Presets: each is checked against what its receiver documents; see the heads of their files for where.

The schemas are the receivers' published rules, in our words: required fields, types, longest texts, allowed values.
"""

import re
from datetime import datetime
from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.handlers.http_client import HttpAnswer
from kong_eventhooks_plugin.handlers.presets import PRESETS
from kong_eventhooks_plugin.handlers.presets.message import Message, Rendered
from kong_eventhooks_plugin.handlers.webhook import judge_of_preset
from kong_eventhooks_plugin.model.delivery import Discard
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.catalogue import SOURCES, entry_of
from tests.support.doc_blocks import ROOT, blocks

KEY = "0123456789abcdef0123456789abcdef"
EXAMPLES = [(source.name, event.name, event.example()) for source in SOURCES for event in source.events[:3]]
HOSTILE = {
    "text": "<!channel> & <https://evil.example|click> [x](http://evil) **b** \\ \x00\x1b \ud83d\ude00".encode(
        "utf-16", "surrogatepass"
    ).decode("utf-16"),
    "long": "x" * 100_000,
    "deep": {"a": [{"b": 1}]},
    "none": None,
    **{f"field{number}": "y" * 1_000 for number in range(100)},
}


def message(source: str = "custom", event: str = "deployed", data: Any = None) -> Message:
    return Message(Event("01a2-id", source, event, {} if data is None else data, 1_795_278_761.25), source, "desk", KEY)


def rendered(preset: str, *args: Any) -> tuple[Any, Rendered]:
    found = PRESETS[preset].render(message(*args))
    return msgspec.json.decode(found.body), found


def every() -> list[tuple[str, str, Any]]:
    return [*EXAMPLES, ("custom", "hostile", HOSTILE), ("custom", "empty", {})]


def test_slack_takes_a_text_in_which_nothing_is_a_link() -> None:
    for one in every():
        body, found = rendered("slack", *one)
        assert body.keys() == {"text", "unfurl_links"}
        assert 0 < len(body["text"]) <= 40_000
        assert not re.search("[<>]|&(?!amp;|lt;|gt;)", body["text"])
        assert found.headers[b"content-type"] == b"application/json"
        assert len(body["text"]) <= 4_000
    assert rendered("slack", "custom", "e", {f"f{n}": "&<" * 150 for n in range(9)})[0]["text"].endswith(";...")
    text = rendered("slack", "custom", "hostile", HOSTILE)[0]["text"]
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;" in text


def test_teams_takes_a_message_with_one_adaptive_card() -> None:
    for one in every():
        body, found = rendered("teams", *one)
        assert len(found.body) <= 28 * 1024
        assert body["type"] == "message"
        (card,) = body["attachments"]
        assert (card["contentType"], card["contentUrl"]) == ("application/vnd.microsoft.card.adaptive", None)
        content = card["content"]
        assert (content["type"], content["version"]) == ("AdaptiveCard", "1.2")
        assert content["$schema"] == "http://adaptivecards.io/schemas/adaptive-card.json"
        for element in content["body"]:
            assert element["type"] in {"TextBlock", "FactSet"}
            assert all(set(fact) == {"title", "value"} for fact in element.get("facts", []))
    text = rendered("teams", "custom", "hostile", HOSTILE)[0]["attachments"][0]["content"]["body"][1]["facts"][0][
        "value"
    ]
    assert r"\[x\]\(http://evil\) \*\*b\*\*" in text
    # In Markdown <https://...> is a link too.
    assert r"\<https://evil.example\|click\>" in text


def test_pagerduty_takes_a_trigger() -> None:
    for source, event, data in every():
        body, found = rendered("pagerduty", source, event, data)
        assert len(body["routing_key"]) == 32
        assert len(body["dedup_key"]) <= 255
        assert len(found.body) <= 512 * 1024
        assert body["event_action"] in {"trigger", "resolve"}
        if body["event_action"] == "resolve":
            continue
        payload = body["payload"]
        assert 0 < len(payload["summary"]) <= 1_024
        assert payload["severity"] in {"critical", "error", "warning", "info"}
        assert payload["source"]
        assert datetime.fromisoformat(payload["timestamp"]).timestamp() == 1_795_278_761.25
        assert isinstance(payload["custom_details"], dict)
    assert (
        rendered("pagerduty", "custom", "big", {"x": "y" * 600_000})[0]["payload"]["custom_details"]["x"][-3:] == "..."
    )


def test_opsgenie_takes_an_alert() -> None:
    for source, event, data in every():
        body, found = rendered("opsgenie", source, event, data)
        assert found.headers[b"authorization"] == f"GenieKey {KEY}".encode()
        if found.path:
            assert re.fullmatch(r"/event-hooks-[0-9a-f]{32}/close\?identifierType=alias", found.path)
            continue
        assert 0 < len(body["message"]) <= 130
        assert len(body["alias"]) <= 512
        assert len(body["description"]) <= 15_000
        assert sum(len(name) + len(value) for name, value in body["details"].items()) <= 8_000
        assert all(isinstance(value, str) for value in body["details"].values())
        assert len(body["entity"]) <= 512
        assert len(body["source"]) <= 100
        assert body["priority"] in {"P1", "P2", "P3", "P4", "P5"}
        assert all(len(tag) <= 50 for tag in body["tags"])


def test_cloudevents_have_the_required_attributes_in_both_modes() -> None:
    for source, event, data in [*every(), ("custom", 'dé "x" 100%\n', {})]:
        body, found = rendered("cloudevents", source, event, data)
        assert found.headers[b"content-type"].startswith(b"application/cloudevents+json")
        assert body["specversion"] == "1.0"
        assert all(isinstance(body[name], str) and body[name] for name in ("id", "source", "type", "time"))
        assert re.fullmatch(r"/[!-~]*", body["source"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["time"])
        assert (body["datacontenttype"], body["data"]) == ("application/json", data)
        assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in body)
        binary_data, binary = rendered("cloudevents-binary", source, event, data)
        assert binary_data == data
        assert binary.headers[b"content-type"] == b"application/json"
        attributes = {name: value for name, value in binary.headers.items() if name.startswith(b"ce-")}
        assert attributes.keys() == {b"ce-specversion", b"ce-id", b"ce-source", b"ce-type", b"ce-time"}
        assert all(re.fullmatch(rb"[!#$&-~]+(%[0-9A-F]{2}[!#$&-~]*)*|(%[0-9A-F]{2}|[!#$&-~])+", value)
                   for value in attributes.values())  # fmt: skip
    headers = PRESETS["cloudevents-binary"].render(message("custom", 'dé "x" 100%\n')).headers
    assert headers[b"ce-type"] == b"event-hooks.custom.d%C3%A9%20%22x%22%20100%25%0A"


TEAMS_ERROR = (
    b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId"
)


STATES = [(source.name, event) for source in SOURCES for event in source.events if event.state is not None]


def test_the_end_of_a_state_resolves_its_beginning_and_no_other() -> None:
    for source, event in STATES:
        opening = event.example() | {"state": "open"}
        closing = opening | {"state": "resolved"}
        began, ended = (rendered("pagerduty", source, event.name, data)[0] for data in (opening, closing))
        assert (began["event_action"], ended["event_action"]) == ("trigger", "resolve")
        assert began["dedup_key"] == ended["dedup_key"] == opening["state_key"]
        assert ended.keys() == {"routing_key", "dedup_key", "event_action"}
        opened, closed = (rendered("opsgenie", source, event.name, data) for data in (opening, closing))
        assert opened[0]["alias"] == opening["state_key"]
        assert f"/{opening['state_key']}/close" in closed[1].path
        assert "state_key" not in opened[0]["details"]
    assert {source for source, _ in STATES} == {"balancer", "certificate", "gateway", "event-hooks"}


def test_the_page_shows_what_opens_and_what_resolves() -> None:
    shown = {block.words: msgspec.json.decode(block.text) for block in blocks(ROOT / "docs" / "handlers.md")
             if block.language == "json" and block.words in {("expiring",), ("resolved",)}}  # fmt: skip
    for (name,), body in shown.items():
        entry = entry_of("certificate", name)
        assert entry is not None
        sent, _ = rendered("pagerduty", "certificate", name, entry.example())
        assert {key: value for key, value in sent.items() if key in body and key != "payload"} | {
            key: {each: sent[key][each] for each in body[key]} for key in ("payload",) if key in body
        } == body
    assert len(shown) == 2


@pytest.mark.parametrize("key", [None, "", 7, "a/../b", "..", "x" * 256, "a?b", "é"])
def test_an_event_of_its_own_ends_nothing_without_a_good_key(key: Any) -> None:
    data = {"state": "resolved", "state_key": key}
    body, found = rendered("opsgenie", "custom", "deployed", data)
    assert found.path == ""
    assert body["alias"].startswith("event-hooks-")
    assert rendered("pagerduty", "custom", "deployed", data)[0]["event_action"] == "trigger"


@pytest.mark.parametrize(
    ("preset", "status", "body", "success"),
    [
        ("slack", 200, b"ok", True),
        ("slack", 400, b"invalid_payload", None),
        ("slack", 404, b"channel_not_found", None),
        ("slack", 429, b"", False),
        ("teams", 200, b"1", True),
        ("teams", 202, b"", True),
        ("teams", 200, TEAMS_ERROR, False),
        ("pagerduty", 202, b'{"status":"success","message":"Event processed","dedup_key":"samplekeyhere"}', True),
        ("pagerduty", 400, b'{"status":"invalid event"}', None),
        ("pagerduty", 429, b"", False),
        ("opsgenie", 202, b'{"result":"Request will be processed"}', True),
        ("opsgenie", 422, b"", None),
        ("cloudevents", 204, b"", True),
        ("cloudevents", 415, b"", None),
        ("cloudevents-binary", 503, b"", False),
    ],
)  # fmt: skip
async def test_what_an_answer_means(preset: str, status: int, body: bytes, success: bool | None) -> None:
    judge = judge_of_preset(preset)
    assert judge is not None
    verdict = await judge(HttpAnswer(status, (), body))
    assert verdict.success is bool(success)
    assert isinstance(verdict.outcome, Discard) is (success is None)
