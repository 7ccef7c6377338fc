"""The examples of docs/api.md, docs/security.md and docs/coming-from-enterprise.md, run as they stand.

A ``sh`` block is a script; the ``json`` block after it is what the script's last answer says, at least: every name and
value in it, where ``"..."`` is anything. The address is exchanged, and handlers answer without dialling.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.model.delivery import Answer, Delivered
from tests.support.api import running
from tests.support.doc_blocks import ROOT, blocks
from tests.support.doc_shell import path_with_program, shell

DOCS = ROOT / "docs"
TOKEN = "correct-horse-battery-staple"
TOKENS = {"security.md": TOKEN}
PAGES = ("api.md", "security.md", "coming-from-enterprise.md")

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def of_this_release() -> Known:
    """What the release knows, with every handler."""
    return known()._replace(handlers=("webhook", "webhook-custom", "log", "lambda"))


def says(shown: Any, expected: Any, at: str = "") -> list[str]:
    """What is expected and not shown."""
    if expected == "...":
        return []
    if isinstance(expected, Mapping):
        if not isinstance(shown, Mapping):
            return [f"{at}: {shown!r} is no object"]
        return [text for name, each in expected.items() for text in (
            says(shown[name], each, f"{at}.{name}") if name in shown else [f"{at}.{name} is missing"])]  # fmt: skip
    if isinstance(expected, list) and isinstance(shown, list) and len(shown) == len(expected):
        pairs = enumerate(zip(shown, expected, strict=True))
        return [text for place, (one, each) in pairs for text in says(one, each, f"{at}[{place}]")]
    return [] if shown == expected else [f"{at}: {shown!r} is not {expected!r}"]


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
async def test_a_page(tmp_path: Path, page: str) -> None:
    store, folder = tmp_path / "store", tmp_path / "folder"
    for each in (store, folder):
        each.mkdir()
    ran = 0
    async with running(store, known=of_this_release()) as api, api.served(access=Access(TOKENS.get(page))):
        api.recorders["webhook"].outcome = Delivered(Answer(200, b"ok"))
        environment = {
            "PATH": path_with_program(tmp_path / "bin"), "TOKEN": TOKEN, "HOME": str(folder),
            "KONG_EVENTHOOKS_LISTEN": api.base.removeprefix("http://"),
        }  # fmt: skip
        printed = ""
        for block in blocks(DOCS / page):
            if block.runs:
                printed = await shell(block.text.replace("http://127.0.0.1:8010", api.base), folder, environment)
                ran += 1
            elif block.language == "json":
                wrong = says(json.loads(first_object(printed)), json.loads(block.text))
                assert not wrong, f"{block.where}: {wrong}\nof\n{block.text}\nthe answer is\n{printed}"
    assert ran >= 3


def first_object(printed: str) -> str:
    """What was printed, from the first line on that begins an object."""
    begins = re.search(r"^\{", printed, re.MULTILINE)
    return printed[begins.start() :] if begins else printed


def test_the_comparison_sees_what_is_wrong() -> None:
    assert says({"a": 1, "b": [1, {"c": 2}]}, {"a": "...", "b": [1, {"c": 2}]}) == []
    assert says({"a": 1}, {"a": 2, "b": 1}) == [".a: 1 is not 2", ".b is missing"]
    assert says({"a": [1]}, {"a": [1, 2]}) == [".a: [1] is not [1, 2]"]
    assert says([], {"a": 1}) == [": [] is no object"]
