"""The examples of docs/api.md, docs/security.md and docs/coming-from-enterprise.md, run as they stand.

A ``sh`` block is a script; the ``json`` block after it is what the script's last answer says, at least: every name and
value in it, where ``"..."`` is anything. The address is exchanged, and handlers answer without dialling.
"""

import asyncio
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.model.delivery import Answer, Delivered
from tests.support.api import running

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOKEN = "correct-horse-battery-staple"
TOKENS = {"security.md": TOKEN}
PAGES = ("api.md", "security.md", "coming-from-enterprise.md")

COMMAND = f"""#!{sys.executable}
from kong_eventhooks_plugin import cli

cli.main()
"""

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


@pytest.mark.parametrize("page", PAGES)
async def test_a_page(tmp_path: Path, page: str) -> None:
    store, folder, programs = (tmp_path / name for name in ("store", "folder", "bin"))
    for each in (store, folder, programs):
        each.mkdir()
    program = programs / "kong-event-hooks"
    program.write_text(COMMAND)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    text = (DOCS / page).read_text(encoding="utf-8")
    ran = 0
    async with running(store, known=of_this_release()) as api, api.served(access=Access(TOKENS.get(page))):
        api.recorders["webhook"].outcome = Delivered(Answer(200, b"ok"))
        environment = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "TOKEN": TOKEN, "HOME": str(folder),
            "KONG_EVENTHOOKS_LISTEN": api.base.removeprefix("http://"),
        }  # fmt: skip
        printed = ""
        for kind, block in BLOCK.findall(text):
            if kind == "sh":
                printed = await shell(block.replace("http://127.0.0.1:8010", api.base), folder, environment)
                ran += 1
            elif kind == "json":
                wrong = says(json.loads(printed), json.loads(block))
                assert not wrong, f"{page}: {wrong}\nof\n{block}\nthe answer is\n{printed}"
            else:
                assert kind == "yaml", f"{page}: nobody runs a block of {kind}"
                assert yaml.safe_load(block)
    assert ran >= 3


async def shell(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a block; return what it printed, from the first line on that begins an object."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-euc", script, cwd=folder, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, errors = await process.communicate()
    assert process.returncode == 0, f"{script}\n{printed.decode()}\n{errors.decode()}"
    said = printed.decode()
    begins = re.search(r"^\{", said, re.MULTILINE)
    return said[begins.start() :] if begins else said


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / target).exists(), target


def test_the_comparison_sees_what_is_wrong() -> None:
    assert says({"a": 1, "b": [1, {"c": 2}]}, {"a": "...", "b": [1, {"c": 2}]}) == []
    assert says({"a": 1}, {"a": 2, "b": 1}) == [".a: 1 is not 2", ".b is missing"]
    assert says({"a": [1]}, {"a": [1, 2]}) == [".a: [1] is not [1, 2]"]
    assert says([], {"a": 1}) == [": [] is no object"]
