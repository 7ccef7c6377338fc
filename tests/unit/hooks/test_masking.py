"""What `hooks list` shows of a hook."""

import pytest

from kong_eventhooks_plugin.hooks.definition import to_hook
from kong_eventhooks_plugin.hooks.masking import masked
from kong_eventhooks_plugin.model.hook import Origin
from tests.support.hooks import VALIDATION, log_hook, webhook

ORIGIN = Origin("file", "kong.yml", "kong.yml")


def test_literals_are_masked_and_references_are_not() -> None:
    definition = webhook(
        url="https://user:hunter2@example.com:8443/path?token=hunter2#hunter2",
        secret="hunter2",
        previous_secret="{vault://env/old}",
        headers={"authorization": "Bearer hunter2", "x-key": "{vault://env/key}"},
    )
    hook = to_hook(VALIDATION.hook(definition), ORIGIN)
    shown = masked(hook)
    assert "hunter2" not in repr(shown)
    assert shown.config["url"] == "https://example.com:8443/path"
    assert (shown.config["secret"], shown.config["previous_secret"]) == ("***", "{vault://env/old}")
    assert shown.config["headers"] == {"authorization": "***", "x-key": "{vault://env/key}"}
    assert hook.config["secret"] == "hunter2", "the hook itself is as it was"


@pytest.mark.parametrize(
    ("url", "shown"), [("{vault://env/url}", "{vault://env/url}"), ("http://[hunter2", "***"), (5, "***")]
)
def test_urls(url: object, shown: str) -> None:
    hook = to_hook(VALIDATION.hook(log_hook()), ORIGIN)
    hook.config["url"] = url
    assert masked(hook).config["url"] == shown


def test_what_chat_and_alerting_services_take_as_a_key_is_masked() -> None:
    definition = webhook(
        url="https://hooks.slack.com/services/hunter2",
        method="POST",
        headers={"content-type": "hunter2"},
        payload={"routing_key": "hunter2", "list": [{"a": "hunter2"}, 1, None]},
        body="hunter2",
    ) | {"handler": "webhook-custom"}
    shown = masked(to_hook(VALIDATION.hook(definition), ORIGIN))
    assert "hunter2" not in repr(shown)
    assert shown.config["url"] == "https://hooks.slack.com/***"
    assert shown.config["payload"] == {"routing_key": "***", "list": [{"a": "***"}, 1, None]}
    assert masked(shown) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [("https://a.b", "https://a.b"), ("https://a.b/", "https://a.b/"), ("{vault://env/url}", "{vault://env/url}"),
     ("http://[hunter2", "***")],
)  # fmt: skip
def test_a_custom_url(url: str, shown: str) -> None:
    hook = to_hook(VALIDATION.hook(webhook(method="POST") | {"handler": "webhook-custom"}), ORIGIN)
    hook.config["url"] = url
    assert masked(hook).config["url"] == shown


def test_nothing_to_mask() -> None:
    hook = to_hook(VALIDATION.hook(log_hook()), ORIGIN)
    assert masked(hook) == hook
