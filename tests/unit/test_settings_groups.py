"""What is a setting's default stands in the settings alone: the parts' limits take theirs from there."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin import settings_groups
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.settings import Settings, load


def groupings() -> Iterator[tuple[str, str, str]]:
    """Yield class, field and setting, for each value that a group hands on as it is."""
    for call in ast.walk(ast.parse(inspect.getsource(settings_groups))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            for keyword in call.keywords:
                text = ast.unparse(keyword.value)
                if keyword.arg is not None and text.startswith("settings.") and text.count(" ") == 0:
                    yield call.func.id, keyword.arg, text.removeprefix("settings.")


def default_of(name: str, field: str) -> str | None:
    """Return a field's default as it is written, None where it has none."""
    [definition] = ast.parse(inspect.getsource(getattr(settings_groups, name))).body
    assert isinstance(definition, ast.ClassDef)
    for statement in definition.body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == field:
            return None if statement.value is None else ast.unparse(statement.value)
    raise AssertionError(f"{name} has no field {field}")


@pytest.mark.parametrize(
    ("name", "field", "setting"), [each for each in groupings() if each[0] != "AddressRules" and each[1] != "reveal"]
)
def test_a_default_is_written_once(name: str, field: str, setting: str) -> None:
    assert default_of(name, field) in (None, f"DEFAULTS.{setting}")


def test_the_groups_are_seen() -> None:
    assert len(list(groupings())) > 25


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("Authorization: Bearer a:b\n\nx-scope:\n", {"Authorization": "Bearer a:b", "x-scope": ""}),
        ("\ufeffx-key: k\r\n", {"x-key": "k"}),
    ],
)
def test_the_collectors_headers_are_in_a_file(tmp_path: Path, text: str, headers: dict[str, str]) -> None:
    (tmp_path / "headers").write_text(text, "utf-8")
    assert settings_groups.otlp_headers(Settings(otlp_headers_file=str(tmp_path / "headers"))) == headers
    assert settings_groups.otlp_headers(Settings()) == {}


@pytest.mark.parametrize(
    "text", ["s3cret", "s3cret key: a", "x-key: s3cr\u00e9t", "x-key: s3cret\x00", "x-a: a\n: s3cret"]
)
def test_a_line_that_is_no_header_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "headers").write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=r"otlp_headers_file: .*headers: a line is not of the form") as refused:
        settings_groups.otlp_headers(Settings(otlp_headers_file=str(tmp_path / "headers")))
    assert "s3cr" not in str(refused.value)


URL = "postgresql://role:s3cret@db.example.com/kong?sslmode=verify-full"


def test_the_shared_stores_url_is_set_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"{URL}\n")
    assert settings_groups.store_url(Settings()) is None
    assert settings_groups.store_url(Settings(store=URL)) == URL
    assert settings_groups.store_url(Settings(store_url_file=str(file))) == URL
    assert "s3cret" not in str(Settings(store=URL))
    with pytest.raises(SettingsError, match="set one of the two"):
        settings_groups.store_url(Settings(store=URL, store_url_file=str(file)))


@pytest.mark.parametrize("text", ["", "mysql://role:s3cret@db/kong", "postgresql://role:s3cret/x@db/kong"])
def test_a_file_without_such_a_url_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "url"
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"^store_url_file: {file}: ") as error:
        settings_groups.store_url(Settings(store_url_file=str(file)))
    assert "s3cret" not in str(error.value)


def test_a_wrong_store_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match=r"store: expected text like postgresql://") as error:
        load({"store": "mysql://role:s3cret@db/kong"}, environment={})
    assert "s3cret" not in str(error.value)
