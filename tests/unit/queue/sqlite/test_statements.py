"""All SQL: that it is well-formed, and that nothing that runs often looks at more than it needs."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin.queue.sqlite import file
from kong_eventhooks_plugin.queue.sqlite.statements import SQL, insert_rows
from kong_eventhooks_plugin.storage.named_sql import named_statements, read_migrations
from kong_eventhooks_plugin.storage.sqlite import statements_of

PACKAGE = Path(file.__file__).parent
STATEMENTS = vars(SQL)


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    opened = file.open_writer(path)
    yield opened
    opened.close()


def values_for(statement: str) -> dict[str, None] | list[None]:
    """Placeholders' values for an EXPLAIN."""
    names = set(re.findall(r":(\w+)", statement))
    if names:
        return dict.fromkeys(names)
    return [None] * statement.count("?")


def plan(connection: sqlite3.Connection, name: str) -> list[str]:
    """Return the steps that SQLite plans for a statement."""
    try:
        return [
            step[-1]
            for step in connection.execute(f"EXPLAIN QUERY PLAN {STATEMENTS[name]}", values_for(STATEMENTS[name]))
        ]
    except sqlite3.Error as error:
        raise AssertionError(f"{name}: {error}") from error


def test_sqlite_understands_each(connection: sqlite3.Connection) -> None:
    for name in STATEMENTS:
        plan(connection, name)


def test_the_code_uses_each_and_no_other() -> None:
    code = "".join(module.read_text("utf-8") for module in PACKAGE.glob("*.py"))
    assert set(re.findall(r"\bSQL\.(\w+)", code)) == STATEMENTS.keys()


# Statements that may look at a whole table: a small one, or one that people ask for and that stops at a page.
LOOK_AT_ALL = {
    "all_hooks", "all_definitions", "all_endpoints", "read_totals", "leader", "work",
    "page", "page_events",
}  # fmt: skip
TABLES = re.compile(r"^SCAN (events|deliveries|attempts|filter_states|d|e|a)\b(?! USING)")


def test_each_finds_its_rows_by_an_index(connection: sqlite3.Connection) -> None:
    names = STATEMENTS.keys() - LOOK_AT_ALL - {"create_chosen"}
    plans = {name: plan(connection, name) for name in sorted(names)}
    assert {name: steps for name, steps in plans.items() if any(map(TABLES.match, steps))} == {}


@pytest.mark.parametrize(
    "name",
    ["due", "work", "page", "page_unsettled", "page_events", "oldest_unsettled", "choose_settled_first",
     "choose_settled_before", "delete_idle_before", "delete_idle_first"],
)  # fmt: skip
def test_it_need_not_sort(connection: sqlite3.Connection, name: str) -> None:
    sorts = [step for step in plan(connection, name) if "TEMP B-TREE" in step]
    assert sorts == ([] if name != "work" else ["USE TEMP B-TREE FOR ORDER BY"])  # a row for each hook


def test_names_and_comments() -> None:
    text = "-- A file.\n-- name: one\n-- Why.\nSELECT 1; -- indeed\n\n-- name: two\nSELECT\n  2;\n"
    assert named_statements(text) == {"one": "SELECT 1;", "two": "SELECT\n  2;"}


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        named_statements("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;")


def test_a_script_is_split_where_its_statements_end() -> None:
    script = "-- About; this.\nCREATE TABLE a (b -- why; so\n);\n\nINSERT INTO a VALUES ('x;\ny');\n-- The end.\n"
    assert [statement.splitlines()[-1] for statement in statements_of(script)] == [");", "y');"]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 71, 72, 200])
def test_rows_are_all_inserted_in_their_order(count: int) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE x (a, b, c)")
    rows: list[tuple[object, ...]] = [(number, f"text {number}") for number in range(count)]
    insert_rows(connection, "INSERT INTO x (a, b, c)\nVALUES (?, ?, 'fixed');", rows)
    assert connection.execute("SELECT a, b FROM x ORDER BY rowid").fetchall() == rows
    connection.close()


@pytest.mark.parametrize("files", [("0001_a", "0001_b"), ("0001_a", "0003_b"), ("0002_a",)])
def test_a_version_of_the_migrations_that_is_missing_or_there_twice_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...]
) -> None:
    package = f"migrations_{'_'.join(files)}"
    (tmp_path / package / "migrations").mkdir(parents=True)
    (tmp_path / package / "__init__.py").touch()
    for name in files:
        (tmp_path / package / "migrations" / f"{name}.sql").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="is missing, or there twice"):
        read_migrations(package)
