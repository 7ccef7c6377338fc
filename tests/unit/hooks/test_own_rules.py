"""What can be known of a definition when a hook is made is refused then."""

from typing import Any

import pytest

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers import address_rules, host_names, target_url
from kong_eventhooks_plugin.handlers.presets import PRESETS
from kong_eventhooks_plugin.hooks import patterns, schema
from kong_eventhooks_plugin.hooks.definition import to_hook
from kong_eventhooks_plugin.hooks.references import NO_REFERENCE, UNRENDERED
from kong_eventhooks_plugin.hooks.validation.field_checks import field_error
from kong_eventhooks_plugin.hooks.validation.own_rules import (
    KEYED_PRESETS,
    ORDERED_IS_ONE,
    PRINTABLE,
    UNSIGNED,
    foreign,
)
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
    "level": "warn", "retry": {"attempts": 3}, "timeout": 30, "concurrency": 1, "success": "status == 200",
    "client_cert_file": "/run/secrets/c", "client_key_file": "/run/secrets/k", "ca_file": "/run/secrets/a",
    "ordered": True, "signature": {"header": "x-sign"},
    "preset": "slack", "preset_key": "k",
}  # fmt: skip
FIELDS = {name: field for entry in schema.handler_config()["fields"] for name, field in entry.items()}


def custom(**config: Any) -> dict[str, Any]:
    return {**webhook("h", **{"method": "POST", **config}), "handler": "webhook-custom"}


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
        text = foreign(field)
        assert errors(hook) == {"config": {field: text}}
        declared = VALIDATION.config(plugin_config(hook)).error
        assert declared is not None
        assert declared.fields == {"hooks": [{"handler_config": {field: text}}]}

    @pytest.mark.parametrize("field", ["url", "secret", "previous_secret"])
    def test_a_reference_is_too(self, field: str) -> None:
        assert errors(log_hook(config={field: "{vault://env/x}"})) == {"config": {field: foreign(field)}}

    def test_the_error_says_whose_it_is(self) -> None:
        assert foreign("method") == "unknown field; only webhook-custom has it"
        assert foreign("url") == "unknown field; only webhook and webhook-custom have it"

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
        ("http://h:99999/", patterns.BAD_PORT),
        ("http://h:65536", patterns.BAD_PORT),
        ("http://h:0/x", patterns.BAD_PORT),
        ("http://h:00000", patterns.BAD_PORT),
        ("http://h:080x/", patterns.BAD_PORT),
        ("http://user:pass@h:70000?q", patterns.BAD_PORT),
        ("http://[::1]:99999/", patterns.BAD_PORT),
        ("http://[::1/", patterns.BAD_IPV6),
        ("http://u:p@[::1", patterns.BAD_IPV6),
        ("http://[]/", patterns.BAD_IPV6),
        ("http://[1.2.3.4]/", patterns.BAD_IPV6),
        ("http://[2001:db8::g]/", patterns.BAD_IPV6),
        ("http://[::1]x/", patterns.BAD_IPV6),
        ("http://[12345::]/", "not a URL"),
        ("http://user@", patterns.NO_HOST),
        ("https://user:pass@/x", patterns.NO_HOST),
        ("https://user@:8080/x", patterns.NO_HOST),
        ("http://:80/", patterns.NO_HOST),
        ("http://127.1/", patterns.SHORT_IPV4),
        ("http://2130706433:80", patterns.SHORT_IPV4),
        ("http://10.1.2?x", patterns.SHORT_IPV4),
        ("http://user@0x7f.0.0.1/", patterns.SHORT_IPV4),
        ("http://a.1/", patterns.SHORT_IPV4),
        ("http://127.0.0.256/", patterns.SHORT_IPV4),
        ("http://127.0.0.01/", patterns.SHORT_IPV4),
        ("http://256.1.1.1/", patterns.SHORT_IPV4),
        ("http://u@127.0.0.1.:80/", patterns.SHORT_IPV4),
        ("http://127.1./", patterns.SHORT_IPV4),
        ("http://a.0x1?x", patterns.SHORT_IPV4),
        ("http://169.254.169.254/latest/meta-data", patterns.NEVER_CALLED),
        ("http://user@169.254.1.1:80/", patterns.NEVER_CALLED),
        ("http://100.100.100.200", patterns.NEVER_CALLED),
        ("http://0.0.0.0:8080/", patterns.NEVER_CALLED),
        ("http://239.1.2.3/", patterns.NEVER_CALLED),
        ("http://[fe80::1]/", patterns.NEVER_CALLED),
        ("http://[fd00:ec2::254]/", patterns.NEVER_CALLED),
        ("http://[::ffff:169.254.169.254]/", patterns.NEVER_CALLED),
        ("http://169.254.169.254./", patterns.NEVER_CALLED),
        ("http://169\u3002254\u3002169\u3002254/", patterns.NEVER_CALLED),
        ("http://[2001:db8::1%251]/", patterns.NEVER_CALLED),
        ("http://a..b/", host_names.LABELS),
        ("http://user:pw@a..b:80/", host_names.LABELS),
        ("http://h..", host_names.LABELS),
        ("http://./", host_names.LABELS),
        ("http://.h?x", host_names.LABELS),
        ("http://-/", host_names.LABELS),
        ("http://-a", host_names.LABELS),
        ("http://user@a-:80/", host_names.LABELS),
        ("http://a-.b.", host_names.LABELS),
        ("http://a.-b/", host_names.LABELS),
        ("http://xn--/", host_names.LABELS),
        (f"http://x.{'a' * 64}.y/", host_names.LABELS),
        (f"http://{'a.' * 126}aa:80/", host_names.LENGTH),
        (f"http://user:pw@{'a.' * 126}aa./", host_names.LENGTH),
        ("http://a.b\\c/", host_names.CHARACTERS),
        ("http://u:p@a%2eb:80/", host_names.CHARACTERS),
        ("http://a,b", host_names.CHARACTERS),
        ("http://a]/", host_names.CHARACTERS),
        ("http://Metadata.Google.Internal./computeMetadata/v1", host_names.METADATA),
        ("http://u:p@metadata:80/", host_names.METADATA),
        ("http://metadata.goog:80", host_names.METADATA),
        ("http://instance-data?x", host_names.METADATA),
        ("http://metadata\uff61google\uff61internal/", host_names.METADATA),
        ("http://\u00fc" + "\u00fc" * 60, target_url.BAD_IDN),
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
        "http://my_service", "http://_a._b.", "http://receiver/", "http://receiver./", "http://a--b:80", "http://xn--i-7iq.ws/",
        "http://b\u00fccher.example/", f"http://{'a' * 63}.b", f"http://{'a.' * 126}a./", "http://h/a..b/-?metadata",
        "http://metadata.default.svc/", "http://metadata-api/", "http://:token@h/", "http://0:pw@h/", "http://-a..b-@h/",
        f"http://metadata:{'p' * 300}@h/", "http://{a}:{b}@h/",
    ],
)  # fmt: skip
def test_urls_that_can(url: str) -> None:
    assert is_valid(webhook(url=url))


@pytest.mark.parametrize("url", ["http://h:{{ port }}/", "http://a.{{host}}/", "http://{{ user }}@h/"])
def test_a_template_in_host_or_port_is_reported_as_one(url: str) -> None:
    assert errors(custom(url=url, url_format=True)) == {"config": {"url": patterns.TEMPLATE_IN_HOST}}


@pytest.mark.parametrize("network", address_rules.NEVER)
def test_kongs_schema_refuses_every_network_that_is_never_called(network: address_rules.Network) -> None:
    first, last = network[0], network[-1]
    spellings = {str(first), str(last), first.exploded, last.exploded, str(last).upper()}
    for host in spellings if network.version == 4 else {f"[{each}]" for each in spellings}:
        assert field_error(f"http://{host}/", FIELDS["url"]) == patterns.NEVER_CALLED, host


@pytest.mark.parametrize("host", ["[::1", "[]", "[1.2.3.4]", "[2001:db8::g]", "[::1]x", "[::1]x:80", "u:p@[::1"])
def test_kongs_schema_refuses_what_is_no_ipv6_address(host: str) -> None:
    assert field_error(f"http://{host}/", FIELDS["url"]) == patterns.BAD_IPV6


@pytest.mark.parametrize("name", host_names.METADATA_NAMES)
def test_so_does_it_every_name_of_a_metadata_service(name: str) -> None:
    for host in (name, f"{name}.", name.upper()):
        assert field_error(f"http://{host}:80/", FIELDS["url"]) == host_names.METADATA


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PRI"])
def test_methods_that_cannot_carry_an_event(method: str) -> None:
    assert errors(custom(method=method)) == {"config": {"method": schema.NO_METHOD}}
    assert is_valid(custom(method=f"{method}S"))


@pytest.mark.parametrize("field", ["secret", "previous_secret"])
@pytest.mark.parametrize("secret", ["whsec_", "whsec_=", "whsec_a b", "whsec_MDE!", "whsec_\n"])
def test_a_secret_without_a_key(field: str, secret: str) -> None:
    config = {"secret": "other", field: secret}
    assert errors(webhook(**config))["config"][field] == schema.WHSEC_ERR


def test_base64_of_no_length_that_base64_has() -> None:
    assert errors(webhook(secret="whsec_MDEyM")) == {"config": {"secret": "after whsec_ there must be base64"}}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{vault:/env/x}", NO_REFERENCE),
        ("{vault://env/x", NO_REFERENCE),
        (" { Vault:env/x }", NO_REFERENCE),
        ("{vault://env}", NO_REFERENCE),
        ('${{ env "DECK_X" }}', UNRENDERED),
    ],
)
def test_what_looks_like_a_reference_and_is_none(text: str, error: str) -> None:
    assert errors(webhook(secret=text)) == {"config": {"secret": error}}
    assert errors(webhook(secret="s3cret", previous_secret=text)) == {"config": {"previous_secret": error}}
    assert errors(webhook(headers={"authorization": text})) == {"config": {"headers": {"authorization": error}}}


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"preset": "pagerduty"}, "required field missing: the preset pagerduty needs one"),
        ({"preset": "opsgenie"}, "required field missing: the preset opsgenie needs one"),
        ({"preset": "slack", "preset_key": "k"}, "only the presets pagerduty and opsgenie have it"),
        ({"preset_key": "k"}, "only the presets pagerduty and opsgenie have it"),
        ({"preset": "pagerduty", "preset_key": "{vault:/env/x}"}, NO_REFERENCE),
        ({"preset": "opsgenie", "preset_key": "k\u00e9y"}, PRINTABLE),
        ({"preset": "opsgenie", "preset_key": "k\ny"}, PRINTABLE),
    ],
)
def test_a_preset_has_the_key_that_it_needs(config: dict[str, Any], error: str) -> None:
    assert errors(webhook(**config)) == {"config": {"preset_key": error}}


@pytest.mark.parametrize("preset", [*schema.PRESETS, None])
def test_presets(preset: str | None) -> None:
    assert tuple(PRESETS) == schema.PRESETS, "the schema imports nothing heavy, so it has them once more"
    assert is_valid(webhook(preset=preset, preset_key="{vault://env/k}" if preset in KEYED_PRESETS else None))


def test_a_header_that_is_no_text_has_its_own_error() -> None:
    found = errors(webhook(headers={"a": None, "b": 1, "c": "{vault:/env/x}"}))
    assert found == {"config": {"headers": "a: required field missing; b: expected a string"}}


@pytest.mark.parametrize("text", ["{{ vault }}", "price ${{ data.price }}", "a {vault:x}"])
def test_a_template_looks_like_no_reference(text: str) -> None:
    assert is_valid(webhook(headers={"x": text}))


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
        assert is_valid(custom(**config))

    @pytest.mark.parametrize(
        "config", [{"body": "text"}, {"body": '{"n": {{ n }}}', "body_format": False}, {"body": '{"a": 1} x'}]
    )
    def test_a_literal_body_that_is_no_json(self, config: dict[str, Any]) -> None:
        found = errors(custom(headers={"content-type": "application/json"}, **config))
        assert found["config"]["body"].startswith("is not JSON, as its content type says: ")


def test_all_errors_of_a_config_are_reported() -> None:
    hook = custom(
        url="http://[::ffff:169.254.1.1]/",
        secret="whsec_MDEyM",
        payload={"a": "b"},
        headers={"content-type": "text/plain"},
    )
    assert errors(hook)["config"].keys() == {"url", "secret", "headers"}


def test_a_signature_header_needs_its_name_and_a_secret() -> None:
    assert errors(webhook("h", signature={"form": "hex"}, secret="s")) == {
        "config": {"signature": {"header": "required field missing"}}
    }
    assert errors(webhook("h", signature={"header": "x-sign"})) == {"config": {"signature": UNSIGNED}}
    assert is_valid(webhook("h", signature={"header": "X-Hub-Signature-256"}, secret="{vault://env/x}"))
    assert is_valid(webhook("h", signature={"header": "x-sign", "form": "t,v1"}, secret_file="/run/secrets/s"))
    assert is_valid(webhook("h", signature={"header": None, "form": None})), "as decK fills it in"
    for name in ("Host", "webhook-signature", "X-Kong-Signature", "Content-Type", "x y"):
        assert "header" in errors(webhook("h", signature={"header": name}, secret="s"))["config"]["signature"]


def test_what_is_ordered_has_one_in_flight() -> None:
    assert errors(webhook("h", ordered=True, concurrency=2)) == {"config": {"concurrency": ORDERED_IS_ONE}}
    assert is_valid(webhook("h", ordered=True, concurrency=1))
    assert is_valid(webhook("h", ordered=True))
    assert is_valid(webhook("h", ordered=False, concurrency=2))


def test_a_certificate_s_key_needs_it_and_authorities_need_verification() -> None:
    path = "/run/secrets/x"
    assert errors(webhook("h", client_key_file=path)) == {
        "config": {"client_key_file": "needs client_cert_file beside it"}
    }
    assert errors(webhook("h", ca_file=path, ssl_verify=False)) == {
        "config": {"ca_file": "has no effect where ssl_verify is false"}
    }
    for name in schema.TLS_FILES:
        found = errors(webhook("h", **{"client_cert_file": path, name: "/etc/passwd"}))["config"]
        assert "secret_file_directories" in found[name]
    assert is_valid(webhook("h", client_cert_file=path, client_key_file=path, ca_file=path))
