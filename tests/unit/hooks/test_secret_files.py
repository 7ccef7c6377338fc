"""Secret files are read off the loop; one that cannot be read has no value, and hangs nothing."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin.hooks import secret_files as module
from kong_eventhooks_plugin.hooks.secret_files import SecretFiles


async def read(path: Path, *, below: Path | None = None) -> SecretFiles:
    made = SecretFiles((str(below or path.parent),))
    made.want(frozenset({str(path)}))
    await made.read(str(path))
    return made


@pytest.mark.parametrize(("content", "secret"), [("s3", "s3"), ("s3\n", "s3"), ("s3\r\n", "s3"), (" s\n\n", " s\n")])
async def test_its_last_line_end_goes(tmp_path: Path, content: str, secret: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content.encode())
    assert (await read(path)).value(str(path)) == secret


async def test_a_rotated_one_counts_at_the_next_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    before = path.stat()
    found = await read(path)
    path.write_text("new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    await found.read(str(path))
    assert found.value(str(path)) == "new"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"\xff", "it is not UTF-8 text"),
        (b"x" * (64 * 1024 + 1), "it is larger than 65,536 bytes"),
    ],
)
async def test_what_is_no_secret(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    found = await read(path)
    assert (found.value(str(path)), found.error(str(path))) == (None, why)


async def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("a\0b")):
        assert (await read(path, below=Path("/"))).value(str(path)) is None


async def test_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "key").write_text("s3")
    (tmp_path / "in" / "key").symlink_to(tmp_path / "key")
    found = await read(tmp_path / "in" / "key")
    assert found.value(str(tmp_path / "in" / "key")) is None
    assert found.error(str(tmp_path / "in" / "key")) == "it is not in a directory of secret_file_directories"


async def test_the_wanted_are_read_as_they_appear_and_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.01)
    changed = asyncio.Event()
    found = SecretFiles((str(tmp_path),), changed.set)
    running = asyncio.create_task(found.run())
    path = tmp_path / "secret"
    path.write_text("old")
    found.want(frozenset({str(path)}))
    await changed.wait()
    assert found.value(str(path)) == "old"
    changed.clear()
    path.write_text("new")
    await changed.wait()
    assert found.value(str(path)) == "new"
    changed.clear()
    path.unlink()
    await changed.wait()
    assert (found.value(str(path)), found.error(str(path))) == (None, "No such file or directory")
    found.want(frozenset())
    assert found.error(str(path)) == "it was not read yet"
    running.cancel()


class TestStuck:
    """A file system that does not answer, as a dead NFS server's."""

    @pytest.fixture
    def answers(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
        answers, was = threading.Event(), module.files.read_below

        def read_below(path: str, directories: tuple[str, ...], limit: int) -> bytes:
            if "stuck" in path:
                answers.wait()
            return was(path, directories, limit)

        monkeypatch.setattr(module.files, "read_below", read_below)
        monkeypatch.setattr(module, "READ_SECONDS", 0.02)
        yield answers
        answers.set()

    async def test_it_holds_up_nothing_and_counts_once_it_answers(
        self, tmp_path: Path, answers: threading.Event
    ) -> None:
        stuck, good = tmp_path / "stuck", tmp_path / "good"
        for path in (stuck, good):
            path.write_text("s3")
        changed = asyncio.Event()
        found = SecretFiles((str(tmp_path),), changed.set)
        found.want(frozenset({str(stuck), str(good)}))
        await found.read(str(stuck))
        assert (found.value(str(stuck)), found.error(str(stuck))) == (
            None,
            "the file system has not answered for 0.02 s",
        )
        threads = threading.active_count()
        await found.read(str(stuck))
        assert threading.active_count() <= threads, "it is not read a second time meanwhile"
        await found.read(str(good))
        assert found.value(str(good)) == "s3"
        changed.clear()
        answers.set()
        await changed.wait()
        assert found.value(str(stuck)) == "s3"

    @pytest.mark.usefixtures("answers")
    async def test_only_so_many_threads_are_left_to_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "STUCK", 2)
        paths = [str(tmp_path / f"stuck{number}") for number in range(3)]
        found = SecretFiles((str(tmp_path),))
        found.want(frozenset(paths))
        for path in paths:
            await found.read(path)
        assert found.error(paths[2]) == "2 other files do not answer"
