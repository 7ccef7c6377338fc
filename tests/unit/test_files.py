"""What a name that somebody else gives may lead to, and what is made beside what somebody else planted."""

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.settings import read_token
from tests.support.other_user import OTHER, as_root, belonging_to


def refusal(path: str | Path, limit: int = 100) -> str | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its text is returned
        files.read(path, limit)
    return caught.value.strerror


def test_a_regular_file_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    assert files.read(path, 100) == b"x" * 100
    assert refusal(path, 99) == "it is larger than 99 bytes"


def test_nothing_else_is_read_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/tty0" if Path("/dev/tty0").exists() else "/dev/null"):
        assert refusal(path) == "it is not a regular file", path
    assert refusal(tmp_path) == "it is not a regular file"
    assert refusal("a\0b") == refusal("\ud800") == "it is not a path"


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="this user may not read /proc/kmsg")
def test_a_regular_file_that_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    read = threading.Thread(target=lambda: refused.append(refusal("/proc/kmsg", 1 << 30)), daemon=True)
    refused: list[str | None] = []
    read.start()
    read.join(10)
    assert not read.is_alive()
    assert refused
    assert refused[0] in {"Resource temporarily unavailable", "Operation not permitted"}


def test_a_token_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    with pytest.raises(SettingsError, match=r"api_token_file: .*: cannot be read: it is not a regular file"):
        read_token(str(tmp_path / "token"), "api_token_file")


class TestBelow:
    def test_where_the_file_really_is(self, tmp_path: Path) -> None:
        inside, outside = tmp_path / "in", tmp_path / "out"
        (inside / "..data").mkdir(parents=True)
        outside.mkdir()
        (inside / "..data" / "key").write_text("inside")
        (inside / "key").symlink_to("..data/key")  # as a Kubernetes volume has it
        (outside / "key").write_text("outside")
        (inside / "escape").symlink_to(outside / "key")
        (inside / "folder").symlink_to(outside)
        (tmp_path / "alias").symlink_to(inside)
        for directory in (inside, tmp_path / "alias"):
            assert files.read_below(str(inside / "key"), [str(directory)], 100) == b"inside"
            assert files.read_below(str(tmp_path / "alias" / "key"), [str(directory)], 100) == b"inside"
            for name in ("escape", "folder/key", "../out/key"):
                with pytest.raises(PermissionError, match="secret_file_directories"):
                    files.read_below(str(inside / name), [str(directory)], 100)
        assert files.read_below(str(inside / "escape"), ["/"], 100) == b"outside"

    def test_a_link_that_is_swapped_in_after_the_check(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        inside = tmp_path / "in"
        inside.mkdir()
        (tmp_path / "out").write_text("outside")
        (inside / "key").write_text("inside")
        was = files.os.open

        def swapped(path: str, flags: int) -> int:
            (inside / "key").unlink()
            (inside / "key").symlink_to(tmp_path / "out")
            return was(path, flags)

        monkeypatch.setattr(files.os, "open", swapped)
        with pytest.raises(PermissionError, match="secret_file_directories"):
            files.read_below(str(inside / "key"), [str(inside)], 100)


class TestLocked:
    def test_one_at_a_time_and_nothing_is_left(self, tmp_path: Path) -> None:
        inside: list[int] = []
        most: list[int] = []

        def hold() -> None:
            with files.own_directory(tmp_path) as directory:
                for _ in range(20):
                    with files.locked("l", directory, 60):
                        inside.append(1)
                        most.append(len(inside))
                        inside.pop()

        threads = [threading.Thread(target=hold) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(most), max(most)) == (80, 1)
        assert list(tmp_path.iterdir()) == []

    def test_who_may_only_read_the_directory_holds_up_nobody(self, tmp_path: Path) -> None:
        reader = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(reader, fcntl.LOCK_EX)
        with files.own_directory(tmp_path) as directory, files.locked("l", directory, 0):
            assert stat.S_IMODE((tmp_path / "l").stat().st_mode) == 0o600
            held = pytest.raises(TimeoutError, match="another process has held the lock l for 0 s")
            with held, files.locked("l", directory, 0):
                pass
        os.close(reader)

    def test_a_planted_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "l").symlink_to(tmp_path / "victim")
        refused = pytest.raises(OSError, match="symbolic links")
        with files.own_directory(tmp_path) as directory, refused, files.locked("l", directory, 0):
            pass
        assert not (tmp_path / "victim").exists()


class TestCreated:
    def test_a_planted_link_is_replaced_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("before")
        victim.chmod(0o600)
        (tmp_path / "made").symlink_to(victim)
        with (
            files.own_directory(tmp_path) as directory,
            files.created("made", directory, 0o644) as descriptor,
        ):
            os.write(descriptor, b"ours")
        assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("before", 0o600)
        made = tmp_path / "made"
        assert (made.read_text(), stat.S_IMODE(made.lstat().st_mode)) == ("ours", 0o644)

    @as_root
    def test_a_directory_of_another_user(self, tmp_path: Path) -> None:
        folder = belonging_to(OTHER, tmp_path / "theirs")
        with pytest.raises(files.ForeignDirectory) as caught, files.own_directory(folder):
            pass
        assert f"{folder} belongs to user {OTHER}" in str(caught.value)
        assert f"run the sidecar as user {OTHER}" in str(caught.value)
