"""The shell blocks of the documentation, run as they stand beside one real sidecar and an Admin API.

docs/api.md and two other pages are run by test_rest_docs.py, which also compares what they show. Here a block that has
the program's own command lines and nothing else calls them in this process: a start is a second. Names that the reader
fills in are filled in, and the machine's directories are the test's.
"""

import asyncio
import getpass
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio
from click.testing import CliRunner

from kong_eventhooks_plugin.cli import cli
from tests.e2e.test_processes import Processes, World
from tests.e2e.test_rest_docs import PAGES
from tests.support.admin_node import AdminNode
from tests.support.doc_blocks import ALL, ROOT, Block
from tests.support.doc_shell import path_with_program, shell
from tests.support.http_receiver import HttpReceiver
from tests.support.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

BLOCKS = [block for block in ALL if block.runs and block.page.name not in PAGES]
PROGRAM = "kong-event-hooks "
NOT_PLAIN = re.compile(r"[|&;<>$`\\]")


class Place(NamedTuple):
    """Where commands run. ``exchanged`` is text of the pages -> what stands there for this sidecar."""

    folder: Path
    environment: dict[str, str]
    exchanged: dict[str, str]

    def filled_in(self, text: str) -> str:
        for written, meant in self.exchanged.items():
            text = re.sub(rf"(?<![\w-]){re.escape(written)}(?!\w)", meant, text)
        return text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    top = tmp_path_factory.mktemp("docs")
    data, folder, backup = (top / name for name in ("data", "folder", "backup"))
    for each in (data, folder, backup):
        each.mkdir(mode=0o700)
    (folder / "kong.yml").write_text((ROOT / "kong.yml").read_text())
    async with AdminNode() as kong, HttpReceiver() as receiver:
        hook = {"name": "deploys", "source": "custom", "handler": "webhook", "handler_config": {"url": receiver.url}}
        kong.behind.create("plugins", name="event-hooks", config={"hooks": [hook]})
        with Processes() as processes:
            world = World(top, data, processes)
            sidecar = world.sidecar(f"--admin-url={kong.url}")
            listen = f"127.0.0.1:{(await asyncio.to_thread(sidecar.wait_for, 'api_listening'))['port']}"
            environment = {
                "PATH": path_with_program(top / "bin"),
                "KONG_EVENTHOOKS_LISTEN": listen,
                "KONG_EVENTHOOKS_DATA_DIR": str(data),
                "KONG_EVENTHOOKS_SOCKET_PATH": str(world.path),
                "KONG_EVENTHOOKS_ADMIN_URL": kong.url,
            }
            yield Place(folder, environment, {
                "127.0.0.1:8010": listen,
                "/var/lib/kong-event-hooks": str(data),
                "/backup": str(backup),
                "doctor": f"doctor --kong-user {getpass.getuser()}",
                "HOOK": "deploys",
                "NAME": "deploys",
                "ID": await asyncio.to_thread(a_delivery, f"http://{listen}", "deploys"),
            })  # fmt: skip


def a_delivery(url: str, hook: str) -> str:
    """The id of a delivery of a hook, as soon as the hook is in force."""
    with httpx.Client(base_url=url) as api:
        until(lambda: api.post("/events", data={"event": "deploy"}).json()["fired"], f"{hook} fires")
        return str(api.get(f"/event-hooks/{hook}/deliveries").json()["data"][0]["id"])


@pytest.mark.parametrize("block", [pytest.param(block, id=block.where) for block in BLOCKS])
async def test_a_block(place: Place, block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [place.filled_in(command) for command in block.commands()]
    if all(command.startswith(PROGRAM) and not NOT_PLAIN.search(command) for command in commands):
        monkeypatch.chdir(place.folder)
        for command in commands:
            arguments = shlex.split(command.removeprefix(PROGRAM))
            ran = await asyncio.to_thread(CliRunner().invoke, cli, arguments, env=place.environment)
            assert ran.exit_code == 0, f"{command}\n{ran.output}\n{ran.exception!r}"
    else:
        await shell(place.filled_in(block.text), place.folder, place.environment)
