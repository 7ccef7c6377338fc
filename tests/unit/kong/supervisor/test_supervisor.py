"""The supervisor as a real process over the stub worker."""

import contextlib
import json
import math
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import structlog

from kong_eventhooks_plugin.kong.supervisor.restart_backoff import RestartBackoff
from kong_eventhooks_plugin.kong.supervisor.sockets import SocketPlan, bind
from kong_eventhooks_plugin.kong.supervisor.states import State
from kong_eventhooks_plugin.kong.supervisor.worker_process import WorkerProcess
from kong_eventhooks_plugin.kong.supervisor.workers import CLOSING_SECONDS, Workers
from tests.support.processes import (
    STUB,
    SUPERVISE,
    Line,
    Load,
    Processes,
    Running,
    StubClient,
    cpu_seconds,
    has_checked,
    hold_still,
    is_alive,
    kill_while_all_are_held,
    supervision,
)
from tests.support.waiting import SECONDS, until


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plugin.sock"


@pytest.fixture
def client(path: Path) -> Iterator[StubClient]:
    made = StubClient(path)
    yield made
    made.close()


PACED = """
import sys
from kong_eventhooks_plugin.kong.supervisor import supervise, supervisor
{}
sys.exit(supervise.main(sys.argv[1:]))
"""
PATIENT = (sys.executable, "-P", "-c", PACED.format("supervisor.LINGER_SECONDS = 600.0"))
"""A supervisor that waits for its successor however slow the machine is: so it leaves because that one has come."""
QUICK = (sys.executable, "-P", "-c", PACED.format("supervisor.LINGER_SECONDS, supervisor.CHECK_SECONDS = 0.0, 0.01"))
"""One that checks all the time and waits for no successor: what some checks have not made it do, none will."""


def started_by_somebody(
    path: Path, supervise: Sequence[str] = SUPERVISE, **changes: object
) -> tuple[subprocess.Popen[str], int]:
    """Start a supervisor as the child of a process that stands for Kong's; return that one and the supervisor's id."""
    program = (
        "import subprocess, sys\n"
        "started = subprocess.Popen(sys.argv[1:], stdout=open(sys.argv[-1] + '.log', 'a'), stderr=subprocess.STDOUT)\n"
        "print(started.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    argument = supervision(path, **({"started_by_kong": True} | changes))
    log = path.with_name(path.name + ".log")
    program = program.replace("sys.argv[-1] + '.log'", repr(str(log)))
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *supervise, argument],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={},
    )  # fmt: skip
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def end(parent: subprocess.Popen[str]) -> None:
    parent.kill()
    parent.communicate()


def test_calls_are_answered_by_the_worker_in_an_empty_environment(
    processes: Processes, path: Path, client: StubClient
) -> None:
    supervisor = processes.supervisor(path)
    worker = supervisor.worker()
    assert client.call("hello") == f"hello {worker}"
    assert worker != supervisor.pid


def test_it_is_small_and_sleeps(processes: Processes, path: Path) -> None:
    supervisor = processes.supervisor(path)
    supervisor.worker()
    status = Path(f"/proc/{supervisor.pid}/status").read_text()
    resident = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    assert resident < 18_000, f"{resident} KB"
    maps = Path(f"/proc/{supervisor.pid}/maps").read_text()
    assert not any(heavy in maps for heavy in ("msgspec", "uvloop", "_ssl", "_sqlite", "_asyncio"))


@pytest.mark.long
def test_a_killed_worker_loses_no_call(processes: Processes, path: Path, client: StubClient) -> None:
    supervisor = processes.supervisor(path)
    supervisor.worker()
    load = Load(client.call, per_second=200)
    with load.running():
        for number in range(3):
            load.answered(50)
            kill_while_all_are_held(supervisor.worker(), supervisor.pid, path)
            supervisor.wait_for("worker_ready", number + 2)
        load.answered(50)
    assert load.faults == []
    assert client.lost == []
    assert len(load.answers) == load.made >= 200
    assert len({answer.split()[-1] for answer in load.answers.values()}) >= 3  # of four workers
    ended = supervisor.lines("worker_crashed")
    assert [line["exit_code"] for line in ended] == [-9, -9, -9]
    pauses = RestartBackoff()
    assert [line["retry_in"] for line in ended] == [pauses.delay_after(line["seconds"]) for line in ended]


@pytest.fixture
def kept(path: Path) -> Iterator[Callable[[], socket.socket]]:
    """Open connections that a test keeps, as Kong's pool does."""
    with contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            made = stack.enter_context(socket.socket(socket.AF_UNIX))
            made.settimeout(SECONDS)
            made.connect(str(path))
            return made

        yield connect


def ask(connection: socket.socket, call: str) -> str:
    connection.sendall(f"{call}\n".encode())
    return connection.recv(100).decode().strip()


def rest(kept: Callable[[], socket.socket]) -> None:
    """Wait until the worker has done all that it was asked for, the marks behind its answers too: it works in order."""
    assert ask(kept(), "rest")


def kill(worker: int) -> None:
    os.kill(worker, signal.SIGKILL)


def hup(supervisor: Running) -> None:
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("worker_exited")


class TestAConnectionThatIsKept:
    def test_an_idle_one_outlives_a_killed_worker(
        self, processes: Processes, path: Path, kept: Callable[[], socket.socket]
    ) -> None:
        supervisor = processes.supervisor(path)
        supervisor.worker()
        connection = kept()
        for number in range(3):
            worker = supervisor.worker()
            assert ask(connection, f"x{number}") == f"x{number} {worker}"
            rest(kept)
            kill(worker)
            supervisor.wait_for("worker_ready", number + 2)
        assert ask(connection, "y") == f"y {supervisor.worker()}"

    def test_a_call_on_it_while_no_worker_runs_is_answered_by_the_next(
        self, processes: Processes, path: Path, kept: Callable[[], socket.socket]
    ) -> None:
        supervisor = processes.supervisor(path)
        worker = supervisor.worker()
        connection = kept()
        ask(connection, "x")
        rest(kept)
        hold_still(worker)  # so that it does not read what comes
        connection.sendall(b"unread\n")
        kill(worker)
        answer = connection.recv(100).decode()  # it may come before we have read in the log of who gives it
        supervisor.wait_for("worker_ready", 2)
        assert answer == f"unread {supervisor.worker()}\n"
        assert supervisor.worker() != worker

    def test_an_idle_one_outlives_a_reload(
        self, processes: Processes, path: Path, kept: Callable[[], socket.socket]
    ) -> None:
        supervisor = processes.supervisor(path)
        first = supervisor.worker()
        connection = kept()
        assert ask(connection, "x") == f"x {first}"
        hup(supervisor)
        second = supervisor.worker()
        assert ask(connection, "y") == f"y {second}"
        rest(kept)
        kill(second)  # handed over once, and held still
        supervisor.wait_for("worker_ready", 3)
        assert ask(connection, "z") == f"z {supervisor.worker()}"

    def test_in_the_middle_of_a_call_a_reload_ends_the_call_first(
        self, processes: Processes, path: Path, kept: Callable[[], socket.socket]
    ) -> None:
        supervisor = processes.supervisor(path)
        first = supervisor.worker()
        connection = kept()
        assert ask(connection, "x") == f"x {first}"
        connection.sendall(b"slow y\n")
        supervisor.signal(signal.SIGHUP)
        assert connection.recv(100) == f"y {first}\n".encode()
        supervisor.wait_for("worker_exited")
        assert ask(connection, "z") == f"z {supervisor.worker()}"

    @pytest.mark.parametrize("sent", [b"slow never answered\n", b"half a ca"])
    def test_in_the_middle_of_a_call_a_killed_worker_is_an_end_and_no_reset(
        self, processes: Processes, path: Path, kept: Callable[[], socket.socket], sent: bytes
    ) -> None:
        supervisor = processes.supervisor(path)
        worker = supervisor.worker()
        busy, idle = kept(), kept()
        ask(busy, "x")
        ask(idle, "x")
        busy.sendall(sent)
        rest(kept)
        hold_still(worker)
        busy.sendall(b"and more that it never reads")  # with which the kernel makes a reset of a closed connection
        kill(worker)
        assert busy.recv(100) == b""
        busy.sendall(b"Kong may still write, and reads the end after that")
        assert busy.recv(100) == b""
        supervisor.wait_for("worker_ready", 2)
        assert ask(idle, "y") == f"y {supervisor.worker()}"
        assert ask(kept(), "again") == f"again {supervisor.worker()}"

    @pytest.mark.long
    def test_many_at_once_are_handed_over_and_still_known(
        self, processes: Processes, path: Path, kept: Callable[[], socket.socket]
    ) -> None:
        """More than the link between supervisor and worker has room for (some 270)."""
        supervisor = processes.supervisor(path)
        supervisor.worker()
        before = sockets_of(supervisor)
        connections: list[socket.socket] = []
        while len(connections) < 450:
            connections += [kept() for _ in range(50)]
            for connection in connections[-50:]:
                ask(connection, "x")
            # One that is accepted while the link is full is not held; a supervisor without processor time lets it fill.
            wait_until_held(supervisor, before + len(connections))
        hup(supervisor)
        second = supervisor.worker()
        assert {ask(connection, "y") for connection in connections} == {f"y {second}"}
        for connection in connections:
            connection.sendall(b"half a ca")
        rest(kept)
        kill(second)
        assert {connection.recv(100) for connection in connections} == {b""}

    def test_when_no_worker_will_come_it_is_ended(
        self, processes: Processes, path: Path, kept: Callable[[], socket.socket]
    ) -> None:
        supervisor = processes.supervisor(path)
        supervisor.worker()
        connection = kept()
        ask(connection, "x")
        supervisor.signal(signal.SIGTERM)
        assert connection.recv(100) == b""
        connection.close()
        assert supervisor.wait() == 0

    def test_one_that_kong_closes_is_let_go(
        self, processes: Processes, path: Path, kept: Callable[[], socket.socket]
    ) -> None:
        supervisor = processes.supervisor(path)
        supervisor.worker()
        before = sockets_of(supervisor)
        for _ in range(3):
            connections = [kept() for _ in range(5)]
            for connection in connections:
                ask(connection, "x")
            wait_until_held(supervisor, before + 5)
            for connection in connections:
                connection.close()
            wait_until_held(supervisor, before)


def wait_until_held(supervisor: Running, sockets: int) -> None:
    """Wait until a supervisor has so many: a worker answers before its supervisor has taken what it was handed."""
    until(lambda: sockets_of(supervisor) == sockets, f"the supervisor has {sockets} sockets")


def sockets_of(supervisor: Running) -> int:
    found = 0
    for link in Path(f"/proc/{supervisor.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            found += "socket:" in str(link.readlink())
    return found


def test_a_child_that_a_killed_worker_leaves_behind_keeps_nobody_waiting(
    processes: Processes, path: Path, client: StubClient
) -> None:
    """It has inherited the worker's end of the link, whose end the supervisor therefore does not read."""
    left = path.with_name("left")
    command = ["/bin/sh", "-c", f'sleep 60 >/dev/null 2>&1 & echo $! >>{left}; exec "$@"', "sh", *STUB]
    supervisor = processes.supervisor(path, worker=command)
    try:
        worker = supervisor.worker()
        assert client.call("x") == f"x {worker}"
        kill(worker)
        supervisor.wait_for("worker_ready", 2)
        assert client.call("y") == f"y {supervisor.worker()}"
    finally:
        for pid in left.read_text().split():
            kill(int(pid))


def test_a_call_made_while_no_worker_runs_waits_for_the_next(processes: Processes, path: Path) -> None:
    supervisor = processes.supervisor(path)
    worker = supervisor.worker()
    hold_still(supervisor.pid)  # so that nobody starts the next worker yet
    os.kill(worker, signal.SIGKILL)
    until(lambda: not is_alive(worker), "the worker's end")
    with socket.socket(socket.AF_UNIX) as call:
        call.connect(str(path))
        call.sendall(b"early\n")
        os.kill(supervisor.pid, signal.SIGCONT)
        call.settimeout(SECONDS)
        assert call.recv(100).startswith(b"early ")


def test_a_full_load_of_calls_may_wait_although_the_workers_server_shortened_the_queue(
    processes: Processes, path: Path, client: StubClient
) -> None:
    supervisor = processes.supervisor(path, worker=[*STUB, "--queue", "100"])
    worker = supervisor.worker()
    client.call("x")
    hold_still(worker)
    with contextlib.ExitStack() as stack:
        calls = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(500)]
        for number, call in enumerate(calls):
            call.setblocking(False)
            call.connect(str(path))  # BlockingIOError where the queue is full
            call.sendall(f"{number}\n".encode())
        os.kill(worker, signal.SIGKILL)
        for number, call in enumerate(calls):
            call.settimeout(SECONDS)
            assert call.recv(100).startswith(f"{number} ".encode())


@pytest.mark.long
def test_a_worker_that_cannot_live_is_started_ever_more_slowly(processes: Processes, path: Path) -> None:
    supervisor = processes.supervisor(path, worker=[*STUB, "--die", "0"])
    supervisor.wait_for("worker_crashed", 5)
    ended = supervisor.lines("worker_crashed")[:5]
    pauses = RestartBackoff()
    assert [line["retry_in"] for line in ended] == [pauses.delay_after(line["seconds"]) for line in ended]
    assert [line["restarts"] for line in ended] == [1, 2, 3, 4, 5]
    before = cpu_seconds(supervisor.pid)
    supervisor.wait_for("worker_crashed", 6)
    started = supervisor.lines("worker_started")[1:]
    for dead, follower in zip(ended, started, strict=False):
        assert at(follower) - at(dead) >= dead["retry_in"] - 0.001
    assert cpu_seconds(supervisor.pid) - before < 0.5  # a second's pause: it slept
    assert path.is_socket()


def at(line: Line) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def test_a_worker_that_cannot_even_be_started_is_tried_again(processes: Processes, path: Path) -> None:
    supervisor = processes.supervisor(path, worker=["/no/such/program"])
    supervisor.wait_for("worker_start_failed", 4)
    assert supervisor.lines("worker_start_failed")[0]["error"] == "No such file or directory"
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert not path.exists()


def test_a_worker_that_refuses_its_settings_ends_the_supervisor(processes: Processes, path: Path) -> None:
    supervisor = processes.supervisor(path, worker=[*STUB, "--die", "0", "--code", "78"])
    assert supervisor.wait() == 78
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(processes: Processes, path: Path, client: StubClient, number: signal.Signals) -> None:
    supervisor = processes.supervisor(path)
    worker = supervisor.worker()
    with socket.socket(socket.AF_UNIX) as call:
        call.settimeout(SECONDS)
        call.connect(str(path))
        call.sendall(b"first\n")
        assert call.recv(100)
        call.sendall(b"slow second\n")
        supervisor.signal(number)
        assert call.recv(100) == f"second {worker}\n".encode()
        assert call.recv(100) == b""
    assert supervisor.wait() == 0
    assert supervisor.lines("worker_exited")[0]["killed"] is False
    assert not path.exists()
    assert not is_alive(worker)


@pytest.mark.long
def test_a_worker_that_does_not_drain_is_killed_at_the_limit(processes: Processes, path: Path) -> None:
    supervisor = processes.supervisor(path, worker=[*STUB, "--stubborn"], drain_seconds=0.5)
    worker = supervisor.worker()
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait() == 0
    asked, killed = supervisor.lines("supervisor_stopping")[0], supervisor.lines("worker_killed")[0]
    assert killed["reason"] == "drain_timeout"
    assert at(killed) - at(asked) > 0.5 + CLOSING_SECONDS - 0.1
    assert not is_alive(worker)
    assert not path.exists()


def test_a_killed_supervisor_takes_its_worker_along_and_the_next_replaces_the_path(
    processes: Processes, path: Path, client: StubClient
) -> None:
    supervisor = processes.supervisor(path)
    worker = supervisor.worker()
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    until(lambda: not is_alive(worker), "the worker's end")
    assert path.is_socket()
    again = processes.supervisor(path).worker()
    assert client.call("again") == f"again {again}"


def test_hup_brings_a_new_worker_without_losing_a_call(processes: Processes, path: Path, client: StubClient) -> None:
    supervisor = processes.supervisor(path)
    first = supervisor.worker()
    load = Load(client.call, per_second=200)
    with load.running():
        load.answered(50)
        supervisor.signal(signal.SIGHUP)
        supervisor.wait_for("worker_exited")
        load.answered(50)
    second = supervisor.worker()
    assert first != second
    assert load.faults == []
    assert client.lost == []
    assert len(load.answers) == load.made
    assert {answer.split()[-1] for answer in load.answers.values()} == {str(first), str(second)}
    assert supervisor.lines("worker_crashed") == []


def test_a_reload_that_fails_leaves_the_old_worker(processes: Processes, path: Path, client: StubClient) -> None:
    broken = path.with_name("broken")
    command = ["/bin/sh", "-c", f'test -e {broken} && exit 3; exec "$@"', "sh", *STUB]
    supervisor = processes.supervisor(path, worker=command)
    first = supervisor.worker()
    broken.touch()
    supervisor.signal(signal.SIGHUP)
    line = supervisor.wait_for("replacement_worker_failed")
    assert line["exit_code"] == 3
    assert client.call("x") == f"x {first}"


@pytest.mark.long
def test_many_reloads_in_a_row_become_few(processes: Processes, path: Path, client: StubClient) -> None:
    supervisor = processes.supervisor(path)
    supervisor.worker()
    for _ in range(20):
        supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("worker_exited")
    assert client.call("x")
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert 2 <= len(supervisor.lines("worker_started")) <= 5


def test_a_second_stand_alone_server_is_refused(processes: Processes, path: Path, client: StubClient) -> None:
    first = processes.supervisor(path)
    worker = first.worker()
    second = processes.supervisor(path)
    assert second.wait() == 2
    (said,) = second.output
    assert said.startswith(f"kong-event-hooks: socket_path {path}: process {first.pid} already listens there; stop it")
    assert client.call("x") == f"x {worker}"


@pytest.mark.long
@pytest.mark.long
def test_a_take_over_under_load_loses_no_call(processes: Processes, path: Path, client: StubClient) -> None:
    old = processes.supervisor(path, started_by_kong=True)
    old_worker = old.worker()
    load = Load(client.call, per_second=200)
    with load.running(), socket.socket(socket.AF_UNIX) as kept:
        kept.settimeout(SECONDS)
        kept.connect(str(path))
        load.answered(50)
        new = processes.supervisor(path, started_by_kong=True)
        new_worker = new.worker()
        old.wait_for("socket_taken_over")
        load.answered(50)
        until(lambda: tell(kept) == f"taken_over=True {old_worker}", "the old worker notices")
        client.close()  # connections to the old server: those that its Kong holds go when that Kong goes
        load.answered(50)
        old.signal(signal.SIGTERM)
        assert old.wait() == 0
        load.answered(50)
    assert load.faults == []
    assert client.lost == []
    assert len(load.answers) == load.made
    assert {answer.split()[-1] for answer in load.answers.values()} == {str(old_worker), str(new_worker)}
    assert client.call("still there") == f"still there {new_worker}"
    new.signal(signal.SIGTERM)
    assert new.wait() == 0
    assert not path.exists()


def tell(sock: socket.socket) -> str:
    sock.sendall(b"tell\n")
    return sock.recv(100).decode().strip()


def test_after_a_take_over_a_dead_worker_is_not_followed_and_the_path_not_taken_back(
    processes: Processes, path: Path, client: StubClient
) -> None:
    old = processes.supervisor(path, started_by_kong=True)
    old_worker = old.worker()
    new = processes.supervisor(path, started_by_kong=True)
    new_worker = new.worker()
    old.wait_for("socket_taken_over")
    os.kill(old_worker, signal.SIGKILL)
    old.wait_for("worker_crashed")
    assert client.call("x") == f"x {new_worker}"
    assert old.process.poll() is None


@pytest.mark.long
def test_the_one_taken_over_serves_again_when_the_other_has_left(
    processes: Processes, path: Path, client: StubClient
) -> None:
    old = processes.supervisor(path, started_by_kong=True)
    first = old.worker()
    new = processes.supervisor(path, started_by_kong=True)
    new.worker()
    old.wait_for("socket_taken_over")
    new.signal(signal.SIGTERM)
    new.wait()
    old.wait_for("socket_rebound")
    old.wait_for("worker_ready", 2)
    assert client.call("tell") == f"taken_over=False {old.worker()}"
    assert old.worker() != first


def test_stand_alone_it_leaves_when_it_was_replaced(processes: Processes, path: Path, client: StubClient) -> None:
    old = processes.supervisor(path)
    old.worker()
    new = processes.supervisor(path, started_by_kong=True)
    assert old.wait() == 0
    assert client.call("x") == f"x {new.worker()}"


def test_a_vanished_path_is_bound_anew_and_served(processes: Processes, path: Path, client: StubClient) -> None:
    supervisor = processes.supervisor(path)
    first = supervisor.worker()
    path.unlink()
    supervisor.wait_for("worker_exited")
    second = supervisor.worker()
    assert client.call("x") == f"x {second}"
    assert second != first


def test_a_path_bound_anew_is_served_although_the_first_worker_for_it_died(
    processes: Processes, path: Path, client: StubClient
) -> None:
    broken = path.with_name("broken")
    command = ["/bin/sh", "-c", f'test -e {broken} && exit 3; exec "$@"', "sh", *STUB]
    supervisor = processes.supervisor(path, worker=command)
    first = supervisor.worker()
    broken.touch()
    path.unlink()
    supervisor.wait_for("replacement_worker_failed", 2)
    broken.unlink()
    supervisor.wait_for("worker_exited")
    assert client.call("x") == f"x {supervisor.worker()}"
    assert supervisor.worker() != first


@pytest.mark.parametrize("taken_over", [False, True])
def test_nor_is_one_followed_that_died_on_a_path_bound_anew_and_taken_over_since(
    path: Path, *, taken_over: bool
) -> None:
    lease = bind(SocketPlan(path))
    workers = Workers(
        ["/bin/false"], lease, 1.0, 0.0, selectors.DefaultSelector(), structlog.get_logger(), clock=lambda: 1_000.0
    )
    died = cast("WorkerProcess", SimpleNamespace(started_at=0.0, pid=2, killed=False, ready=False))
    workers.state, workers._start_at = State.RENEWING, None
    workers._serving = cast("WorkerProcess", SimpleNamespace(started_at=0.0, pid=1))
    workers._replacement = died
    workers.taken_over = taken_over
    workers._on_exit(died, 78)
    assert (workers.due_at() == math.inf) == taken_over
    workers._serving = None
    workers.kill_all()
    lease.release()


def test_a_vanished_directory_is_logged_once_and_waited_for(processes: Processes, path: Path) -> None:
    home = path.parent / "run"
    home.mkdir()
    supervisor = processes.run([*QUICK, supervision(home / "s")])
    supervisor.worker()
    (home / "s").unlink()
    home.rmdir()
    supervisor.wait_for("socket_rebind_failed")
    has_checked(supervisor.pid)  # it rests between the checks
    assert len(supervisor.lines("socket_rebind_failed")) == 1
    home.mkdir()
    supervisor.wait_for("socket_rebound")


@pytest.mark.long
def test_it_leaves_after_its_parent_and_removes_its_own_path(processes: Processes, path: Path) -> None:
    parent, pid = started_by_somebody(path)
    until(path.is_socket, "the socket")
    end(parent)
    until(lambda: not is_alive(pid), "the supervisor's end")
    assert not path.exists()
    stopping = [line for line in logged(path) if line["event"] == "supervisor_stopping"]
    assert stopping[0]["reason"] == "parent gone"


def logged(path: Path) -> list[dict[str, object]]:
    """Return the log lines so far; the last one may be half written."""
    lines = path.with_name(path.name + ".log").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line[:1] == "{" and line.endswith("\n")]


@pytest.mark.long
@pytest.mark.long
def test_a_reload_of_kong_under_load(processes: Processes, path: Path, client: StubClient) -> None:
    """The old server's Kong process goes some time after the new one's came; the path is the new server's then."""
    old_parent, old = started_by_somebody(path)
    until(path.is_socket, "the socket")
    load = Load(client.call, per_second=200)
    with load.running():
        load.answered(50)
        new_parent, new = started_by_somebody(path)
        until(lambda: any(line["event"] == "socket_taken_over" for line in logged(path)), "take-over")
        load.answered(50)
        end(old_parent)
        until(lambda: not is_alive(old), "the old supervisor's end")
        load.answered(50)
        assert path.is_socket()
    assert load.faults == []
    assert client.lost == []
    assert len(load.answers) == load.made
    os.kill(new, signal.SIGTERM)
    until(lambda: not is_alive(new), "the new supervisor's end")
    end(new_parent)
    assert not path.exists()


@pytest.mark.long
def test_when_kongs_process_crashes_the_socket_stays_for_the_successor(
    processes: Processes, path: Path, client: StubClient
) -> None:
    parent, old = started_by_somebody(path, PATIENT)
    until(path.is_socket, "the socket")
    load = Load(client.call, per_second=200)
    with load.running():
        load.answered(20)
        end(parent)
        load.answered(200)  # a second: it has seen that its parent has exited
        assert is_alive(old)
        parent, new = started_by_somebody(path)
        until(lambda: not is_alive(old), "the old supervisor's end")
        load.answered(50)
    assert load.faults == []
    assert client.lost == []
    assert is_alive(new)
    os.kill(new, signal.SIGTERM)
    until(lambda: not is_alive(new), "the new supervisor's end")
    end(parent)


@pytest.mark.long
def test_stand_alone_a_parents_end_means_nothing(processes: Processes, path: Path, client: StubClient) -> None:
    parent, pid = started_by_somebody(path, QUICK, started_by_kong=False)
    until(path.is_socket, "the socket")
    end(parent)
    has_checked(pid)
    assert client.call("x")
    os.kill(pid, signal.SIGTERM)
    until(lambda: not is_alive(pid), "the supervisor's end")


def test_systemds_socket_is_served_and_left(processes: Processes, path: Path, client: StubClient) -> None:
    with socket.create_server(str(path), family=socket.AF_UNIX) as listening:
        # As systemd does: put the socket at 3 and the process id into the environment, in the process itself.
        program = (
            "import os, sys\n"
            f"os.dup2({listening.fileno()}, 3)\n"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
            "os.execv(sys.argv[1], sys.argv[1:])\n"
        )
        command = [sys.executable, "-c", program, *SUPERVISE, supervision(Path("/elsewhere/s"))]
        supervisor = processes.run(command, pass_fds=[listening.fileno()])
        assert client.call("x") == f"x {supervisor.worker()}"
        worker_environment = Path(f"/proc/{supervisor.worker()}/environ").read_bytes()
        assert b"LISTEN_PID" not in worker_environment
        client.close()
        supervisor.signal(signal.SIGTERM)
        assert supervisor.wait() == 0
        assert path.is_socket()
        with socket.socket(socket.AF_UNIX) as call:  # a call while nobody serves waits in systemd's socket
            call.settimeout(SECONDS)
            call.connect(str(path))
            call.sendall(b"between\n")
            again = processes.run(command, pass_fds=[listening.fileno()])
            assert call.recv(100) == f"between {again.worker()}\n".encode()


@pytest.mark.long
def test_a_reader_of_its_log_that_went_away_does_not_end_it(path: Path, client: StubClient) -> None:
    """Kong's process holds the other end of our output; the next lines come after it has exited."""
    reader, writer = os.pipe()
    supervisor = subprocess.Popen(
        [*SUPERVISE, supervision(path, drain_seconds=600.0)], env={}, stdout=writer, stderr=writer
    )
    try:
        until(path.is_socket, "the socket")
        worker = int(client.call("x").split()[1])
        os.close(reader)
        os.close(writer)
        os.kill(worker, signal.SIGKILL)
        assert int(client.call("y").split()[1]) != worker
        supervisor.terminate()
        assert supervisor.wait(SECONDS) == 0  # its worker left when it was asked to, and was not killed in the end
    finally:
        supervisor.kill()
        supervisor.wait(SECONDS)


def test_a_worker_inherits_the_socket_and_the_link_alone(processes: Processes, path: Path) -> None:
    """Not the supervisor's end of an earlier worker's link, say: that worker would never see us go."""
    supervisor = processes.supervisor(path, worker=["/bin/sh", "-c", 'ls -l /proc/self/fd; exec "$@"', "sh", *STUB])
    supervisor.worker()
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("worker_ready", 2)
    assert sum("socket:" in line for line in supervisor.output) == 4  # two for each of two workers


def test_it_warns_where_it_runs_as_root(processes: Processes, path: Path) -> None:
    supervisor = processes.supervisor(path)
    supervisor.worker()
    assert len(supervisor.lines("running_as_root")) == (os.geteuid() == 0)
