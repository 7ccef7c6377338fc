import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.handlers.webhook_body import event_body, ping_body, public_url
from kong_eventhooks_plugin.model.hook import Origin
from tests.support.events import make_event, make_hook


def test_the_fields_stand_at_the_top_beside_source_and_event() -> None:
    event = make_event(source="rate-limiting", data={"consumer": {"username": "Joe"}, "limit": 5, "retry_after": None})
    assert json.loads(event_body(event, "rate-limiting-advanced")) == {
        "source": "rate-limiting-advanced",
        "event": "rate-limit-exceeded",
        "consumer": {"username": "Joe"},
        "limit": 5,
        "retry_after": None,
    }


def test_a_field_called_source_or_event_moves_aside() -> None:
    data = {"source": "mine", "event": 1, "data_source": "taken", "x": 2}
    assert json.loads(event_body(make_event(data=data), "s")) == {
        "source": "s",
        "event": "rate-limit-exceeded",
        "data_data_source": "mine",
        "data_event": 1,
        "data_source": "taken",
        "x": 2,
    }


NAMES = st.text() | st.sampled_from(["source", "event", "data_event"])


@given(st.dictionaries(NAMES, st.integers(-9, 9) | st.text() | st.none() | st.floats(), max_size=4), st.text())
def test_what_is_stored_as_json_makes_the_same_body(data: dict[str, object], source: str) -> None:
    stored = msgspec.json.encode(data)
    event = make_event(data=msgspec.json.decode(stored), event=source)
    assert event_body(event, source, stored) == event_body(event, source)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=6))
def test_no_field_is_lost(data: dict[str, object]) -> None:
    try:
        body = event_body(make_event(data=data), "s")
    except (ValueError, OverflowError):
        return
    got = json.loads(body)
    assert len(got) == len(data) + 2
    assert (got["source"], got["event"]) == ("s", "rate-limit-exceeded")
    assert all(got[name] == value for name, value in data.items() if name not in ("source", "event"))


def test_a_ping_holds_the_entity_and_no_secret() -> None:
    config = {
        "url": "https://user:hunter2@example.com/hook?token=t0ken#part",
        "headers": {"authorization": "Bearer s3cr3t", "x-team": "a"},
        "secret": "s3cr3t",
        "previous_secret": "0ld",
        "secret_file": "/run/secret",
        "$refs": {"secret": "{vault://env/x}"},
        "ssl_verify": True,
        "payload_format": True,
        "level": "notice",
    }
    body = ping_body(make_hook("alert", handler="webhook", config=config, updated_at=7), "update")
    ping = json.loads(body)
    entity = ping.pop("event_hooks")
    assert ping == {"source": "kong:event_hooks", "event": "ping", "operation": "update"}
    assert entity["config"] == {
        "url": "https://example.com/hook",
        "headers": {"authorization": "***", "x-team": "***"},
        "ssl_verify": True,
        "secret": "***",
    }
    assert (entity["name"], entity["handler"], entity["updated_at"]) == ("alert", "webhook", 7)
    assert not any(word in body for word in (b"s3cr3t", b"0ld", b"hunter2", b"t0ken"))


def test_the_ping_of_an_unnamed_hook_has_the_fields_of_enterprises() -> None:
    hook = make_hook(
        "5e1d", id="5e1d", handler="webhook", config={"url": "http://h/", "ssl_verify": False, "template": "resty"},
        origin=Origin("api", "api", "api"), created_at=1, updated_at=2,
    )  # fmt: skip
    assert json.loads(ping_body(hook, "create"))["event_hooks"] == {
        "id": "5e1d",
        "name": None,
        "source": "rate-limiting",
        "event": None,
        "handler": "webhook",
        "on_change": None,
        "snooze": None,
        "config": {"url": "http://h/", "headers": {}, "secret": None, "ssl_verify": False},
        "created_at": 1,
        "updated_at": 2,
    }


def test_a_ping_that_somebody_asks_for_has_no_operation() -> None:
    assert "operation" not in json.loads(ping_body(make_hook("alert"), None))


def test_a_url_that_cannot_be_read_is_not_shown_at_all() -> None:
    assert public_url("https://[user:pw@x/") == "***"


@pytest.mark.parametrize("data", [{"url": object()}, {"url": "\ud800"}])
def test_what_is_not_json_raises_what_is_said(data: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        event_body(make_event(data=data), "s")
    with pytest.raises((TypeError, ValueError, OverflowError, msgspec.MsgspecError)):
        ping_body(make_hook("a", config=data), "create")
