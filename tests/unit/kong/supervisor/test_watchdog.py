"""A worker that does not answer is replaced, whatever hangs it; one that stood still together with us is not."""

import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from kong_eventhooks_plugin.kong.supervisor.plain_log import Log
from kong_eventhooks_plugin.kong.supervisor.running_clock import LONGEST, RunningClock
from kong_eventhooks_plugin.kong.supervisor.sockets import SocketPlan, bind
from kong_eventhooks_plugin.kong.supervisor.worker_process import (
    ALIVE,
    ASK,
    MESSAGE_BYTES,
    RESTARTS,
    Restarts,
    WorkerProcess,
)
from kong_eventhooks_plugin.kong.supervisor.workers import Workers
from tests.support.processes import STUB, Load, Processes, StubClient, hold_still, is_alive, stop_while_all_are_held
from tests.support.waiting import until

SECONDS = 10.0


class TestClock:
    def test_it_passes_as_time_does(self) -> None:
        times = iter([100.0, 100.5, 100.75, 101.0])
        clock = RunningClock(lambda: next(times))
        assert [clock(), clock(), clock()] == [0.5, 0.75, 1.0]

    def test_a_time_in_which_we_stood_still_does_not_count(self) -> None:
        times = iter([0.0, 0.5, 86_400.0, 86_400.25])
        clock = RunningClock(lambda: next(times))
        assert [clock(), clock(), clock()] == [0.5, 0.5 + LONGEST, 0.75 + LONGEST]


class Watched:
    """``Workers`` with a worker that is ready, whose other end and whose clock a test has."""

    def __init__(self, path: Path, watchdog_seconds: float = SECONDS) -> None:
        self.now = 100.0
        self.lease = bind(SocketPlan(path))
        self.log: list[tuple[str, dict[str, object]]] = []
        log = SimpleNamespace(
            info=lambda event, **fields: self.log.append((event, fields)),
            warning=lambda event, **fields: self.log.append((event, fields)),
        )
        self.workers = Workers(
            [sys.executable, "-c", "import sys; sys.stdin.read(); import time; time.sleep(600)"],
            self.lease, 1.0, watchdog_seconds, selectors.DefaultSelector(), cast("Log", log), lambda: self.now,
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        self.workers.start_due()
        [self.worker] = self.workers
        self.worker.ready, self.worker.deadline = True, None

    def looks(self, *seconds: float) -> None:
        """Have the supervisor look round after each of the times."""
        for passed in seconds:
            self.now += passed
            self.workers.kill_unresponsive()
            self.workers.kill_overdue()

    def reaps(self) -> None:
        until(lambda: not is_alive(self.worker.pid), "the killed worker has ended", pace=0.001)
        self.workers.reap()

    def close(self) -> None:
        self.workers.kill_all()
        until(lambda: self.workers.reap() or not list(self.workers), "all have ended", pace=0.001)
        self.lease.release()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "s")
    yield made
    made.close()


def test_a_worker_that_does_not_answer_is_killed_at_the_limit(watched: Watched) -> None:
    watched.looks(0, SECONDS - 0.1)
    assert not watched.worker.unresponsive
    watched.looks(0.1)
    assert watched.worker.unresponsive
    assert watched.log[-1] == (
        "worker_killed", {"pid": watched.worker.pid, "reason": "unresponsive", "seconds": SECONDS}
    )  # fmt: skip
    watched.looks(0.5)
    assert not watched.worker.killed, "it has a moment to print where it stands"
    watched.looks(0.5)
    assert watched.worker.killed
    assert [event for event, _ in watched.log].count("worker_killed") == 1


def test_an_answer_is_asked_for_anew(watched: Watched) -> None:
    for _ in range(5):
        watched.looks(0, SECONDS - 0.1)
        watched.worker.answered(watched.now)
    assert not watched.worker.unresponsive


def test_a_worker_that_starts_is_not_asked(watched: Watched) -> None:
    watched.worker.ready = False
    watched.looks(0, SECONDS, SECONDS)
    assert not watched.worker.unresponsive


def test_0_switches_it_off(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "s", watchdog_seconds=0)
    watched.looks(0, 1e6)
    assert not watched.worker.unresponsive
    watched.close()


def test_workers_that_hang_one_after_another_are_replaced_ever_more_slowly(watched: Watched) -> None:
    """Though each lived longer than a healthy one must: it is its last answer that counts."""
    pauses = []
    for _ in range(4):
        watched.looks(0, SECONDS)
        watched.reaps()
        pauses.append(watched.workers.backoff.delay)
        watched.now += watched.workers.backoff.delay
        watched.start()
    assert pauses == [0.0, 0.1, 0.25, 0.5]
    assert [fields["next"] for event, fields in watched.log if event == "worker_crashed"] == ["restart"] * 4


def test_a_full_link_excuses_nobody(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    worker = cast("WorkerProcess", SimpleNamespace(link=ours, asked_at=None, _asked=False))
    with ours, theirs:
        sent = 0
        try:
            while True:
                sent += bool(ours.send(b"A"))
        except BlockingIOError:
            pass
        WorkerProcess.ask(worker, 5.0)
        assert worker.asked_at == 5.0
        for _ in range(sent):
            theirs.recv(MESSAGE_BYTES)
        WorkerProcess.ask(worker, 6.0)
        WorkerProcess.ask(worker, 7.0)
        assert (worker.asked_at, theirs.recv(MESSAGE_BYTES)) == (5.0, ASK)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(MESSAGE_BYTES)


@pytest.mark.parametrize("restarts", [Restarts(), Restarts(3, 2, 0), Restarts(2**32 - 1, 0, 86_400)])
def test_numbers_of_restarts_fit_a_message(restarts: Restarts) -> None:
    assert Restarts.unpacked(restarts.packed()) == restarts
    assert len(RESTARTS + restarts.packed()) <= MESSAGE_BYTES
    assert RESTARTS != ALIVE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plugin.sock"


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as running:
        yield running


@pytest.mark.long
def test_a_stopped_worker_is_replaced_and_no_call_is_lost(processes: Processes, path: Path) -> None:
    supervisor = processes.supervisor(path, watchdog_seconds=0.5)
    client = StubClient(path)
    load = Load(client.call, per_second=100)
    first = supervisor.worker()
    with load.running():
        load.answered(20)
        stop_while_all_are_held(first, supervisor.pid, path)
        supervisor.wait_for("worker_ready", 2)
        load.answered(20)
    client.close()
    assert (load.faults, client.lost) == ([], [])
    assert len(load.answers) == load.made
    [killed] = supervisor.lines("worker_killed")
    assert (killed["pid"], killed["reason"]) == (first, "unresponsive")
    assert killed["seconds"] >= 0.5
    assert [line["next"] for line in supervisor.lines("worker_crashed")] == ["restart"]


BLOCKED_LOOP = "import time\nhang = lambda: time.sleep(600)"
HOLDS_THE_LOCK = "import ctypes\nhang = lambda: ctypes.PyDLL(None).sleep(600)  # as C code that never lets Python run"


@pytest.mark.long
@pytest.mark.parametrize("hang", [BLOCKED_LOOP, HOLDS_THE_LOCK])
def test_a_worker_that_a_call_hangs_is_replaced(processes: Processes, path: Path, hang: str) -> None:
    supervisor = processes.supervisor(path, (*STUB, "--hang", hang), watchdog_seconds=0.5)
    supervisor.worker()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
        caller.sendall(b"hang\n")
        supervisor.wait_for("worker_ready", 2)
        caller.settimeout(30)
        assert caller.recv(1) == b"", "Kong reads the end, and calls again"
    assert [line["reason"] for line in supervisor.lines("worker_killed")] == ["unresponsive"]
    assert any("Fatal Python error: Aborted" in line for line in supervisor.output)
    assert any('File "<string>", line 2 in <lambda>' in line for line in supervisor.output), "where it stood"
    client = StubClient(path)
    assert client.call("x") == f"x {supervisor.worker()}"
    client.close()


@pytest.mark.long
def test_when_all_were_stopped_together_nobody_is_killed(processes: Processes, path: Path) -> None:
    supervisor = processes.supervisor(path, watchdog_seconds=1.5)
    worker = supervisor.worker()
    client = StubClient(path)
    assert client.call("before") == f"before {worker}"
    for pid in (supervisor.pid, worker):
        hold_still(pid)
    signal.sigtimedwait([], 4)  # far longer than the limit
    for pid in (supervisor.pid, worker):
        os.kill(pid, signal.SIGCONT)
    assert client.call("after") == f"after {worker}"
    client.close()
    supervisor.stop()
    assert supervisor.lines("worker_killed") == []
