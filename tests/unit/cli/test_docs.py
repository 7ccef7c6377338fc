"""Every command line in the README and in docs/ is one that there is, with options that it has."""

import re
from pathlib import Path

import click
import pytest

from kong_eventhooks_plugin.cli import cli

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "kong.yml", ROOT / "kong-admin.yml"]
LINE = re.compile(r"kong-event-hooks ([a-z][^\n`'#)]*)")
CONTEXT = click.Context(cli)


def command_of(words: list[str]) -> click.Command | None:
    """The command that the first words name; None where they name none."""
    command: click.Command | None = cli
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(CONTEXT, word)
    return None if isinstance(command, click.Group) else command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines(page: Path) -> None:
    for match in LINE.finditer(page.read_text(encoding="utf-8")):
        command = command_of(match[1].split())
        assert command is not None, match[0]
        known = {name for option in command.params for name in option.opts}
        assert set(re.findall(r"(?<=\s)--[a-z-]+", match[1])) <= known, match[0]


def test_what_is_no_command_is_found() -> None:
    assert command_of(["hooks"]) is None
    assert command_of(["hooks", "nope"]) is None
    assert command_of(["nope"]) is None
    assert command_of(["check", "kong.yml"]) is not None
