"""``check``: every fault of a file, and what does not compile."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import kong_eventhooks_plugin.cli.check as check
from kong_eventhooks_plugin.cli import cli
from kong_eventhooks_plugin.cli.check import check_files
from tests.support.hooks import VALIDATION, log_hook, plugin_config, webhook


def written(path: Path, *hooks: dict[str, Any]) -> str:
    document = {
        "_format_version": "3.0",
        "plugins": [{"name": "event-hooks", "config": plugin_config(*hooks)}],
    }
    path.write_text(json.dumps(document))
    return str(path)


def slack(**config: Any) -> dict[str, Any]:
    return webhook("slack", method="POST", **config) | {"handler": "webhook-custom"}


def test_every_file_is_reported_in_order(tmp_path: Path) -> None:
    good = written(tmp_path / "good.json", log_hook())
    code = written(tmp_path / "code.json", log_hook(filter="("), slack(payload={"a": {"b": "x {{ y"}}))
    bad = written(tmp_path / "bad.json", log_hook(snooze=-1))
    faults = check_files([good, code, str(tmp_path / "none.yml"), bad], VALIDATION).errors
    assert [(Path(fault.where).name, fault.path) for fault in faults] == [
        ("code.json", "plugins[0].config.hooks[0].filter"),
        ("code.json", "plugins[0].config.hooks[1].handler_config.payload.a.b"),
        ("none.yml", ""),
        ("bad.json", "plugins[0].config.hooks[0].snooze"),
    ]
    assert faults[1].message == "line 1, column 3: {{ is not closed by }}"


def test_no_sandbox_is_started_for_files_without_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "Pool", lambda: pytest.fail("started"))
    assert check_files([written(tmp_path / "a.json", log_hook(), webhook())], VALIDATION).errors == []


COMPARED = 'data.limit is a number, "5" is text: they cannot be compared; write 5'


def test_a_filter_is_checked_against_its_sources_fields(tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.json", log_hook(filter="data.limt > 4"), log_hook("b", filter='data.limit > "5"'))
    assert [str(error).partition(": ")[2] for error in check_files([bad], VALIDATION).errors] == [
        "plugins[0].config.hooks[0].filter: line 1, column 6: data has no field 'limt'; did you mean limit?",
        f"plugins[0].config.hooks[1].filter: line 1, column 1: {COMPARED}",
    ]


def test_the_command_ends_with_1(tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.json", log_hook(filter="data.limit > 1"), log_hook("b", filter="data.x >"))
    ended = CliRunner().invoke(cli, ["check", bad])
    assert ended.exit_code == 1
    assert ended.output.startswith(f"{bad}: plugins[0].config.hooks[1].filter: line 1, column 9: Syntax error")
    good = written(tmp_path / "good.json", log_hook(filter="data.limit == 1"), slack(body="{{ y }}"))
    ended = CliRunner().invoke(cli, ["check", good])
    assert (ended.exit_code, ended.output) == (0, "1 file checked: 2 hooks, no errors\n")


def test_an_entity_that_kong_is_not_known_to_have_is_a_warning(tmp_path: Path) -> None:
    path = written(tmp_path / "crud.json", log_hook(source="crud", event="consumers"),
                   log_hook("b", source="crud", event="consumer:create"))  # fmt: skip
    ended = CliRunner().invoke(cli, ["check", path])
    assert (ended.exit_code, ended.stdout) == (0, "1 file checked: 2 hooks, no errors\n")
    assert ended.stderr == (
        f"warning: {path}: plugins[0].config.hooks[1].event: Kong is not known to have an entity consumer "
        "(did you mean consumers?); the hook never fires unless a plugin of yours, or Enterprise, adds it\n"
    )


def test_it_warns_where_deck_reads_another_value(tmp_path: Path) -> None:
    path = tmp_path / "kong.yml"
    path.write_text('_format_version: "3.0"\nservices:\n- {name: a, host: y, port: 80}\n')
    ended = CliRunner().invoke(cli, ["check", str(path)])
    assert ended.exit_code == 0
    assert f'warning: {path}: line 3, column 19: y is the text "y" for Kong and true for decK' in ended.output


def test_secret_files_are_where_the_sidecar_takes_them_from(tmp_path: Path) -> None:
    path = written(tmp_path / "kong.json", webhook("a", secret_file="/srv/hooks/key"))
    settings = tmp_path / "settings.toml"
    settings.write_text('secret_file_directories = ["/srv/hooks"]')
    for option in (["--secret-file-directories", "/srv/hooks,/run/secrets"], ["--settings", str(settings)]):
        assert CliRunner().invoke(cli, ["check", path, *option]).exit_code == 0
    ended = CliRunner().invoke(cli, ["check", path])
    assert ended.exit_code == 1
    assert "plugins[0].config.hooks[0].handler_config.secret_file: is in no directory of the" in ended.stdout
