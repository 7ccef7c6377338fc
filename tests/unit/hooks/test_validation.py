"""Refusals in Kong's shape, and our own rules beyond Kong's."""

from typing import Any

import pytest

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks import patterns
from kong_eventhooks_plugin.hooks.definition import to_hook
from kong_eventhooks_plugin.hooks.schema import MAX_HOOKS, WHSEC_ERR, Known
from kong_eventhooks_plugin.hooks.validation import field_checks, json_values
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.hooks.validation.kong_texts import REQUIRED
from kong_eventhooks_plugin.hooks.validation.meant import MAX_UNKNOWN
from kong_eventhooks_plugin.model.hook import Origin
from tests.support.hooks import KNOWN, VALIDATION, log_hook, webhook


def refusal(hook: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        VALIDATION.hook(hook)
    return caught.value


def test_defaults_are_filled_in() -> None:
    hook = VALIDATION.hook(log_hook(tags=["a", "b", "a"], snooze=60.0))
    assert hook["enabled"] is True
    assert hook["tags"] == ["a", "b"]
    assert hook["snooze"] == 60
    assert hook["event"] is None
    assert hook["config"]["ssl_verify"] is True
    assert hook["config"]["headers_format"] is False
    assert hook["config"]["url"] is None


def test_one_error_has_kongs_body() -> None:
    hook = log_hook()
    del hook["handler"]
    assert refusal(hook).body() == {
        "code": 2,
        "name": "schema violation",
        "message": "schema violation (handler: required field missing)",
        "fields": {"handler": "required field missing"},
    }


def test_several_errors_are_counted() -> None:
    config = {"url": "http://x/", "headers": {"Host": "x"}, "ssl_verify": 1}
    error = refusal({"name": "a", "handler": "webhook", "config": config})
    assert str(error) == (
        "3 schema violations (config.headers: the header host cannot be set; "
        "config.ssl_verify: expected a boolean; source: required field missing)"
    )


@pytest.mark.parametrize(
    ("hook", "fields"),
    [
        (None, {"@entity": ["required field missing"]}),
        (5, {"@entity": ["expected a record"]}),
        ("x", {"@entity": ["expected a record"]}),
        ([1], {"@entity": ["expected a record"]}),
        (object(), {"@entity": ["a object is not allowed here"]}),
        # To Lua an empty list is an empty record.
        ([], dict.fromkeys(("name", "source", "handler"), "required field missing")),
    ],
)
def test_what_is_no_hook_at_all(hook: Any, fields: dict[str, Any]) -> None:
    assert refusal(hook).fields == fields


def test_a_webhook_needs_a_url_and_a_log_does_not() -> None:
    without = webhook()
    del without["config"]["url"]
    assert refusal(without).fields == {"config": {"url": REQUIRED}}
    assert VALIDATION.hook(log_hook())["config"]["url"] is None


def test_a_reference_stands_for_any_value() -> None:
    reference = "{vault://env/anything}"
    hook = VALIDATION.hook(webhook(url=reference, secret=reference, headers={"authorization": reference}))
    assert hook["config"]["url"] == reference


@pytest.mark.parametrize(
    ("handler", "config", "missing"),
    [
        ("webhook", {}, {"url": REQUIRED}),
        ("webhook-custom", {}, {"url": REQUIRED, "method": REQUIRED}),
        ("webhook-custom", {"url": "https://a.b/"}, {"method": REQUIRED}),
        ("webhook-custom", {"url": "https://a.b/", "method": "PUT"}, {}),
        ("lambda", {}, {"functions": REQUIRED}),
        ("lambda", {"functions": []}, {"functions": "length must be at least 1"}),
        ("lambda", {"functions": ["return print"]}, {}),
        ("log", {}, {}),
    ],
)
def test_what_a_handler_needs(handler: str, config: dict[str, Any], missing: dict[str, str]) -> None:
    hook = {**log_hook(), "handler": handler, "config": config}
    if missing:
        assert refusal(hook).fields == {"config": missing}
    else:
        assert VALIDATION.hook(hook)["handler"] == handler


SPACES = "a URL may contain spaces in templates only (webhook-custom with url_format)"


@pytest.mark.parametrize(
    ("handler", "url", "url_format", "error"),
    [
        ("webhook-custom", "https://a.b/{{ service.name }}?x={* ip *}#{% if a then %}b{% end %}{# c #}", True, None),
        ("webhook-custom", "https://a.b/{{service.name}}", False, None),
        ("webhook-custom", "https://a.b/{{ service.name }}", False, SPACES),
        ("webhook", "https://a.b/{{ service.name }}", False, SPACES),
        ("webhook-custom", "https://a.b/ {{ service.name }}", True, patterns.URL_ERR),
        ("webhook-custom", "https://a.b/{{ service.name", True, patterns.URL_ERR),
        ("webhook-custom", "https://{{ service.host }}/x", True, "never in scheme, host or port"),
        ("webhook-custom", "https://a.b:{{port}}", True, "never in scheme, host or port"),
        ("webhook-custom", "{{ scheme }}://a.b/", True, patterns.URL_ERR),
        ("webhook-custom", "{vault://env/url}", True, None),
    ],
)
def test_where_templates_may_stand_in_a_url(handler: str, url: str, url_format: bool, error: str | None) -> None:
    custom = {"method": "POST", "url_format": url_format} if handler == "webhook-custom" else {}
    hook = webhook(url=url, **custom) | {"handler": handler}
    if error is None:
        assert VALIDATION.hook(hook)["config"]["url"] == url
    else:
        assert error in str(refusal(hook))


def test_spaces_in_a_url_are_one_error() -> None:
    assert refusal(webhook(url="https://a.b/{{ c }}")).fields == {"config": {"@entity": [SPACES]}}


def test_fields_of_a_hook_and_of_its_handler_in_each_others_place() -> None:
    given = {**webhook(snooze=5), "secret": "whsec_"}
    text = "unknown field; it belongs {} config"
    assert refusal(given).fields == {
        "secret": text.format("in"),
        "config": {"snooze": text.format("beside"), "secret": WHSEC_ERR},
    }


def test_a_filter_a_level_and_a_template_language() -> None:
    hook = VALIDATION.hook(log_hook(filter="data.limit > 3", config={"level": "warn"}))
    assert (hook["filter"], hook["config"]["level"]) == ("data.limit > 3", "warn")
    plain = VALIDATION.hook(log_hook())
    assert (plain["filter"], plain["config"]["level"], plain["config"]["template"]) == (None, "notice", None)
    custom = webhook(method="POST", template="jinja2") | {"handler": "webhook-custom"}
    assert VALIDATION.hook(custom)["config"]["template"] == "jinja2"
    custom["config"]["template"] = "erb"
    assert refusal(custom).fields == {"config": {"template": "expected one of: resty, jinja2"}}
    levels = "expected one of: debug, info, notice, warn, err, crit, alert"
    assert refusal(log_hook(config={"level": "loud"})).fields == {"config": {"level": levels}}


def test_events_that_follow_a_pattern() -> None:
    entities = ("<entity>", "[a-z_]+"), ("<entity>:create", "[a-z_]+:create")
    validation = Validation(Known(sources={"crud": ("consumers",), "x": ("y",)}, patterns={"crud": entities}))
    for event in ("consumers", "my_entities", "my_entities:create", None):
        assert validation.hook(log_hook(source="crud", event=event))["event"] == event
    for event in ("consumers:made", "Consumers", "consumers:create "):
        with pytest.raises(ValidationError) as refused:
            validation.hook(log_hook(source="crud", event=event))
        text = "expected one of: <entity>, <entity>:create; did you mean consumers?"
        assert refused.value.fields == {"event": text}


def test_no_refusal_quotes_a_url_or_a_header() -> None:
    error = refusal(
        webhook(
            url="ftp://user:hunter2@example.com", headers={"x": "hunter2\n"}, secret="hunter2", secret_file="hunter2"
        )
    )
    assert "hunter2" not in str(error.body())


class TestBeyondKong:
    def test_a_name_stands_once(self) -> None:
        checked = VALIDATION.config({"hooks": [log_hook("a"), log_hook("b"), log_hook("a")]})
        assert list(checked.hooks) == [0, 1]
        assert checked.error is not None
        assert list(checked.error.leaves()) == [
            ("hooks[2].name", "'a' is the name of hooks[0] already; names are unique")
        ]

    def test_secret_and_file_exclude_each_other_also_as_a_reference(self) -> None:
        error = refusal(webhook(secret="{vault://env/x}", secret_file="/run/secrets/hook"))
        assert error.fields == {
            "config": {"@entity": ["only one or none of these fields must be set: 'secret', 'secret_file'"]}
        }

    def test_a_secret_file_is_in_a_directory_for_secrets(self) -> None:
        validation = Validation(VALIDATION.known, ("/run/secrets", "/srv/hooks/"))
        for path in ("/run/secrets/a", "/srv/hooks/b/c", "/srv/./hooks/../hooks/a"):
            assert validation.hook(webhook(secret_file=path))["config"]["secret_file"] == path
        for path in ("/run/secrets", "/run/secrets/../x", "/run/secretsx/a", "/etc/shadow", "/proc/kmsg"):
            with pytest.raises(ValidationError) as refused:
                validation.hook(webhook(secret_file=path))
            assert "(/run/secrets, /srv/hooks/)" in refused.value.fields["config"]["secret_file"]
        assert Validation(VALIDATION.known, ("/",)).hook(webhook(secret_file="/etc/shadow"))
        with pytest.raises(ValidationError, match=r"secret_file_directories \(none\)"):
            Validation(VALIDATION.known, ()).hook(webhook(secret_file="/run/secrets/a"))

    def test_an_event_is_of_its_source(self) -> None:
        validation = Validation(
            Known(sources={"rate-limiting": ("rate-limit-exceeded",), "balancer": ("health",), "crud": ()})
        )
        for source, event in (("balancer", "health"), ("crud", "consumers:create"), ("rate-limiting", None)):
            assert validation.hook(log_hook(source=source, event=event))["event"] == event
        with pytest.raises(ValidationError) as caught:
            validation.hook(log_hook(source="rate-limiting", event="health"))
        assert caught.value.fields == {"event": "expected one of: rate-limit-exceeded"}

    @pytest.mark.parametrize(
        ("payload", "path", "text"),
        [
            ({"a": ["\ud800"]}, "config.payload.a[0]", "is not valid Unicode text"),
            ({"a": {"\0": 1}}, "config.payload.a", "may not contain a NUL character"),
            ({"a": float("nan")}, "config.payload.a", "is not a finite number"),
            ({"a": 1 << 64}, "config.payload.a", "does not fit into a signed 64-bit integer"),
            ({"a": {1: 2}}, "config.payload.a", "the key '1' is not a string; put it in quotes"),
            ({"a": b"x"}, "config.payload.a", "a bytes is not allowed here"),
        ],
    )
    def test_what_json_cannot_represent_is_an_error_with_its_place(self, payload: Any, path: str, text: str) -> None:
        hook = webhook(method="POST", payload=payload) | {"handler": "webhook-custom"}
        assert refusal(hook).fields == {path: text}

    def test_a_value_that_holds_itself_ends(self) -> None:
        payload: dict[str, Any] = {}
        payload["a"] = [payload]
        assert "nested deeper than 32 levels" in str(refusal(log_hook(config={"payload": payload})))

    def test_a_value_that_grows_by_aliases_ends(self) -> None:
        payload: Any = {"a": 1}
        for _ in range(20):
            payload = {"a": payload, "b": payload}
        assert "contains more than 10,000 values" in str(refusal(log_hook(config={"payload": payload})))


def test_too_many_hooks_are_not_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    """One big hook behind 100,000 aliases is a short file and a long work."""
    monkeypatch.setattr(json_values, "cleaned", lambda *_: pytest.fail("looked at"))
    assert VALIDATION.config({"hooks": [log_hook()] * (MAX_HOOKS + 1)}).error is not None


def test_the_good_hold_beside_the_bad() -> None:
    checked = VALIDATION.config({"hooks": [log_hook("a"), 5, log_hook("b", snooze=-1), log_hook("c")]})
    assert {index: hook["name"] for index, hook in checked.hooks.items()} == {0: "a", 3: "c"}
    assert checked.error is not None
    assert checked.error.fields["hooks"] == [
        None,
        "expected a record",
        {"snooze": "value should be between 0 and 31622400; it is in seconds"},
    ]


def test_a_bad_name_does_not_take_the_name() -> None:
    checked = VALIDATION.config({"hooks": [log_hook("a", snooze=-1), log_hook("a")]})
    assert list(checked.hooks) == [1]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (None, "required field missing"),
        ("x", "expected a record"),
        ({"hooks": 5}, "hooks: expected an array"),
        ({"hooks": None}, "hooks: required field missing"),
        ({"hooks": [], "more": 1}, "more: unknown field"),
        ({"hooks": [log_hook(str(n)) for n in range(MAX_HOOKS + 1)]}, "hooks: length must be at most 1000"),
    ],
)
def test_what_is_wrong_with_the_whole(config: Any, text: str) -> None:
    checked = VALIDATION.config(config)
    assert checked.error is not None
    assert str(checked.error) == f"schema violation ({text})"


@pytest.mark.parametrize("config", [{}, [], {"hooks": []}, {"hooks": {}}])
def test_no_hooks_are_fine(config: Any) -> None:
    checked = VALIDATION.config(config)
    assert (dict(checked.hooks), checked.error) == ({}, None)


def test_luas_empty_tables() -> None:
    custom = webhook(method="POST", headers=[], payload=[]) | {"handler": "webhook-custom", "tags": {}}
    hook = VALIDATION.hook(custom)
    assert (hook["tags"], hook["config"]["headers"], hook["config"]["payload"]) == ([], {}, {})
    assert refusal({**log_hook(), "handler": "lambda", "config": {"functions": {}}}).fields == {
        "config": {"functions": "length must be at least 1"}
    }


def test_a_snooze_of_0_is_none() -> None:
    """The documented default of Kong Enterprise's API: generated clients send it."""
    assert to_hook(VALIDATION.hook(log_hook(snooze=0)), Origin("api", "api", "the API")).snooze is None


@pytest.mark.parametrize(
    ("retry", "kept"),
    [
        (None, None),
        ({}, None),
        ({"attempts": None, "schedule": None, "max_retry_after": None, "final_statuses": None}, None),
        ({"attempts": 2, "schedule": None}, {"attempts": 2}),
        ({"max_retry_after": 0}, {"max_retry_after": 0}),
    ],
)
def test_of_a_record_what_is_set_is_kept(retry: Any, kept: Any) -> None:
    """Kong and decK fill the others in with null."""
    config = to_hook(VALIDATION.hook(webhook(retry=retry)), Origin("api", "api", "the API")).config
    assert config.get("retry") == kept


def test_the_first_hook_waits_for_no_pattern_of_the_schema() -> None:
    field_checks.pattern.cache_clear()
    validation = Validation(KNOWN)
    compiled = field_checks.pattern.cache_info().misses
    validation.hook(webhook(headers={"a": "b"}, secret="s"))
    assert compiled > 100
    assert field_checks.pattern.cache_info().misses <= compiled + 1, "one is our own"


def test_of_many_unknown_names_few_are_compared() -> None:
    unknown = {f"handlr{number}": "log" for number in range(MAX_UNKNOWN)}
    errors = refusal({"source": "rate-limiting", **unknown, "nam": "a"}).fields
    assert errors["handlr0"] == "unknown field; did you mean handler?"
    assert errors["nam"] == "unknown field"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"timeout": 10_000}, "value should be between 1 and 120; it is in seconds, not milliseconds"),
        ({"timeout": 0}, "value should be between 1 and 120; it is in seconds"),
        ({"timeout": "30s"}, "expected an integer; it is in seconds: write 30"),
        ({"success": 200}, 'expected a string; write a CEL expression as text, as in "status == 200"'),
        (
            {"retry": {"max_retry_after": "1 h"}},
            {"max_retry_after": "expected an integer; it is in seconds: write 3600"},
        ),
        ({"retry": {"schedule": 60}}, {"schedule": "expected an array; write a list of seconds, as in [10, 60, 600]"}),
        (
            {"retry": {"schedule": [5, "5 min", 0, "soon"]}},
            {"schedule": [None, "expected an integer; it is in seconds: write 300",
                          "value should be between 1 and 86400; it is in seconds",
                          "expected an integer; it is in seconds"]},
        ),
        ({"retry": {"schedule": []}}, {"schedule": "length must be at least 1"}),
        ({"retry": {"attempts": 0}}, {"attempts": "value should be between 1 and 100"}),
        ({"headers": {"timeout": 5}}, "expected a string"),
        ({"headers": [{"x-a": "b"}]}, "expected a string; write name: value, without dashes"),
    ],
)  # fmt: skip
def test_a_time_says_its_unit(given: dict[str, Any], error: Any) -> None:
    (name,) = given
    assert refusal(webhook(**given)).fields == {"config": {name: error}}


def test_a_snooze_says_its_unit() -> None:
    for given, text in (
        (-1, "value should be between 0 and 31622400; it is in seconds"),
        ("5m", "expected an integer; it is in seconds: write 300"),
    ):
        assert refusal({**webhook(), "snooze": given}).fields == {"snooze": text}


def test_hooks_without_their_dash_or_name() -> None:
    hook = {"name": "a", "source": "rate-limiting", "handler": "log"}
    undashed = VALIDATION.config({"hooks": hook}).error
    assert undashed is not None
    assert undashed.fields == {"hooks": "expected an array; begin each hook with a dash: - name: ..."}
    misnamed = VALIDATION.config({"event_hooks": [hook]}).error
    assert misnamed is not None
    assert misnamed.fields == {"event_hooks": "unknown field; did you mean hooks?"}
