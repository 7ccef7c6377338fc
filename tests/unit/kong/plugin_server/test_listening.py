"""An outage of the plugin socket is known at the next start; a Kong that stays away is an error."""

import asyncio
import os
import socket
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.background import RECENT_SECONDS
from kong_eventhooks_plugin.kong.plugin_server import listening as module
from kong_eventhooks_plugin.kong.plugin_server.listening import (
    CONNECT_SECONDS,
    UNCERTAIN_SECONDS,
    ListeningRecord,
    Note,
    Outage,
    State,
    outage_before,
)
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.telemetry.metrics import Metrics

EXITED = this_process().rpartition("/")[0] + "/1"
"""A process with our id that started at another time."""


def note(at: float, state: State = "listening", process: str = EXITED, bound_at: float = 500.0) -> Note:
    return Note(at, state, process, bound_at, connected=True)


@pytest.mark.parametrize(
    ("before", "outage"),
    [
        (note(1_000), Outage(1_000, 1_042, "killed")),
        (note(1_000, "supervisor exited"), Outage(1_000, 1_042, "supervisor killed")),
        (note(1_000, "stopped"), Outage(1_000, 1_042, "stopped")),
        (note(1_041.9, "stopped"), Outage(1_041.9, 1_042, "stopped")),
        (note(1_042 - UNCERTAIN_SECONDS), None),  # its last heartbeat may have been due
        (note(1_000, process=this_process()), None),  # taken over from a process that still serves
        (note(2_000), None),  # a socket of systemd's, which is older than the process
        (note(1_000, bound_at=1_042), None),  # another worker on the same socket
    ],
)
def test_an_outage_is_from_the_notes_end_to_the_new_socket(before: Note, outage: Outage | None) -> None:
    assert outage_before(before, 1_042) == outage


class Sidecar:
    """Binds a socket, as a supervisor does, and keeps the note of a worker on it. ``now`` is its clock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "plugin.sock"
        self.now = 1_000.0
        self.plugins: Collection[str] | None = None
        self._listening = socket.socket(socket.AF_UNIX)
        self.bind()

    def bind(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        os.utime(self.path, (self.now, self.now))
        self.work()

    def work(self) -> None:
        """Start a worker on the socket that is bound."""
        self.metrics = Metrics()
        self.record = ListeningRecord(
            self._listening, self.directory, self.metrics, lambda: self.plugins, lambda: self.now
        )

    async def run(self) -> list[str]:
        """Run the record until it has written its note; return the events that were logged."""
        with capture_logs() as lines:
            running = asyncio.create_task(self.record.run())
            before = self.notes()
            async with asyncio.timeout(30):
                while self.notes() == before:  # noqa: ASYNC110  nobody tells of it
                    await asyncio.sleep(0.005)
            running.cancel()
            await asyncio.wait([running])
        return [line["event"] for line in lines]

    def notes(self) -> list[bytes]:
        return [file.read_bytes() for file in self.directory.glob("listening-*")]

    def forge_exit(self) -> None:
        """Have the note be of a process that has exited."""
        [file] = self.directory.glob("listening-*")
        written = msgspec.json.decode(file.read_bytes().rstrip(b"\0"), type=Note)
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(written, process=EXITED)))

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    made = Sidecar(tmp_path)
    yield made
    made.close()


def unserved(metrics: Metrics, ended: str) -> float | None:
    return metrics.registry.get_sample_value("kong_event_hooks_socket_unserved_seconds", {"ended": ended})


async def test_the_first_start_knows_nothing(sidecar: Sidecar) -> None:
    assert await sidecar.run() == []
    assert sidecar.record.errors() == []
    assert sidecar.record.state()["outage"] is None


async def test_a_kill_is_logged_measured_and_an_error_for_a_while(sidecar: Sidecar) -> None:
    await sidecar.run()
    sidecar.forge_exit()
    sidecar.now += 42
    sidecar.bind()
    assert await sidecar.run() == ["socket_unserved"]
    assert unserved(sidecar.metrics, "killed") == 42
    assert sidecar.record.state()["outage"] == {"since": 1_000.0, "until": 1_042.0, "ended": "killed", "seconds": 42.0}
    [error] = sidecar.record.errors()
    assert error.startswith(f"nobody listened on {sidecar.path} for 42 s before this start (killed)")
    sidecar.now += RECENT_SECONDS + 1
    assert sidecar.record.errors() == []


@pytest.mark.parametrize(("reason", "errors"), [("stopped", 0), ("supervisor exited", 1)])
async def test_a_stop_is_no_error_and_a_killed_supervisor_is(sidecar: Sidecar, reason: State, errors: int) -> None:
    await sidecar.run()
    await sidecar.record.stop(reason)
    sidecar.now += 0.5
    sidecar.bind()
    assert await sidecar.run() == ["socket_unserved"]
    assert sidecar.record.outage is not None
    assert sidecar.record.outage.seconds == 0.5
    assert len(sidecar.record.errors()) == errors


async def test_another_worker_on_the_same_socket_knows_the_same(sidecar: Sidecar) -> None:
    await sidecar.run()
    sidecar.forge_exit()
    sidecar.now += 42
    sidecar.bind()
    await sidecar.run()
    sidecar.forge_exit()
    sidecar.now += 10
    sidecar.work()
    await sidecar.run()
    assert sidecar.record.outage == Outage(1_000, 1_042, "killed")


async def test_a_heartbeat_that_is_late_does_not_undo_a_stop(sidecar: Sidecar) -> None:
    await sidecar.run()
    await sidecar.record.stop("stopped")
    stopped = sidecar.notes()
    sidecar.now += 1
    sidecar.record._save("listening")
    assert sidecar.notes() == stopped


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"at": "x"}'])
async def test_a_note_that_cannot_be_read_says_nothing(sidecar: Sidecar, content: bytes) -> None:
    await sidecar.run()
    [file] = sidecar.directory.glob("listening-*")
    file.write_bytes(content)
    sidecar.now += 42
    sidecar.bind()
    assert await sidecar.run() == []


async def test_a_directory_that_takes_no_note_stops_nothing(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0)
    sidecar.record._path = sidecar.directory / "missing" / "note"
    running = asyncio.create_task(sidecar.record.run())
    await asyncio.sleep(0.05)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


def never_connected(sidecar: Sidecar) -> list[str]:
    sidecar.record.errors()
    sidecar.now += CONNECT_SECONDS
    return sidecar.record.errors()


def test_a_kong_that_has_the_plugin_and_does_not_connect_is_an_error(sidecar: Sidecar) -> None:
    sidecar.plugins = {"event-hooks"}
    assert sidecar.record.errors() == []
    [error] = never_connected(sidecar)
    assert error.startswith(f"Kong has the plugin event-hooks and has not connected to {sidecar.path}")
    assert "kong.conf names another socket" in error
    assert "socket_group" in error
    sidecar.metrics.counts.plugin_calls["start_instance",] += 1
    assert sidecar.record.errors() == []
    assert sidecar.record.state()["connected"] is True


async def test_the_minute_begins_though_nobody_asks(sidecar: Sidecar) -> None:
    sidecar.plugins = {"event-hooks"}
    await sidecar.run()
    sidecar.now += CONNECT_SECONDS
    assert len(sidecar.record.errors()) == 1, "the first time it is asked"


@pytest.mark.parametrize("plugins", [None, set()])
def test_a_kong_without_the_plugin_need_not_connect(sidecar: Sidecar, plugins: set[str] | None) -> None:
    sidecar.plugins = plugins
    assert never_connected(sidecar) == []


async def test_it_need_not_connect_again_after_a_reload(sidecar: Sidecar) -> None:
    sidecar.plugins = {"event-hooks"}
    sidecar.metrics.counts.plugin_calls["start_instance",] += 1
    await sidecar.run()
    sidecar.work()
    sidecar.now += 1
    await sidecar.run()
    assert never_connected(sidecar) == []
    sidecar.now += 1
    sidecar.bind()
    await sidecar.run()
    assert len(never_connected(sidecar)) == 1, "on another socket it has to"


def test_two_sockets_over_one_store_have_notes_of_their_own(tmp_path: Path) -> None:
    paths: set[Path] = set()
    for name in ("a", "b"):
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / name))
            record = ListeningRecord(listening, tmp_path, Metrics(), lambda: None)
            record._save("listening")
            paths.add(record._path)
    assert len(paths) == 2
    assert all(path.exists() for path in paths)
