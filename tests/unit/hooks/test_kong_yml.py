"""kong.yml: where hooks stand, and every error with its place."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.hooks.declarations import documents, kong_yml
from kong_eventhooks_plugin.hooks.declarations.declared import Declared
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.model.scope import HookScope
from tests.support.hooks import VALIDATION, log_hook, plugin_config, read_file, webhook

SERVICE_ID = "5dd2b4b8-0b1e-5e0c-8a6e-6b8f0c7f7d11"
RENDER_FIRST = "decK has not filled this in yet; render the file first (deck file render --populate-env-vars)"


def read(text: str) -> Declared:
    return kong_yml.parse(text.encode(), "kong.yml", VALIDATION)


def descriptions(text: str) -> list[str]:
    declared = read(text)
    assert declared.hooks == ()
    return [str(error) for error in declared.errors]


def plugin(*hooks: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "event-hooks", "config": plugin_config(*hooks), **fields}


def document(**entities: Any) -> Declared:
    return kong_yml.read({"_format_version": "3.0", **entities}, "kong.yml", VALIDATION)


def scope_of(**entities: Any) -> HookScope:
    declared = document(**entities)
    assert declared.errors == ()
    return declared.hooks[0].scope


def test_a_hook_with_all_its_fields() -> None:
    declared = read("""
        _format_version: "3.0"
        plugins:
        - name: event-hooks
          config:
            hooks:
            - name: slack
              source: rate-limiting-advanced
              event: rate-limit-exceeded
              handler: webhook
              on_change: true
              snooze: 60
              filter: data.limit > 3
              tags: [ops, slack, ops]
              handler_config:
                url: https://example.com/hook
                headers: {authorization: "{vault://env/slack-token}"}
                secret: "{vault://env/slack-secret}"
    """)
    assert declared.errors == ()
    [hook] = declared.hooks
    assert hook == Hook(
        id=hook.id,
        name="slack",
        source="rate-limiting-advanced",
        event="rate-limit-exceeded",
        handler="webhook",
        on_change=True,
        snooze=60,
        filter="data.limit > 3",
        tags=("ops", "slack"),
        config={
            "url": "https://example.com/hook",
            "headers": {"authorization": "{vault://env/slack-token}"},
            "secret": "{vault://env/slack-secret}",
            "ssl_verify": True,
        },
        origin=Origin("file", "kong.yml", "kong.yml: plugins[0].config.hooks[0]"),
    )


class TestScopes:
    def test_at_the_top_a_hook_is_global(self) -> None:
        assert scope_of(plugins=[plugin(log_hook())]) == HookScope()

    @pytest.mark.parametrize(
        ("entities", "scope"),
        [
            ({"services": [{"name": "s", "plugins": [plugin(log_hook())]}]}, HookScope(service="s")),
            (
                {"services": [{"name": "s", "id": SERVICE_ID, "plugins": [plugin(log_hook())]}]},
                HookScope(service=SERVICE_ID),
            ),
            (
                {"services": [{"name": "s", "routes": [{"name": "r", "plugins": [plugin(log_hook())]}]}]},
                HookScope(route="r"),
            ),
            ({"routes": [{"name": "r", "plugins": [plugin(log_hook())]}]}, HookScope(route="r")),
            ({"consumers": [{"username": "joe", "plugins": [plugin(log_hook())]}]}, HookScope(consumer="joe")),
            (
                {"routes": [{"name": "r", "plugins": [plugin(log_hook(), consumer="joe")]}]},
                HookScope(route="r", consumer="joe"),
            ),
            ({"services": [{"name": "s", "plugins": [plugin(log_hook(), service="s")]}]}, HookScope(service="s")),
        ],
    )
    def test_nested(self, entities: Any, scope: HookScope) -> None:
        assert scope_of(**entities) == scope

    def test_a_consumer_with_a_custom_id_alone_could_be_mistaken_for_another(self) -> None:
        declared = document(consumers=[{"custom_id": "joe", "plugins": [plugin(log_hook())]}])
        assert [str(error) for error in declared.errors] == [
            "kong.yml: consumers[0]: has event-hooks, so it needs a username or an id"
        ]

    @pytest.mark.parametrize(
        ("reference", "scope"),
        [
            ({"service": "s"}, HookScope(service="s")),
            ({"service": {"name": "s"}}, HookScope(service="s")),
            ({"service": {"id": SERVICE_ID, "name": "s"}}, HookScope(service=SERVICE_ID)),
            ({"route": "r", "service": None}, HookScope(route="r")),
            ({"consumer": "joe"}, HookScope(consumer="joe")),
            ({"consumer": {"username": "joe"}}, HookScope(consumer="joe")),
            ({"service": "s", "consumer": "joe"}, HookScope(service="s", consumer="joe")),
        ],
    )
    def test_by_reference(self, reference: Any, scope: HookScope) -> None:
        assert scope_of(plugins=[plugin(log_hook(), **reference)]) == scope

    @pytest.mark.parametrize(
        ("entities", "error"),
        [
            (
                {"consumer_groups": [{"name": "g", "plugins": [plugin(log_hook())]}]},
                "consumer_groups[0].plugins[0]: hooks cannot be declared on a consumer group",
            ),
            (
                {"plugins": [plugin(log_hook(), consumer_group="g")]},
                "plugins[0].consumer_group: hooks cannot be declared on a consumer group",
            ),
            (
                {"services": [{"url": "http://a", "plugins": [plugin(log_hook())]}]},
                "services[0]: has event-hooks, so it needs a name",
            ),
            (
                {"consumers": [{"plugins": [plugin(log_hook())]}]},
                "consumers[0]: has event-hooks, so it needs a username",
            ),
            (
                {"services": [{"name": "s", "plugins": [plugin(log_hook(), service="t")]}]},
                "services[0].plugins[0].service: the plugin stands under another service",
            ),
            (
                {"plugins": [plugin(log_hook(), service=5)]},
                "plugins[0].service: expected the service's name or id, as a string",
            ),
            (
                {"plugins": [plugin(log_hook(), route={})]},
                "plugins[0].route: expected the route's name or id, as a string",
            ),
            (
                {"plugins": [plugin(log_hook(), consumer="\ud800")]},
                "plugins[0].consumer: expected the consumer's name or id, as a string",
            ),
        ],
    )
    def test_what_is_none(self, entities: Any, error: str) -> None:
        [found] = document(**entities).errors
        assert str(found).startswith(f"kong.yml: {error}")


def test_a_disabled_plugin_disables_its_hooks() -> None:
    declared = document(plugins=[plugin(log_hook("a"), log_hook("b", enabled=True), enabled=False)])
    assert [hook.enabled for hook in declared.hooks] == [False, False]
    assert not document(plugins=[plugin(log_hook("a", enabled=False))]).hooks[0].enabled


@pytest.mark.parametrize(("value", "text"), [(1, "expected a boolean"), (None, "required field missing")])
def test_enabled_is_a_boolean(value: Any, text: str) -> None:
    assert [str(error) for error in document(plugins=[plugin(enabled=value)]).errors] == [
        f"kong.yml: plugins[0].enabled: {text}"
    ]


def test_every_error_of_a_file_is_reported_in_order() -> None:
    declared = read("""
        _format_version: 3.0
        services:
        - name: demo
          routes:
          - name: r0
          - name: r1
            plugins:
            - {name: rate-limiting, config: {minute: 1}}
            - name: event-hooks
              config:
                hooks:
                - {name: fine, source: rate-limiting, handler: log}
                - {name: a b, source: rate-limiting, handler: webhook,
                   handler_config: {url: ftp://x, ssl_verify: maybe}}
        plugins:
        - name: event-hooks-crud
        - name: event-hooks
          config: {hooks: [{name: fine, source: crud, handler: carrier-pigeon}], more: 1}
        - name: event-hooks
          config: {hooks: [{name: fine, source: rate-limiting, handler: log}]}
    """)
    assert declared.hooks == ()
    nested = "services[0].routes[1].plugins[1].config.hooks"
    expected = [
        ("_format_version", 'expected a string; put it in quotes: _format_version: "3.0"'),
        (f"{nested}[1].handler_config.ssl_verify", "expected a boolean"),
        (f"{nested}[1].handler_config.url", "expected a URL that begins with http:// or https://"),
        (f"{nested}[1].name", "expected 1 to 128 letters, digits, '.', '_', '~' or '-'"),
        ("plugins[0]", "event-hooks-crud belongs on the route that leads to Kong's Admin API and nowhere else"),
        ("plugins[1].config.hooks[0].handler", "expected one of: webhook, webhook-custom, log, lambda"),
        (
            "plugins[1].config.hooks[0].source",
            "expected one of: rate-limiting, response-ratelimiting, rate-limiting-adv",
        ),
        ("plugins[1].config.more", "unknown field"),
        ("plugins[1].config.hooks[0].name", f"'fine' is the name of {nested}[0] already; names are unique"),
        ("plugins[2].config.hooks[0].name", f"'fine' is the name of {nested}[0] already; names are unique"),
    ]
    assert [error.path for error in declared.errors] == [path for path, _ in expected]
    for error, (_, text) in zip(declared.errors, expected, strict=True):
        assert error.message.startswith(text)


@pytest.mark.parametrize("version", ["1.1", "2.1", "3.0"])
def test_format_versions(version: str) -> None:
    assert read(f'_format_version: "{version}"').errors == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "expected a mapping that begins with _format_version"),
        ("[]", "expected a mapping that begins with _format_version"),
        ("plugins: []", "_format_version: required field missing"),
        ('_format_version: "4.0"', "_format_version: expected one of: 1.1, 2.1, 3.0"),
        ('_format_version: "3.0"\nplugins: {a: b}', "plugins: expected an array"),
        ('_format_version: "3.0"\nservices: [5]', "services[0]: expected a record"),
        ('_format_version: "3.0"\nservices: [{name: a, plugins: x}]', "services[0].plugins: expected an array"),
        ('_format_version: "3.0"\nplugins: [', "line 3, column 1: did not find expected node content"),
        (
            '_format_version: "3.0"\nplugins: []\nplugins: []',
            "line 3, column 1: the key 'plugins' is repeated in one mapping",
        ),
        ('_format_version: "3.0"\nplugins: [{name: event-hooks, config: 5}]', "plugins[0].config: expected a record"),
        (
            '_format_version: "3.0"\nplugins: [{name: event-hooks, config: {hooks: 5}}]',
            "plugins[0].config.hooks: expected an array",
        ),
        (
            '_format_version: "3.0"\nplugins: [{name: event-hooks, config: {hooks: [{name: !!binary aGk=}]}}]',
            "plugins[0].config.hooks[0].name: a value with the tag tag:yaml.org,2002:binary is not allowed here",
        ),
    ],
)
def test_what_is_wrong_with_the_whole(text: str, error: str) -> None:
    assert f"kong.yml: {error}" in descriptions(text)


class TestLeftAlone:
    def test_other_entities_and_plugins(self) -> None:
        declared = read("""
            _format_version: "3.0"
            _info: {select_tags: [team-a], defaults: {service: {retries: 1}}}
            _comment: "${{ this is a comment }}"
            _transform: false
            _workspace: default
            _ignore: [x]
            vaults: [{prefix: my-env, name: env}]
            services:
            - name: demo
              url: '${{ env "DECK_URL" }}'
              plugins:
              - {name: rate-limiting, config: {minute: '${{ env "DECK_MINUTE" }}', weird: !!binary aGk=}}
              - {name: request-termination, enabled: 5, service: [], config: []}
            upstreams: not even a list
            plugins:
            - name: event-hooks
              instance_name: hooks
              _comment: mine
              protocols: [http, https]
              tags: [team-a]
              config: {hooks: [{name: a, source: rate-limiting, handler: log}]}
        """)
        assert declared.errors == ()
        assert [hook.name for hook in declared.hooks] == ["a"]

    def test_null_lists(self) -> None:
        assert document(services=None, plugins={}, routes=[]).errors == ()

    @pytest.mark.parametrize("config", [{}, {"config": None}, {"config": {}}])
    def test_a_plugin_without_hooks(self, config: Any) -> None:
        assert document(plugins=[{"name": "event-hooks", **config}]) == Declared()


class TestDeck:
    def test_an_unrendered_value_is_refused_by_its_path(self) -> None:
        assert descriptions("""
            _format_version: "3.0"
            services:
            - name: '${{ env "DECK_SERVICE" }}'
              plugins:
              - name: event-hooks
                config:
                  hooks:
                  - name: a
                    source: rate-limiting
                    handler: webhook
                    handler_config:
                      url: ${{ env "DECK_URL" }}
                      headers: {x-a: 'Bearer ${{ env "DECK_TOKEN" | toString }}', '${{ env "DECK_B" }}': c}
        """) == [
            f"kong.yml: {path}: {RENDER_FIRST}"
            for path in (
                "services[0].name",
                "services[0].plugins[0].config.hooks[0].handler_config.url",
                "services[0].plugins[0].config.hooks[0].handler_config.headers.x-a",
                "services[0].plugins[0].config.hooks[0].handler_config.headers",
            )
        ]

    def test_an_unrendered_value_in_what_plugins_share_is_reported_once(self) -> None:
        shared = log_hook("a") | {"handler_config": {"secret": '${{ env "DECK_SECRET" }}'}}
        sharing = {"name": "event-hooks", "_config": "ours"}
        declared = document(_plugin_configs={"ours": {"hooks": [shared]}}, plugins=[sharing, sharing])
        [error] = [error for error in declared.errors if error.message == RENDER_FIRST]
        assert error.path == "_plugin_configs.ours.hooks[0].handler_config.secret"
        assert error.message == RENDER_FIRST

    def test_shared_configuration(self) -> None:
        declared = document(
            _plugin_configs={"ours": {"hooks": [log_hook("shared")]}},
            plugins=[{"name": "event-hooks", "_config": "ours"}],
        )
        assert [hook.name for hook in declared.hooks] == ["shared"]

    @pytest.mark.parametrize("shared", [5, "other", [], {}])
    def test_shared_configuration_that_is_not_there(self, shared: Any) -> None:
        declared = document(_plugin_configs={"ours": {}}, plugins=[{"name": "event-hooks", "_config": shared}])
        assert [str(error) for error in declared.errors] == [
            "kong.yml: plugins[0]._config: names nothing under _plugin_configs"
        ]


class TestCrudPlugin:
    @pytest.mark.parametrize(
        "entities",
        [
            {"routes": [{"name": "admin", "plugins": [{"name": "event-hooks-crud"}]}]},
            {"services": [{"name": "s", "routes": [{"plugins": [{"name": "event-hooks-crud"}]}]}]},
            {"plugins": [{"name": "event-hooks-crud", "route": "admin"}]},
        ],
    )
    def test_on_a_route(self, entities: Any) -> None:
        assert document(**entities) == Declared()

    @pytest.mark.parametrize(
        ("entities", "path"),
        [
            ({"plugins": [{"name": "event-hooks-crud"}]}, "plugins[0]"),
            ({"plugins": [{"name": "event-hooks-crud", "service": "s", "route": None}]}, "plugins[0]"),
            ({"services": [{"name": "s", "plugins": [{"name": "event-hooks-crud"}]}]}, "services[0].plugins[0]"),
            ({"consumers": [{"username": "j", "plugins": [{"name": "event-hooks-crud"}]}]}, "consumers[0].plugins[0]"),
        ],
    )
    def test_anywhere_else(self, entities: Any, path: str) -> None:
        [error] = document(**entities).errors
        assert error.path == path

    @pytest.mark.parametrize(
        ("config", "errors"),
        [
            ({}, []),
            (None, []),
            ([], []),
            ({"hooks": []}, ["plugins[0].config.hooks: unknown field; event-hooks-crud takes no configuration"]),
            (5, ["plugins[0].config: expected a record"]),
        ],
    )
    def test_it_takes_no_configuration(self, config: Any, errors: list[str]) -> None:
        descriptions = document(plugins=[{"name": "event-hooks-crud", "route": "admin", "config": config}]).errors
        assert [str(error).removeprefix("kong.yml: ").partition(",")[0] for error in descriptions] == errors


class TestLimits:
    def test_entities(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kong_yml, "MAX_ENTITIES", 10)
        assert document(services=[{"name": "s"}] * 10).errors == ()
        [error] = document(services=[{"name": "s"}] * 11).errors
        assert error.message == "the file has more than 10 entities"

    def test_aliases_do_not_multiply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """100 services, each with the same 100 routes: 300 lines that stand for ten thousand entities."""
        monkeypatch.setattr(kong_yml, "MAX_ENTITIES", 5_000)
        route = {"name": "r"}
        [error] = document(services=[{"name": "s", "routes": [route] * 100}] * 100).errors
        assert error.message == "the file has more than 5,000 entities"

    def test_values_of_our_plugins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kong_yml, "MAX_VALUES", 1_000)
        one = plugin(*[log_hook(f"h{n}", tags=["a"] * 10) for n in range(30)])
        assert document(plugins=[one]).errors == ()
        error = document(plugins=[one] * 2).errors[-1]
        assert str(error) == "kong.yml: plugins[1]: event-hooks plugins contain more than 1,000 values"

    def test_a_plugin_that_holds_itself(self) -> None:
        entry = plugin(log_hook())
        entry["config"]["hooks"].append(entry)
        entry["more"] = entry
        [error] = document(plugins=[entry]).errors
        assert error.path.startswith("plugins[0].config.hooks[1].")
        assert error.message == "nested deeper than 32 levels"

    def test_faults(self) -> None:
        errors = document(plugins=[plugin(*[5] * 1000), plugin(*[5] * 1000)]).errors
        assert len(errors) == 1000
        assert errors[-1].message == "and 1,001 more"


class TestFiles:
    def test_json(self, tmp_path: Path) -> None:
        path = tmp_path / "kong.json"
        path.write_text(json.dumps({"_format_version": "3.0", "plugins": [plugin(webhook())]}))
        declared = read_file(str(path))
        assert declared.hooks[0].origin == Origin("file", str(path), f"{path}: plugins[0].config.hooks[0]")

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ('{"a": 1,\n "a": 2}', "the key 'a' is repeated in one object"),
            ('{"a":\n x}', "line 2, column 2: Expecting value"),
            ('{"a": NaN}', "NaN is not JSON"),
            ("[" * 100_000, "is nested too deep"),
            ("", "line 1, column 1: Expecting value"),
        ],
    )
    def test_json_that_is_none(self, text: str, error: str) -> None:
        [found] = kong_yml.parse(text.encode(), "kong.json", VALIDATION).errors
        assert str(found) == f"kong.json: {error}"

    def test_json_that_is_not_utf_8(self) -> None:
        assert kong_yml.parse(b'{"a": "\xff"}', "kong.json", VALIDATION).errors

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        path = str(tmp_path / "none.yml")
        assert [str(error) for error in read_file(path).errors] == [
            f"{path}: cannot be read: No such file or directory"
        ]

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (str(tmp_path), str(tmp_path / "pipe"), "/dev/zero"):
            [error] = read_file(path).errors
            assert error.message == "cannot be read: it is not a regular file"
        [error] = read_file("a\0b").errors
        assert error.message.startswith("cannot be read")

    def test_a_file_that_is_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(documents, "MAX_BYTES", 1 << 20)
        path = tmp_path / "kong.yml"
        path.write_bytes(b"#" * (1 << 20) + b"\n")
        [error] = read_file(str(path)).errors
        assert error.message == "cannot be read: it is larger than 1,048,576 bytes"
