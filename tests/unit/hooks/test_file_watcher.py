# ruff: noqa: ASYNC240 - the test is what changes the files, and nothing else runs meanwhile
"""Files that change in every way in which files change."""

import asyncio
import os
from pathlib import Path

import pytest

from kong_eventhooks_plugin.hooks.declarations import documents
from kong_eventhooks_plugin.hooks.declarations.declared import Declared
from kong_eventhooks_plugin.hooks.declarations.file_watcher import SECONDS, FileWatcher
from tests.support.hooks import VALIDATION


def text(name: str) -> str:
    hook = f"{{name: {name}, source: rate-limiting, handler: log}}"
    return f'_format_version: "3.0"\nplugins: [{{name: event-hooks, config: {{hooks: [{hook}]}}}}]\n'


class Watched:
    def __init__(self, *paths: Path) -> None:
        self.watch = FileWatcher([str(path) for path in paths], VALIDATION, self.report)
        self._listener: list[str] = []

    def report(self, path: str, declared: Declared) -> None:
        text = ",".join(hook.name for hook in declared.hooks) or "; ".join(error.message for error in declared.errors)
        self._listener.append(text)

    async def poll(self) -> list[str]:
        await self.watch.poll()
        reported, self._listener = self._listener, []
        return reported


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "kong.yml"
    path.write_text(text("one"))
    return path


async def test_a_file_is_reported_once(path: Path) -> None:
    watched = Watched(path)
    assert [await watched.poll() for _ in range(4)] == [["one"], [], [], []]


async def test_a_change_in_place(path: Path) -> None:
    watched = Watched(path)
    await watched.poll()
    path.write_text(text("another"))
    assert await watched.poll() == ["another"]


async def test_a_file_put_over_it(path: Path) -> None:
    watched = Watched(path)
    await watched.poll()
    new = path.with_suffix(".new")
    new.write_text(text("two"))
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.rename(path)
    assert await watched.poll() == ["two"]


async def test_a_config_map_whose_link_is_swapped(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "kong.yml").write_text(text(version))
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "kong.yml").symlink_to("..data/kong.yml")
    watched = Watched(tmp_path / "kong.yml")
    assert await watched.poll() == ["one"]
    (tmp_path / "..tmp").symlink_to("..two")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    assert await watched.poll() == ["two"]


async def test_a_second_change_within_one_tick_of_the_clock(path: Path) -> None:
    watched = Watched(path)
    await watched.poll()
    path.write_text(text("two"))
    assert await watched.poll() == ["two"]
    found = path.stat()
    path.write_text(text("too"))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert await watched.poll() == ["too"]


async def test_a_touched_file_is_read_but_not_reported(path: Path) -> None:
    watched = Watched(path)
    await watched.poll()
    os.utime(path, ns=(1, 1))
    assert [await watched.poll(), await watched.poll()] == [[], []]


async def test_an_unchanged_file_is_not_even_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(path)
    await watched.poll()
    await watched.poll()
    monkeypatch.setattr(documents, "read_bytes", lambda _path: pytest.fail("read"))
    assert await watched.poll() == []


async def test_a_file_that_goes_and_comes_back(path: Path) -> None:
    watched = Watched(path)
    await watched.poll()
    path.unlink()
    assert [await watched.poll(), await watched.poll()] == [["cannot be read: No such file or directory"], []]
    path.write_text(text("one"))
    assert await watched.poll() == ["one"]


async def test_a_file_that_is_broken_and_mended(path: Path) -> None:
    watched = Watched(path)
    await watched.poll()
    path.write_text("{")
    assert len(await watched.poll()) == 1
    path.write_text(text("one"))
    assert await watched.poll() == ["one"]


async def test_every_file_is_polled(path: Path) -> None:
    other = path.with_name("other.yml")
    other.write_text(text("other"))
    assert await Watched(path, other).poll() == ["one", "other"]


async def test_it_polls_until_cancelled(path: Path) -> None:
    reported: asyncio.Queue[Declared] = asyncio.Queue()
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    watch = FileWatcher([str(path)], VALIDATION, lambda _path, declared: reported.put_nowait(declared), wait)
    running = asyncio.create_task(watch.run())
    assert (await reported.get()).hooks[0].name == "one"
    new = path.with_suffix(".new")
    new.write_text(text("two"))
    new.rename(path)  # at once: it is looking all the time, and would see a file that is half written
    assert (await reported.get()).hooks[0].name == "two"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert set(waits) == {SECONDS}
