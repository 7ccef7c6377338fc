"""The commands that call the API: their options, the calls that they make, and how they end."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from kong_eventhooks_plugin.api.client.rest import ApiTarget
from kong_eventhooks_plugin.cli import api_calls, cli, events
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.settings import GROUPS, described

HOOK = {"id": "i", "name": "a", "config": {}}
ANSWERS = {"sources": {"data": {"a": {}}}, "ping": {},
           "test": {"result": {"status": 200, "headers": {}, "body": ""}, "error": None},
           "replay": {"state": "pending", "replayed": 0, "refused": None, "more": False},
           "events": {"id": "e", "duplicate": False, "fired": [], "held_back": [], "undecided": False}}  # fmt: skip


WHOLE = f"{'e' * 36}_{'f' * 36}"


class Call(NamedTuple):
    target: ApiTarget
    path: tuple[str, ...]
    body: dict[str, Any]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What each command calls."""
    made: list[Call] = []

    class Client:
        def __init__(self, target: ApiTarget) -> None:
            self.target = target

        def call(self, *path: str, **body: Any) -> Any:
            made.append(Call(self.target, path, body))
            return next((answer for part, answer in ANSWERS.items() if part in path), HOOK)

    @contextmanager
    def client(target: ApiTarget) -> Iterator[Client]:
        yield Client(target)

    monkeypatch.setattr(api_calls, "RestClient", client)
    monkeypatch.delenv("KONG_EVENTHOOKS_LISTEN", raising=False)
    return made


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=environment)


HERE = ApiTarget()
RANGE = {"since": "5", "until": None, "state": "dead"}


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (["hooks", "show", "a"], ("GET", "event-hooks", "a"), {}),
        (["hooks", "show", "a", "--output", "json"], ("GET", "event-hooks", "a"), {}),
        (["hooks", "create", "a=b", "c=d"], ("POST", "event-hooks"), {"form": [("a", "b"), ("c", "d")]}),
        (["hooks", "create", "--file", "x"], ("POST", "event-hooks"), {"json": {"n": 1}}),
        (["hooks", "delete", "a"], ("DELETE", "event-hooks", "a"), {}),
        (["hooks", "ping", "a"], ("GET", "event-hooks", "a", "ping"), {}),
        (["hooks", "test", "a", "b=c"], ("POST", "event-hooks", "a", "test"), {"accept": 500, "form": [("b", "c")]}),
        (["sources"], ("GET", "event-hooks", "sources"), {}),
        (["sources", "a", "b"], ("GET", "event-hooks", "sources", "a", "b"), {}),
        (["hooks", "update", "a", "snooze=5"], ("PATCH", "event-hooks", "a"), {"form": [("snooze", "5")]}),
        (["events", "publish", "e", "n=1", "--event-key", "k"], ("POST", "events"),
         {"form": [("event", "e"), ("key", "k"), ("data.n", "1")]}),
        (["events", "publish", "e", "--file", "x"], ("POST", "events"),
         {"json": {"event": "e", "data": {"n": 1}, "key": None}}),
        (["deliveries", "replay", WHOLE], ("POST", "deliveries", WHOLE, "replay"), {}),
        (["deliveries", "replay", "--hook", "a", "--since", "5"], ("POST", "event-hooks", "a", "replay"),
         {"json": RANGE}),
    ],
)  # fmt: skip
def test_what_is_called(
    calls: list[Call], arguments: list[str], path: tuple[str, ...], body: dict[str, Any],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "x").write_text('{"n": 1}')
    monkeypatch.chdir(tmp_path)
    if path[-1] == "b":
        monkeypatch.setitem(ANSWERS, "sources", {"data": {"fields": [], "description": ""}})
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert calls == [Call(HERE, path, body)]


def test_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(events, "tail_events", lambda *arguments, **named: made.append((arguments, named)))
    assert run("events", "tail", "--source", "s", "--event", "e", "--hook", "h", "--recent", "3").exit_code == 0
    (((target, write, warn), options),) = made
    assert target == HERE
    assert options == {"wanted": {"source": "s", "event": "e", "hook": "h"}, "recent": 3, "as_json": False}
    assert callable(write)
    assert callable(warn)


def test_tail_ends_quietly_when_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(events, "tail_events", interrupted)
    result = run("events", "tail")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("arguments", [["deliveries", "replay"], ["deliveries", "replay", "x", "--hook", "a"]])
def test_one_delivery_or_a_hooks(calls: list[Call], arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, calls) == (2, [])
    assert "--hook" in result.output


@pytest.mark.parametrize("command", [["hooks", "list"], ["deliveries", "list"], ["deliveries", "show", "x"]])
def test_the_api_or_a_file(calls: list[Call], command: list[str]) -> None:
    result = run(*command, "--url", "http://x", "--data-dir", "/x")
    assert (result.exit_code, calls) == (2, [])
    assert "name --url or --data-dir, not both" in result.output
    assert "--data-dir" in run(*command, "--help").output


@pytest.mark.parametrize(
    ("environment", "arguments", "url"),
    [
        ({}, [], "http://127.0.0.1:8010"),
        ({"KONG_EVENTHOOKS_LISTEN": "127.0.0.1:9"}, [], "http://127.0.0.1:9"),
        ({"KONG_EVENTHOOKS_LISTEN": "0.0.0.0:9"}, [], "http://127.0.0.1:9"),
        ({"KONG_EVENTHOOKS_LISTEN": "[::]:9"}, [], "http://[::1]:9"),
        ({"KONG_EVENTHOOKS_LISTEN": "127.0.0.1:9"}, ["--url", "http://x"], "http://x"),
    ],
)
def test_where_the_api_is(calls: list[Call], environment: dict[str, str], arguments: list[str], url: str) -> None:
    run("hooks", "show", "a", *arguments, **environment)
    assert calls[0].target == ApiTarget(url)


def test_the_token(calls: list[Call], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t0ken\n")
    run("hooks", "show", "a", "--token-file", str(file))
    run("hooks", "show", "a", KONG_EVENTHOOKS_API_TOKEN_FILE=str(file))
    assert [call.target.token for call in calls] == ["t0ken", "t0ken"]
    missing = run("hooks", "show", "a", "--token-file", str(tmp_path / "nowhere"))
    assert isinstance(missing.exception, SettingsError)
    assert "nowhere: No such file or directory" in str(missing.exception)


@pytest.mark.parametrize("token", [b"", b" \n", b"t0ken\nt0ken", b"t\x1bken", b"\xff"])
def test_a_token_that_is_none(calls: list[Call], tmp_path: Path, token: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(token)
    refused = run("hooks", "show", "a", "--token-file", str(file))
    assert isinstance(refused.exception, SettingsError)
    assert str(refused.exception).startswith(f"--token-file {file}: ")
    assert calls == []


def test_plugin_info_does_not_wait_for_them() -> None:
    code = """
import sys
from kong_eventhooks_plugin.cli import cli
cli.main(["plugin-info", "event-hooks"], standalone_mode=False)
print("httpx" in sys.modules or "kong_eventhooks_plugin.cli.api_calls" in sys.modules)
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert printed.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("undecided", "said"),
    [
        (False, "no hook subscribes to it"),
        (True, "accepted; the store that nodes share decides next what it fires: 'events tail' shows it"),
    ],
)
def test_a_published_event_without_an_outcome(
    calls: list[Call], monkeypatch: pytest.MonkeyPatch, undecided: bool, said: str
) -> None:
    monkeypatch.setitem(ANSWERS, "events", ANSWERS["events"] | {"undecided": undecided})
    assert run("events", "publish", "deploy").stdout.splitlines() == ["event e", said]


def test_every_command_is_there() -> None:
    assert set(cli.list_commands(None)) == {  # type: ignore[arg-type]
        "check", "deliveries", "demo", "doctor", "events", "health", "hooks", "listen", "plugin-info", "serve",
        "sources", "store", "try", "worker",
    }  # fmt: skip
    shown = run("--help").output
    assert "deliveries" in shown
    assert "worker" not in shown
    assert run("hokks").exit_code == 2


@pytest.mark.parametrize("group", [(), ("hooks",), ("deliveries",), ("events",), ("store",)])
def test_a_list_of_commands_is_whole_on_a_narrow_terminal(group: tuple[str, ...]) -> None:
    _, _, commands = CliRunner().invoke(cli, [*group, "--help"], terminal_width=80).output.partition("Commands:\n")
    assert commands
    assert "..." not in commands


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("hokks",), "'hokks'; did you mean hooks?"),
        (("hooks", "shwo"), "'shwo'; did you mean show?"),
        (("hooks", "preview", "a"), "'preview'; it is 'kong-event-hooks try NAME'"),
        (("hooks", "replay", "a"), "'replay'; it is 'kong-event-hooks deliveries replay'"),
    ],
)
def test_a_command_that_is_none(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.output.splitlines()[-1]) == (2, f"Error: No such command {said}")


def test_the_settings_of_serve_are_grouped_and_have_their_defaults() -> None:
    shown = " ".join(run("serve", "--help").output.split())
    places = [shown.index(f"{group}: --{first.replace('_', '-')} ") for first, group in GROUPS.items()]
    assert places == sorted(places)
    assert all(f"{setting.flag} " in shown for setting in described())
    assert "[default: 127.0.0.1:8010]" in shown
