"""The commands over REST: their options, what reaches ``remote``, and how they end."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from kong_eventhooks_plugin.api.client.rest import ApiTarget
from kong_eventhooks_plugin.cli import remote
from kong_eventhooks_plugin.cli.remote_commands import attach
from kong_eventhooks_plugin.errors import SettingsError


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What each function of ``remote`` was called with."""
    calls: list[tuple[Any, ...]] = []

    def stand_in(name: str) -> Any:
        def called(*arguments: Any, **named: Any) -> str:
            calls.append((name, *arguments, named))
            return f"<{name}>"

        return called

    for name in ("hooks_show", "hooks_create", "hooks_delete", "hooks_ping", "hooks_test", "sources",
                 "deliveries_replay", "deliveries_replay_all", "events_tail"):  # fmt: skip
        monkeypatch.setattr(remote, name, stand_in(name))
    monkeypatch.delenv("KONG_EVENTHOOKS_LISTEN", raising=False)
    return calls


def run(*arguments: str, **environment: str) -> Result:
    cli, hooks, deliveries = click.Group("cli"), click.Group("hooks"), click.Group("deliveries")
    cli.add_command(hooks)
    cli.add_command(deliveries)
    attach(cli, hooks, deliveries)
    return CliRunner().invoke(cli, arguments, env=environment)


TABLE: dict[str, Any] = {"as_json": False}
HERE = ApiTarget()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hooks", "show", "a"], ("hooks_show", HERE, "a", TABLE)),
        (["hooks", "show", "a", "--output", "json"], ("hooks_show", HERE, "a", {"as_json": True})),
        (["hooks", "create", "a=b", "c=d"], ("hooks_create", HERE, ("a=b", "c=d"), None, TABLE)),
        (["hooks", "create", "--file", "x"], ("hooks_create", HERE, (), Path("x"), TABLE)),
        (["hooks", "delete", "a"], ("hooks_delete", HERE, "a", {})),
        (["hooks", "ping", "a"], ("hooks_ping", HERE, "a", TABLE)),
        (["hooks", "test", "a", "b=c"], ("hooks_test", HERE, "a", ("b=c",), None, TABLE)),
        (["sources"], ("sources", HERE, None, None, TABLE)),
        (["sources", "a", "b"], ("sources", HERE, "a", "b", TABLE)),
        (["deliveries", "replay", "x"], ("deliveries_replay", HERE, "x", TABLE)),
        (["deliveries", "replay", "--hook", "a", "--since", "5"],
         ("deliveries_replay_all", HERE, "a", "5", None, "dead", TABLE)),
    ],
)  # fmt: skip
def test_what_is_asked(asked: list[tuple[Any, ...]], arguments: list[str], expected: tuple[Any, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.output) == (0, f"<{expected[0]}>\n")
    assert asked == [expected]


def test_tail(asked: list[tuple[Any, ...]]) -> None:
    assert run("events", "tail", "--source", "s", "--event", "e", "--hook", "h", "--recent", "3").exit_code == 0
    ((name, target, write, warn, options),) = asked
    assert (name, target) == ("events_tail", HERE)
    assert options == {"source": "s", "event": "e", "hook": "h", "recent": 3, "as_json": False}
    assert callable(write)
    assert callable(warn)


def test_tail_ends_quietly_when_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "events_tail", interrupted)
    result = run("events", "tail")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("arguments", [["deliveries", "replay"], ["deliveries", "replay", "x", "--hook", "a"]])
def test_one_delivery_or_a_hooks(asked: list[tuple[Any, ...]], arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, asked) == (2, [])
    assert "--hook" in result.output


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
def test_where_the_api_is(
    asked: list[tuple[Any, ...]], environment: dict[str, str], arguments: list[str], url: str
) -> None:
    run("hooks", "show", "a", *arguments, **environment)
    assert asked[0][1] == ApiTarget(url)


def test_the_token(asked: list[tuple[Any, ...]], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t0ken\n")
    run("hooks", "show", "a", "--token-file", str(file))
    run("hooks", "show", "a", KONG_EVENTHOOKS_API_TOKEN_FILE=str(file))
    assert [call[1].token for call in asked] == ["t0ken", "t0ken"]
    missing = run("hooks", "show", "a", "--token-file", str(tmp_path / "nowhere"))
    assert isinstance(missing.exception, SettingsError)
    assert "nowhere: No such file or directory" in str(missing.exception)


@pytest.mark.parametrize("token", [b"", b" \n", b"t0ken\nt0ken", b"t\x1bken", b"\xff"])
def test_a_token_that_is_none(asked: list[tuple[Any, ...]], tmp_path: Path, token: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(token)
    refused = run("hooks", "show", "a", "--token-file", str(file))
    assert isinstance(refused.exception, SettingsError)
    assert str(refused.exception).startswith(f"--token-file {file}: ")
    assert asked == []


def test_plugin_info_does_not_wait_for_them() -> None:
    code = ("import sys, kong_eventhooks_plugin.cli.remote_commands; "
            "print('httpx' in sys.modules or 'kong_eventhooks_plugin.cli.remote' in sys.modules)")  # fmt: skip
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    assert said == "False\n"
