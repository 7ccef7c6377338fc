"""What root makes in a directory where a lesser user could plant something: no link is followed, no mode changed.

Each case is one file that the sidecar makes: in a directory of its own, with a link to the victim planted at every name
that it may use, and in a directory of another user, which it refuses.
"""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.cli.serve import prepare_data_dir
from kong_eventhooks_plugin.errors import SettingsError, SocketError, StoreUnavailable
from kong_eventhooks_plugin.kong.plugin_server.documents import write_documents
from kong_eventhooks_plugin.kong.plugin_server.error_log_file import ErrorLogFile
from kong_eventhooks_plugin.kong.plugin_server.listening import ListeningRecord
from kong_eventhooks_plugin.kong.supervisor import sockets
from kong_eventhooks_plugin.kong.supervisor.sockets import SocketPlan, bind
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.queue.sqlite.engine import DATABASE
from kong_eventhooks_plugin.sources.changes.mirror.key import NAME, mirror_key
from kong_eventhooks_plugin.storage import sqlite
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.other_user import OTHER, as_root, belonging_to

CONTENT = "not ours"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text(CONTENT)
    path.chmod(0o600)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def is_untouched(victim: Path) -> bool:
    found = victim.stat()
    return victim.read_text() == CONTENT and stat.S_IMODE(found.st_mode) == 0o600 and found.st_gid == os.getegid()


def bound(folder: Path) -> None:
    bind(SocketPlan(folder / "plugin.sock", group=str(os.getegid()))).release()


def documented(folder: Path) -> None:
    with capture_logs() as logged:
        write_documents(str(folder / "plugin.sock"), "protobuf")
    for line in logged:
        raise SettingsError(line["error"])


def recorded(folder: Path) -> None:
    """Write the note of who listens; where it cannot be written nothing is known."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        record = ListeningRecord(listening, folder, Metrics(), lambda: None)
        record._write("listening", 1.0)


MADE: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "plugin socket": (bound, ("plugin.sock.new",)),
    "plugin documents": (
        documented,
        (f".event-hooks.json.{os.getpid()}", f".event-hooks-crud.json.{os.getpid()}", "event-hooks.json"),
    ),
    "data directory": (prepare_data_dir, (".writable",)),
    "key of the mirror": (mirror_key, (NAME, f"{NAME}.new")),
}


@pytest.mark.parametrize("made", MADE)
def test_planted_links_are_replaced(folder: Path, victim: Path, made: str) -> None:
    make, names = MADE[made]
    for name in names:
        (folder / name).symlink_to(victim)
    make(folder)
    assert is_untouched(victim)
    assert not any(path.is_symlink() for path in folder.iterdir())


@as_root
@pytest.mark.parametrize("made", [*MADE, "store"])
def test_a_directory_of_somebody_else_is_refused_with_the_way_out(tmp_path: Path, made: str) -> None:
    folder = belonging_to(OTHER, tmp_path / "theirs")
    make = MADE[made][0] if made in MADE else lambda theirs: sqlite.create(theirs / DATABASE, with_directory=True)
    with pytest.raises((SettingsError, SocketError, StoreUnavailable)) as caught:
        make(folder)
    assert f"{folder} belongs to user {OTHER}, who could replace what user 0 writes there" in str(caught.value)
    assert f"(chown 0 {folder})" in str(caught.value)
    assert list(folder.iterdir()) == []


@as_root
@pytest.mark.parametrize("made", MADE)
def test_so_is_one_below_a_directory_of_somebody_else(tmp_path: Path, made: str) -> None:
    folder = belonging_to(OTHER, tmp_path / "theirs") / "ours"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for path in (folder, tmp_path / "link"):
        with pytest.raises((SettingsError, SocketError, StoreUnavailable), match=f"{folder.parent} belongs to user"):
            MADE[made][0](path)
    assert list(folder.iterdir()) == []


def test_a_store_that_is_a_link_is_refused(folder: Path, victim: Path) -> None:
    (folder / DATABASE).symlink_to(victim)
    with pytest.raises(StoreUnavailable, match="is a link or no regular file"):
        sqlite.create(folder / DATABASE)
    assert is_untouched(victim)


def test_the_note_of_who_listens_follows_no_link(folder: Path, victim: Path) -> None:
    recorded(folder)
    [note] = folder.glob("listening-*")
    note.unlink()
    note.symlink_to(victim)
    (folder / "s").unlink()
    recorded(folder)
    assert is_untouched(victim)


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_a_socket_that_is_swapped_while_it_is_made(
    folder: Path, victim: Path, plant: Callable[[Path, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Swapped(socket.socket):
        def bind(self, address: object) -> None:
            super().bind(address)  # type: ignore[arg-type]
            Path(str(address)).unlink()
            plant(Path(str(address)), victim)

    monkeypatch.setattr(sockets.socket, "socket", Swapped)
    with pytest.raises(SocketError, match="somebody replaced the socket while it was made"):
        bound(folder)
    assert is_untouched(victim)
    assert list(folder.iterdir()) == []


def test_what_stands_in_an_open_directory_between_two_calls_is_ours_alone(folder: Path) -> None:
    """The socket has its mode from its first moment on."""
    modes = []

    def chmod(path: str, mode: int) -> None:
        modes.append(stat.S_IMODE(Path(path).stat().st_mode))

    before = os.umask(0)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sockets.os, "chmod", chmod)
            bound(folder)
    finally:
        os.umask(before)
    assert modes == [0o660]


class TestErrorLog:
    LINES = (LogLine("err", "a line"),)

    def test_a_link_in_a_directory_of_our_own_is_followed(self, folder: Path, victim: Path) -> None:
        (folder / "error.log").symlink_to(victim)
        assert ErrorLogFile(str(folder / "error.log")).write(self.LINES)
        assert victim.read_text().endswith("a line\n")

    @as_root
    def test_in_a_directory_of_somebody_else_only_a_file_is_appended_to(self, tmp_path: Path, victim: Path) -> None:
        folder = belonging_to(OTHER, tmp_path / "theirs")
        log = folder / "error.log"
        log.touch()
        assert ErrorLogFile(str(log)).write(self.LINES)
        for plant in (log.symlink_to, log.hardlink_to):
            log.unlink()
            plant(victim)
            assert not ErrorLogFile(str(log)).write(self.LINES)
            assert is_untouched(victim)
