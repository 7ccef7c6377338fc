"""``check`` finds everything in one run, and names what was probably meant."""

import re
from pathlib import Path
from textwrap import indent

import pytest
from click.testing import CliRunner, Result

from kong_eventhooks_plugin.cli import cli

HEAD = '_format_version: "3.0"\n'


def check(tmp_path: Path, text: str, *more: str) -> Result:
    names = []
    for number, each in enumerate((text, *more)):
        file = tmp_path / f"{number}.yml"
        file.write_text(HEAD + each)
        names.append(str(file))
    return CliRunner().invoke(cli, ["check", *names])


def found(tmp_path: Path, text: str) -> list[str]:
    ended = check(tmp_path, text)
    assert ended.exit_code == 1, ended.output
    return [line.removeprefix(f"{tmp_path}/0.yml: ") for line in ended.stdout.splitlines()]


HOOKS = "  config: {hooks: [{name: a, source: custom, handler: log}]}\n"


@pytest.mark.parametrize("name", ["event-hook", "eventhooks", "event_hooks", "events-hooks", "event-hoks"])
def test_a_plugin_with_hooks_and_another_name(tmp_path: Path, name: str) -> None:
    (line,) = found(tmp_path, f"plugins:\n- name: {name}\n{HOOKS}")
    assert line == f"plugins[0].name: '{name}' is another plugin, so its hooks are not read; did you mean event-hooks?"


def test_the_crud_plugin_with_another_name_is_a_warning(tmp_path: Path) -> None:
    ended = check(tmp_path, "routes:\n- name: a\n  plugins:\n  - name: event-hook-crud\n")
    assert (ended.exit_code, ended.stdout) == (0, "1 file checked: no hooks, no errors\n")
    assert ended.stderr == (
        f"warning: {tmp_path}/0.yml: routes[0].plugins[0].name: 'event-hook-crud' is another plugin; "
        "did you mean event-hooks-crud?\n"
    )


@pytest.mark.parametrize("name", ["event-router", "webhooks", "hooks", "rate-limiting", "events"])
def test_a_plugin_with_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    ended = check(tmp_path, f"plugins:\n- name: {name}\n{HOOKS}")
    assert (ended.exit_code, ended.stderr) == (0, "")


def test_keys_near_ours(tmp_path: Path) -> None:
    text = """
plugins:
- name: event-hooks
  confg: {hooks: []}
- name: event-hooks
  config: {hook: []}
- name: event-hooks
  config:
    hooks:
    - {name: a, source: custom, handler: log, snoze: 5, colour: red}
    - {nam: b, sorce: custom, handler: webhook, handler_confg: {url: "http://x"}}
    - {name: c, source: custom, handler: webhook, handler_config: {ulr: "http://x", secrets: x}}
"""
    assert found(tmp_path, text) == [
        "plugins[0].confg: unknown field; did you mean config?",
        "plugins[1].config.hook: unknown field; did you mean hooks?",
        "plugins[2].config.hooks[0].colour: unknown field",
        "plugins[2].config.hooks[0].snoze: unknown field; did you mean snooze?",
        "plugins[2].config.hooks[1].handler_confg: unknown field; did you mean handler_config?",
        "plugins[2].config.hooks[1].nam: unknown field; did you mean name?",
        "plugins[2].config.hooks[1].sorce: unknown field; did you mean source?",
        "plugins[2].config.hooks[2].handler_config.secrets: unknown field; did you mean secret?",
        "plugins[2].config.hooks[2].handler_config.ulr: unknown field; did you mean url?",
    ]


def test_a_plugins_keys_near_name_and_beside_config(tmp_path: Path) -> None:
    text = """
plugins:
- nmae: event-hooks
  config: {hooks: [{name: a, source: custom, handler: logg}]}
- name: event-hooks
  conifg: {hooks: []}
  config: {hooks: [{name: b, source: custom, handler: logg}]}
- name: event-hooks
  _confg: shared
"""
    assert [re.sub("expected one of: .*;", "...;", line) for line in found(tmp_path, text)] == [
        "plugins[0].config.hooks[0].handler: ...; did you mean log?",
        "plugins[0].nmae: unknown field; did you mean name?",
        "plugins[1].config.hooks[0].handler: ...; did you mean log?",
        "plugins[1].conifg: unknown field",
        "plugins[2]._confg: unknown field; did you mean _config?",
        "plugins[2]._config: names nothing under _plugin_configs",
    ]


def test_a_plugins_keys_that_no_kong_has_are_a_warning(tmp_path: Path) -> None:
    """Not an error: a newer Kong may have one of that name."""
    ended = check(tmp_path, f"plugins:\n- name: event-hooks\n  _comment: ours\n  _colour: red\n{HOOKS}")
    assert (ended.exit_code, ended.stdout) == (0, "1 file checked: 1 hook, no errors\n")
    assert ended.stderr == (
        f"warning: {tmp_path}/0.yml: plugins[0]._colour: unknown field; a plugin has none of this name, and Kong 3.9 "
        "and decK refuse the file\n"
    )


def test_a_template_languages_name_hides_no_error_of_its_texts(tmp_path: Path) -> None:
    config = "url: 'http://x', method: POST, template: jinja, headers: {content-type: text/plain}, payload: {a: '{{ b'}"
    hook = f"{{name: a, source: custom, handler: webhook-custom, handler_config: {{{config}}}}}"
    lines = found(tmp_path, f"plugins: [{{name: event-hooks, config: {{hooks: [{hook}]}}}}]")
    assert [line.removeprefix("plugins[0].config.hooks[0].handler_config.").partition(": ")[0] for line in lines] == [
        "headers.content-type", "payload.a", "template",
    ]  # fmt: skip


def test_lists_of_plugins_near_ours(tmp_path: Path) -> None:
    text = "plugin:\n- name: event-hooks\nservices:\n- name: s\n  plguins: []\n"
    assert found(tmp_path, text) == [
        "plugin: unknown field; did you mean plugins?",
        "services[0].plguins: unknown field; did you mean plugins?",
    ]


def test_decks_own_keys_and_kongs_are_not_near_ours(tmp_path: Path) -> None:
    text = """
_plugin_configs: {x: {hooks: []}}
_info: {select_tags: [a]}
consumer_group_plugins: []
plugins:
- {name: event-hooks, _config: x, instance_name: a, protocols: [http], tags: [a], ordering: null, _ignore: x}
"""
    ended = check(tmp_path, text)
    assert (ended.exit_code, ended.stderr) == (0, "")


def test_everything_in_one_run(tmp_path: Path) -> None:
    """Also of a plugin that has something to fill in, and what only compiling finds."""
    text = """
plugins:
- name: event-hooks
  config:
    hooks:
    - name: a
      source: custom
      handler: webhook
      snooze: -1
      handler_config: {url: '${{ env "DECK_URL" }}', headers: {x: '${{ env "DECK_X" }}'}}
    - {name: b, source: rate-limiting, event: nope, handler: log, snooze: -1, filter: "data.x >"}
    - {name: c, source: custom, handler: log, filter: "data.x >"}
    - {name: d, source: custom, handler: webhook,
       tags: ["a,b"], handler_config: {url: "http://x:99999", secret: whsec_}}
- name: event-hooks
  service: s
  enabled: '${{ env "DECK_ON" }}'
  config:
    hooks:
    - {name: e, source: custom, handler: log, filter: "data.y >"}
"""
    unfilled = "decK has not filled this in yet; render the file first (deck file render --populate-env-vars)"
    lines = found(tmp_path, text)
    one_of = [line for line in lines if ".event: expected one of: rate-limit-exceeded" in line]
    assert len(one_of) == 1
    assert [line.partition(": ")[0] for line in lines] == [
        "plugins[0].config.hooks[0].handler_config.headers.x",
        "plugins[0].config.hooks[0].handler_config.url",
        "plugins[0].config.hooks[0].snooze",
        "plugins[0].config.hooks[1].event",
        "plugins[0].config.hooks[1].filter",
        "plugins[0].config.hooks[1].snooze",
        "plugins[0].config.hooks[2].filter",
        "plugins[0].config.hooks[3].handler_config.secret",
        "plugins[0].config.hooks[3].handler_config.url",
        "plugins[0].config.hooks[3].tags[0]",
        "plugins[1].config.hooks[0].filter",
        "plugins[1].enabled",
    ]
    assert [line.partition(": ")[2] for line in lines if unfilled in line] == [unfilled] * 3


def test_repeated_keys_beside_other_errors(tmp_path: Path) -> None:
    hook = "{name: a, snooze: -1, source: custom, handler: log}"
    text = f"x: 1\nx: 2\nplugins:\n- name: event-hooks\n  config: {{hooks: [], hooks: [{hook}]}}\n"
    assert found(tmp_path, text) == [
        "line 3, column 1: the key 'x' is repeated in one mapping",
        "line 6, column 23: the key 'hooks' is repeated in one mapping",
        "plugins[0].config.hooks[0].snooze: value should be between 0 and 31622400; it is in seconds",
    ]


def test_how_many_hooks_were_read(tmp_path: Path) -> None:
    hooks = "plugins:\n- name: event-hooks\n  config: {hooks: [%s]}\n"
    one, bad = "{name: a, source: custom, handler: log}", "{name: b}"
    assert check(tmp_path, hooks % one, hooks % f"{one}, {one.replace('a,', 'c,')}").stdout == (
        "2 files checked: 3 hooks, no errors\n"
    )
    assert check(tmp_path, hooks % one).stdout == "1 file checked: 1 hook, no errors\n"
    assert check(tmp_path, "services: []\n").stdout == "1 file checked: no hooks, no errors\n"
    ended = check(tmp_path, hooks % f"{one}, {bad}")
    assert ended.stderr == "1 file checked: 2 hooks, 2 errors\n"
    assert len(ended.stdout.splitlines()) == 2


def test_warnings_beside_errors(tmp_path: Path) -> None:
    text = """
plugins:
- name: event-hooks
  config:
    hooks:
    - name: a
      source: custom
      handler: webhook-custom
      handler_config: {method: POST, url: "http://x", payload: {a: []}}
    - {name: b}
"""
    ended = check(tmp_path, text)
    assert ended.exit_code == 1
    assert "warning: " in ended.stderr
    assert "empty list" in ended.stderr


def test_all_faults_of_each_hook(tmp_path: Path) -> None:
    """None hides another: not a wrong name or choice, not a value that is no JSON, nor what Kong finds first."""
    text = """
plugins:
- name: event-hook
  confg:
    hook:
    - {name: a, source: rate-limitng, event: rate-limit-exceded, handler: webhok, handler_config: {urll: "ftp://x"}}
    - name: a
      source: crud
      event: consumer
      handler: webhook-custom
      filter: "data.x >"
      handler_config:
        url: ftp://x
        method: post
        payload: {text: "{{ a ", n: .nan, true: x}
        headers: {Host: a, te: b, content-type: text/plain}
    - name: b
      source: custom
      handler: lambda
      level: warning
      handler_config: {functions: ["return 5 +", 7, "return print"], url: http://x/}
    - {name: c, source: custom, handler: log, config: {level: loud}, snooze: 1e9}
- name: event-hooks
  hooks:
  - {name: c, source: custom, handler: log, enabled: maybe}
"""
    ended = check(tmp_path, text)
    lines = [line.removeprefix(f"{tmp_path}/0.yml: plugins") for line in ended.stdout.splitlines()]
    short = [re.sub("expected one of: .*;", "...;", line)[:90] for line in lines]
    assert short == [
        line[:90]
        for line in (
            "[0].confg: unknown field; did you mean config?",
            "[0].config.hook: unknown field; did you mean hooks?",
            "[0].config.hooks[0].event: ...; did you mean rate-limit-exceeded?",
            "[0].config.hooks[0].handler: ...; did you mean webhook?",
            "[0].config.hooks[0].handler_config.url: expected a URL that begins with http:// or https:// and",
            "[0].config.hooks[0].handler_config.urll: unknown field; did you mean url?",
            "[0].config.hooks[0].source: ...; did you mean rate-limiting?",
            "[0].config.hooks[1].filter: line 1, column 9: Syntax error: mismatched input '<EOF>'",
            "[0].config.hooks[1].handler_config.headers.Host: the header host cannot be set",
            "[0].config.hooks[1].handler_config.headers.te: the header te cannot be set",
            "[0].config.hooks[1].handler_config.method: expected an HTTP method in capital letters; did you mean POST?",
            "[0].config.hooks[1].handler_config.payload: the key 'true' is not a string; put it in quotes",
            "[0].config.hooks[1].handler_config.payload.n: is not a finite number",
            "[0].config.hooks[1].handler_config.payload.text: line 1, column 1: {{ is not closed by }}",
            "[0].config.hooks[1].handler_config.url: expected a URL that begins with http:// or https:// and",
            "[0].config.hooks[1].name: 'a' is the name of hooks[0] already; names are unique",
            "[0].config.hooks[2].handler_config.functions[0]: line 1, column 1: unexpected symbol near '<eof>'",
            "[0].config.hooks[2].handler_config.functions[1]: expected a string",
            "[0].config.hooks[2].handler_config.functions[2]: line 1, column 1: it must return a function, and returns",
            "[0].config.hooks[2].handler_config.level: ...; did you mean warn?",
            "[0].config.hooks[2].handler_config.url: unknown field; only webhook and webhook-custom have it",
            "[0].config.hooks[2].level: unknown field; it belongs in handler_config",
            "[0].config.hooks[3].config: unknown field; in a declared hook its name is handler_config",
            "[0].config.hooks[3].handler_config.level: expected one of: debug, info, notice, warn, err, crit, alert",
            "[0].config.hooks[3].snooze: value should be between 0 and 31622400; it is in seconds",
            "[0].name: 'event-hook' is another plugin, so its hooks are not read; did you mean event-hooks?",
            "[1].config.hooks[0].enabled: expected a boolean",
            "[1].config.hooks[0].name: 'c' is the name of plugins[0].config.hooks[3] already; names are unique",
            "[1].hooks: unknown field; hooks belong in the plugin's config",
        )
    ]
    assert "hooks[1].event: Kong is not known to have an entity consumer (did you mean consumers?)" in ended.stderr
    assert "1 file checked: 5 hooks, 29 errors" in ended.stderr


def test_a_method_near_one_that_http_defines(tmp_path: Path) -> None:
    config = "source: custom, handler: webhook-custom, handler_config: {url: 'http://x', method"
    hooks = f"- {{name: a, {config}: POTS}}}}\n- {{name: b, {config}: PURGE}}}}\n"
    ended = check(tmp_path, "plugins:\n- name: event-hooks\n  config:\n    hooks:\n" + indent(hooks, "    "))
    path = "plugins[0].config.hooks[0].handler_config.method"
    warning = f"warning: {tmp_path}/0.yml: {path}: HTTP defines no method POTS; did you mean POST?\n"
    assert (ended.exit_code, ended.stderr) == (0, warning)


def test_hooks_that_are_no_plugins(tmp_path: Path) -> None:
    ended = check(tmp_path, "event_hooks: [{source: custom, handler: log}]\n")
    assert ended.exit_code == 0
    assert "hooks belong in the config of a plugin event-hooks" in ended.stderr


def test_what_is_unrendered_has_no_error_of_its_code(tmp_path: Path) -> None:
    unfilled = """'${{ env "DECK_X" }}'"""
    hook = f"{{name: a, source: custom, handler: log, filter: {unfilled}}}"
    text = f"plugins: [{{name: event-hooks, config: {{hooks: [{hook}]}}}}]"
    (line,) = found(tmp_path, text)
    assert "decK has not filled this in yet" in line


def test_a_command_near_ours() -> None:
    ended = CliRunner().invoke(cli, ["chek", "kong.yml"])
    assert ended.exit_code == 2
    assert ended.output.endswith("Error: No such command 'chek'; did you mean check?\n")


def test_a_key_of_the_file_is_no_line_of_its_own(tmp_path: Path) -> None:
    hook = '{"a\\nb\\e[2J": 1, name: a, source: custom, handler: log}'
    (line,) = found(tmp_path, f"plugins: [{{name: event-hooks, config: {{hooks: [{hook}]}}}}]")
    assert line == "plugins[0].config.hooks[0].a\\nb\\x1b[2J: unknown field"


def test_code_of_a_handler_and_in_a_language_that_were_meant(tmp_path: Path) -> None:
    text = """
plugins:
- name: event-hooks
  config:
    hooks:
    - {name: a, source: custom, handler: lamda, handler_config: {functions: ["return 5 +"]}}
    - name: b
      source: custom
      handler: webhook-custom
      handler_config: {url: "http://x", method: POST, template: jinja, body: "{% if %}"}
"""
    lines = [line.removeprefix("plugins[0].config.") for line in found(tmp_path, text)]
    assert lines == [
        "hooks[0].handler: expected one of: webhook, webhook-custom, log, lambda; did you mean lambda?",
        "hooks[0].handler_config.functions[0]: line 1, column 1: unexpected symbol near '<eof>'",
        "hooks[1].handler_config.body: line 1, column 1: Expected an expression, got 'end of statement block'",
        "hooks[1].handler_config.template: expected one of: resty, jinja2; did you mean jinja2?",
    ]
