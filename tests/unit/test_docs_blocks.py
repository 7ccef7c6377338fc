"""Every fenced block of the documentation is something that a test runs, reads, or knows to need what it names."""

import json
import re
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from kong_eventhooks_plugin.cli.check import check_files
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.settings import ENVIRONMENT_PREFIX, described
from tests.support.doc_blocks import ALL, NEEDS, PAGES, ROOT, Block
from tests.support.hooks import validation_of

WORDS = {
    "sh": {*NEEDS},
    "json": {"event", "body", "hook", "expiring", "resolved"},  # tests/unit/handlers/test_handlers_doc.py
    "text": {"err", "notice", "warn"},  # the same
    "yaml": set(),
    "ini": set(),
    "toml": set(),
    "cel": set(),
    "sql": set(),  # tests/unit/queue/postgresql/test_role.py
    "python": set(),
}
"""Language -> the words that may follow it."""

PLUGINS = ("event_hooks", "event_hooks_crud")
KONG_CONF = {
    "plugins",
    "pluginserver_names",
    *(f"pluginserver_{plugin}_{name}" for plugin in PLUGINS for name in ("socket", "query_cmd", "start_cmd")),
}
SETTINGS = {setting.name for setting in described()}
NAMED = [
    re.compile(rf"\b{ENVIRONMENT_PREFIX}([A-Z_]+)"),
    re.compile(r"\bsettings? `([a-z_]+)(?: = [^`]*)?`"),
]


def of(language: str) -> list[Any]:
    return [pytest.param(block, id=block.where) for block in ALL if block.language == language]


def wrong_words(block: Block) -> str | None:
    """What a block's first line says that no test knows."""
    if block.language not in WORDS:
        return f"its language is none of {', '.join(WORDS)}"
    unknown = {*block.words} - WORDS[block.language]
    return f"nobody knows {', '.join(sorted(unknown))} after {block.language}" if unknown else None


def document(block: Block) -> dict[str, Any] | None:
    """The kong.yml that an example is, or is a part of; None where it declares no hooks and no services."""
    read = yaml.safe_load(block.text)
    if isinstance(read, list):
        read = {"plugins": [{"name": "event-hooks", "config": {"hooks": read}}]}
    if not read.keys() & {"plugins", "services"}:
        return None
    return {"_format_version": "3.0", **read}


def test_every_block_says_what_it_is() -> None:
    assert {block.where: wrong for block in ALL if (wrong := wrong_words(block))} == {}


def test_what_the_gate_runs_is_in_the_gate() -> None:
    gate = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [command for block in ALL if block.words == ("gate",) for command in block.commands()]
    assert commands
    assert {*commands} <= {*gate}


@pytest.mark.parametrize("block", of("json"))
def test_json(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "kong.yml"
    if declared := document(block):
        file.write_text(yaml.safe_dump(declared))
        errors, _, _ = check_files([str(file)], validation_of(known()))
        assert errors == []


@pytest.mark.parametrize("block", of("ini"))
def test_kong_conf(block: Block) -> None:
    read = ConfigParser(interpolation=None)
    read.read_string(f"[kong]\n{block.text}")
    assert {*read["kong"]} <= KONG_CONF


@pytest.mark.parametrize("block", of("toml"))
def test_settings_in_toml(block: Block) -> None:
    assert {*tomllib.loads(block.text)} <= SETTINGS


def unknown_settings(text: str) -> set[str]:
    return {name.lower() for form in NAMED for name in form.findall(text)} - SETTINGS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    assert unknown_settings(page.read_text()) == set()


def test_what_is_wrong_is_found() -> None:
    block = Block(Path("page.md"), 1, "sh", (), "")
    assert wrong_words(block) is None
    assert wrong_words(block._replace(words=("kongg",))) == "nobody knows kongg after sh"
    assert wrong_words(block._replace(language="console")).startswith("its language is none of")
    assert unknown_settings("the setting `data_dri`, KONG_EVENTHOOKS_LISTEM") == {"data_dri", "listem"}
    assert unknown_settings("the settings `data_dir`, KONG_EVENTHOOKS_LISTEN") == set()
