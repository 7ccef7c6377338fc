"""What can be known of a definition when a hook is made is refused then."""

from typing import Any

import pytest

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.definition import to_hook
from kong_eventhooks_plugin.model.hook import Origin
from tests.support.hooks import VALIDATION, log_hook, plugin_config, webhook

BASES: dict[str, dict[str, Any]] = {
    "webhook": webhook("h"),
    "webhook-custom": {**webhook("h", method="POST"), "handler": "webhook-custom"},
    "lambda": log_hook("h", handler="lambda", config={"functions": ["return print"]}),
    "log": log_hook("h", config={"level": "warn"}),
}
VALUES: dict[str, Any] = {
    "url": "http://x/", "headers": {"a": "b"}, "ssl_verify": False, "secret": "s", "previous_secret": "s",
    "secret_file": "/run/secrets/s", "method": "PUT", "payload": {"a": "b"}, "payload_format": False, "body": "b",
    "body_format": False, "headers_format": True, "url_format": True, "template": "jinja2", "functions": ["f"],
    "level": "warn",
}  # fmt: skip
FIELDS = {name: field for entry in schema.handler_config()["fields"] for name, field in entry.items()}


def custom(**config: Any) -> dict[str, Any]:
    return {**webhook("h", method="POST", **config), "handler": "webhook-custom"}


def errors(hook: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(ValidationError) as refused:
        VALIDATION.hook(hook)
    return refused.value.fields


def is_valid(hook: dict[str, Any]) -> bool:
    VALIDATION.hook(hook)
    return VALIDATION.config(plugin_config(hook)).error is None


class TestFieldsOfOtherHandlers:
    """As Kong Enterprise refuses them, whose schema has a config of its own for each handler."""

    @pytest.mark.parametrize(
        ("handler", "field"),
        [(h, f) for f, handlers in schema.HANDLERS_OF.items() for h in BASES if h not in handlers],
    )
    def test_each_is_unknown(self, handler: str, field: str) -> None:
        hook = {**BASES[handler], "config": {**BASES[handler]["config"], field: VALUES[field]}}
        assert errors(hook) == {"config": {field: "unknown field"}}
        declared = VALIDATION.config(plugin_config(hook)).error
        assert declared is not None
        assert declared.fields == {"hooks": [{"handler_config": {field: "unknown field"}}]}

    @pytest.mark.parametrize("field", ["url", "secret", "previous_secret"])
    def test_a_reference_is_too(self, field: str) -> None:
        assert errors(log_hook(config={field: "{vault://env/x}"})) == {"config": {field: "unknown field"}}

    @pytest.mark.parametrize("handler", BASES)
    def test_what_kong_and_deck_fill_in_is_none(self, handler: str) -> None:
        filled = {name: field.get("default") for name, field in FIELDS.items()} | BASES[handler]["config"]
        assert is_valid({**BASES[handler], "config": filled})

    @pytest.mark.parametrize("handler", BASES)
    def test_a_hook_has_none_of_them(self, handler: str) -> None:
        definition = VALIDATION.hook(BASES[handler])
        hook = to_hook(definition, Origin("api", "api", "the API"))
        assert {name for name in hook.config if handler not in schema.HANDLERS_OF[name]} == set()

    def test_every_field_has_a_handler(self) -> None:
        assert schema.HANDLERS_OF.keys() == FIELDS.keys()
        assert {h for handlers in schema.HANDLERS_OF.values() for h in handlers} == set(schema.AVAILABLE_HANDLERS)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://h:99999/", schema.BAD_PORT),
        ("http://h:65536", schema.BAD_PORT),
        ("http://h:0/x", schema.BAD_PORT),
        ("http://h:00000", schema.BAD_PORT),
        ("http://h:080x/", schema.BAD_PORT),
        ("http://user:pass@h:70000?q", schema.BAD_PORT),
        ("http://[::1]:99999/", schema.BAD_PORT),
        ("http://[::1/", "not a URL"),
        ("http://user@", schema.NO_HOST),
        ("https://user:pass@/x", schema.NO_HOST),
        ("https://user@:8080/x", schema.NO_HOST),
        ("http://:80/", schema.NO_HOST),
        ("http://127.1/", schema.SHORT_IPV4),
        ("http://2130706433:80", schema.SHORT_IPV4),
        ("http://10.1.2?x", schema.SHORT_IPV4),
        ("http://user@0x7f.0.0.1/", schema.SHORT_IPV4),
        ("http://a.1/", schema.SHORT_IPV4),
        ("http://127.0.0.256/", "not a URL"),
        ("http://169.254.169.254/latest/meta-data", schema.NEVER_CALLED),
        ("http://user@169.254.1.1:80/", schema.NEVER_CALLED),
        ("http://100.100.100.200", schema.NEVER_CALLED),
        ("http://0.0.0.0:8080/", schema.NEVER_CALLED),
        ("http://239.1.2.3/", schema.NEVER_CALLED),
        ("http://[fe80::1]/", schema.NEVER_CALLED),
        ("http://[fd00:ec2::254]/", schema.NEVER_CALLED),
        ("http://[::ffff:169.254.169.254]/", schema.NEVER_CALLED),
    ],
)
def test_urls_that_cannot_be_called(url: str, error: str) -> None:
    assert errors(webhook(url=url)) == {"config": {"url": error}}
    assert errors(custom(url=url, url_format=True)) == {"config": {"url": error}}


@pytest.mark.parametrize(
    "url",
    [
        "http://h:65535", "http://h:1/", "http://user:99999@h/", "http://u:70000@h:80/", "http://127.0.0.1:8080/",
        "http://169.254.169.254.nip.io/", "http://1.2.3.4.example", "http://10.0.0.1", "http://[::1]:8080/a",
        "http://[2001:db8::99]:443", "http://localhost", "http://my_host.svc:80/", "http://h/127.1", "http://h?a=:99999",
        "http://h/#@169.254.1.1/", "https://0.example/", "{vault://env/url}", "http://H.Example:080/",
    ],
)  # fmt: skip
def test_urls_that_can(url: str) -> None:
    assert is_valid(webhook(url=url))


def test_a_template_in_a_port_is_reported_as_one() -> None:
    assert errors(custom(url="http://h:{{ port }}/", url_format=True)) == {
        "config": {"url": "a template may be in path and query, never in scheme, host or port"}
    }


@pytest.mark.parametrize("field", ["secret", "previous_secret"])
@pytest.mark.parametrize("secret", ["whsec_", "whsec_=", "whsec_a b", "whsec_MDE!", "whsec_\n"])
def test_a_secret_without_a_key(field: str, secret: str) -> None:
    config = {"secret": "other", field: secret}
    assert errors(webhook(**config))["config"][field] == schema.WHSEC_ERR


def test_base64_of_no_length_that_base64_has() -> None:
    assert errors(webhook(secret="whsec_MDEyM")) == {"config": {"secret": "after whsec_ there must be base64"}}


@pytest.mark.parametrize("secret", ["whsec_MDEyMw==", "whsec_MDEyMw", "whsec_MDEy\n", "Whsec_", "{vault://env/x}"])
def test_secrets_with_a_key(secret: str) -> None:
    assert is_valid(webhook(secret=secret, previous_secret=secret))


def test_a_secret_of_a_line_end_is_empty() -> None:
    assert errors(webhook(secret="\n")) == {"config": {"secret": "it is empty"}}


def test_a_previous_secret_needs_another() -> None:
    assert "beside it" in errors(webhook(previous_secret="old"))["config"]["previous_secret"]
    assert is_valid(webhook(previous_secret="old", secret_file="/run/secrets/hook"))


class TestBodies:
    def test_a_payload_under_another_content_type(self) -> None:
        found = errors(custom(payload={"a": "b"}, headers={"Content-Type": "text/plain; charset=utf-8"}))
        assert found == {
            "config": {
                "headers": {
                    "content-type": "a payload is sent as application/json, application/x-www-form-urlencoded or "
                    "multipart/form-data; with text/plain set body instead"
                }
            }
        }

    @pytest.mark.parametrize(
        "config",
        [
            {"payload": {"a": "b"}},
            {"payload": {"a": "b"}, "headers": {"content-type": "application/vnd.api+json"}},
            {"payload": {"a": "b"}, "headers": {"content-type": "{vault://env/type}"}},
            {"payload": {"a": "b"}, "headers": {"content-type": "text/{{ kind }}"}, "headers_format": True},
            {"payload": {"a": "b"}, "headers": {"content-type": "text/plain"}, "method": "GET"},
            {"payload": {"a": "b"}, "headers": {"content-type": "text/plain"}, "body": "instead"},
            {"body": "text", "headers": {"content-type": "text/plain"}},
            {"body": '{"n": {{ n }}}', "headers": {"content-type": "application/json"}},
            {"body": '{"n": 9007199254740993}', "headers": {"content-type": "application/json"}},
        ],
    )
    def test_what_can_be_sent(self, config: dict[str, Any]) -> None:
        hook = custom(**config) if "method" not in config else {
            **webhook("h", **config), "handler": "webhook-custom"
        }  # fmt: skip
        assert is_valid(hook)

    @pytest.mark.parametrize(
        "config", [{"body": "text"}, {"body": '{"n": {{ n }}}', "body_format": False}, {"body": '{"a": 1} x'}]
    )
    def test_a_literal_body_that_is_no_json(self, config: dict[str, Any]) -> None:
        found = errors(custom(headers={"content-type": "application/json"}, **config))
        assert found["config"]["body"].startswith("is not JSON, as its content type says: ")


def test_all_errors_of_a_config_are_reported() -> None:
    hook = custom(
        url="http://[fe80::1]/", secret="whsec_MDEyM", payload={"a": "b"}, headers={"content-type": "text/plain"}
    )
    assert errors(hook)["config"].keys() == {"url", "secret", "headers"}
