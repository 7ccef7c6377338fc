"""Real processes for tests: a supervisor started as in production, its log lines, a client that calls as Kong does."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import SECONDS, until

ROOT = Path(__file__).resolve().parents[2]
STUB = (sys.executable, str(ROOT / "tests" / "support" / "stub_worker.py"))
PATIENT = {"PYTHONPATH": str(ROOT / "tests" / "support" / "patience")}
"""The environment of a sidecar that answers no call before its commit, however slow the machine is."""

Line = dict[str, Any]


class Running:
    """A started process whose JSON log lines are kept.

    It writes to a file: a pipe would be full as soon as the machine gives us no time to read, and a supervisor drops a
    line that finds no room.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], **options: Any) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in ``stop``
        self.process = subprocess.Popen(
            command, env=dict(environment), stdout=self._file, stderr=subprocess.STDOUT, **options
        )
        self.pid = self.process.pid
        self._output: list[str] = []
        self._lines: dict[str, list[Line]] = {}
        self._read_to = 0
        self._rest = b""
        self._lock = threading.Lock()

    def _read(self) -> None:
        while not self._file.closed and (data := os.pread(self._file.fileno(), 1 << 20, self._read_to)):
            self._read_to += len(data)
            *whole, self._rest = (self._rest + data).split(b"\n")
            for line in whole:
                self._keep(line.decode(errors="replace"))

    def _keep(self, line: str) -> None:
        self._output.append(line)
        if line.startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):  # one that a kill has cut
                parsed = json.loads(line)
                self._lines.setdefault(parsed.get("event"), []).append(parsed)

    @property
    def output(self) -> list[str]:
        """Return the lines so far."""
        with self._lock:
            self._read()
            return [*self._output, *([self._rest.decode(errors="replace")] if self._rest else [])]

    def lines(self, event: str) -> list[Line]:
        """Return the log lines of one event so far."""
        with self._lock:
            self._read()
            return list(self._lines.get(event, ()))

    def wait_for(self, event: str, count: int = 1, seconds: float = SECONDS) -> Line:
        """Wait until an event has been logged ``count`` times; return that line."""
        try:
            return until(lambda: self.lines(event)[count - 1 :], f"{count} x {event!r} in the log", seconds)[0]
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.output])) from error

    def worker(self) -> int:
        """Return the process id of the newest ready worker, as far as the log was read: wait for its line first."""
        self.wait_for("worker_ready")
        return int(self.lines("worker_ready")[-1]["pid"])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = SECONDS) -> int:
        """Wait for its end; return the exit status."""
        return self.process.wait(seconds)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(SECONDS)
        with self._lock:
            self._read()
            self._file.close()


def supervision(path: Path, worker: Sequence[str] = STUB, **changes: Any) -> str:
    """Return the argument of ``kong_eventhooks_plugin.kong.supervisor.supervise``."""
    told = {
        "socket_path": str(path),
        "socket_group": None,
        "started_by_kong": False,
        "drain_seconds": SECONDS,
        "watchdog_seconds": 0.0,
        "log": "json",
        "worker": list(worker),
    }
    return json.dumps(told | changes)


_MODULE = "kong_eventhooks_plugin.kong.supervisor.supervise"
_OPEN = f"import sys, {_MODULE} as it; it.refuse_inspection = lambda: None; sys.exit(it.main(sys.argv[1:]))"
SUPERVISE = (sys.executable, "-P", *(("-m", _MODULE) if os.geteuid() == 0 else ("-c", _OPEN)))
"""The tests look into a supervisor, which refuses that to all but root."""


class Processes:
    """Starts processes and, used as a context, ends them."""

    def __init__(self) -> None:
        self._running: list[Running] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for running in reversed(self._running):
            running.stop()

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any) -> Running:
        """Start a command, by default in an empty environment, as Kong does."""
        running = Running(command, environment or {}, **options)
        self._running.append(running)
        return running

    def supervisor(self, path: Path, worker: Sequence[str] = STUB, **changes: Any) -> Running:
        """Start a supervisor over the stub worker."""
        return self.run([*SUPERVISE, supervision(path, worker, **changes)])


def is_alive(pid: int) -> bool:
    """Tell whether a process runs (one that has ended and waits to be collected does not)."""
    return _state(pid) not in ("", "Z")


def hold_still(pid: int) -> None:
    """Stop a process; it has stopped on return. The signal alone may let it run on for a moment."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: _state(pid) == "T", f"process {pid} stands still", pace=0.001)


def kill_while_all_are_held(worker: int, supervisor: int, path: Path) -> None:
    """Kill a worker, as ``stop_while_all_are_held`` stops it."""
    stop_while_all_are_held(worker, supervisor, path)
    os.kill(worker, signal.SIGKILL)


def stop_while_all_are_held(worker: int, supervisor: int, path: Path) -> None:
    """Stop a worker at any instant but one: between accepting a connection and having its supervisor hold it.

    Such a connection dies with its worker, which the README says and nobody can help; a test that says that no call is
    lost must not hit upon it.
    """
    while True:
        hold_still(worker)
        for _ in range(20):  # the supervisor may have to read yet what it was handed
            # /proc/net/unix is not read at one instant: under load a line can be missing once.
            if all(_accepted(path) <= _sockets(supervisor) for _ in range(3)):
                return
            time.sleep(0.05)
        os.kill(worker, signal.SIGCONT)
        time.sleep(0.05)


def _accepted(path: Path) -> set[str]:
    """Return the inodes of the accepted connections on a path (proc(5): net/unix; one that waits has the inode 0)."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return {line[6] for line in lines if line[5] == "03" and line[7:] == [str(path)]} - {"0"}


def _sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            found.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found


def _state(pid: int) -> str:
    """Return its letter of proc(5), nothing for one that is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_checked(pid: int, times: int = 10) -> None:
    """Return when an idle process has woken up and gone to sleep again so many times: a busy one never does."""
    goal = _rests(pid) + times
    until(lambda: _rests(pid) >= goal, f"process {pid} rests {times} times")


def _rests(pid: int) -> int:
    """Return how often a process has given up the processor by itself (proc(5): status)."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["voluntary_ctxt_switches"])


class Closed(Exception):
    """The connection ended before the answer: Kong calls again then."""


class StubClient:
    """Calls the stub worker as Kong calls a plugin server.

    A connection that ends ("closed") is called again, without a limit. Everything else is what Kong loses, and is kept
    in ``lost``: nobody listens, the queue is full, a reset, a broken pipe.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()
        self.repeated = 0
        self.lost: list[str] = []

    def call(self, text: str, seconds: float = SECONDS) -> str:
        """Make one call; return the answer."""
        while True:
            try:
                return self._once(text, seconds)
            except Closed:
                with self._lock:
                    self.repeated += 1

    def _once(self, text: str, seconds: float) -> str:
        sock = self._connection(seconds)
        answer = b""
        try:
            sock.sendall(f"{text}\n".encode())
            while not answer.endswith(b"\n") and (part := sock.recv(4096)):
                answer += part
        except OSError as error:
            sock.close()
            with self._lock:
                self.lost.append(repr(error))
            raise
        if not answer.endswith(b"\n"):
            sock.close()
            raise Closed
        with self._lock:
            self._idle.append(sock)
        return answer.decode().strip()

    def _connection(self, seconds: float) -> socket.socket:
        with self._lock:
            while self._idle:
                sock = self._idle.pop()
                if _is_open(sock):
                    return sock
                sock.close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(seconds)
        try:
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            with self._lock:
                self.lost.append(repr(error))
            raise
        return sock

    def close(self) -> None:
        with self._lock:  # other threads may be about to take one, or to bring one back
            idle, self._idle = self._idle, []
        for sock in idle:
            sock.close()


def _is_open(sock: socket.socket) -> bool:
    """Tell whether the server has not ended an idle connection; nginx lets such a one go as soon as it hears of it."""
    return not select.select([sock], [], [], 0)[0]


class Load:
    """Calls at a steady rate, each in its own thread; ``answers`` is call -> answer.

    No more than ``AT_ONCE`` wait for an answer: where the machine is too slow for the rate, calls come more slowly.
    """

    AT_ONCE = 200

    def __init__(self, call: Callable[[str], str], per_second: float) -> None:
        self._call = call
        self._pause = 1 / per_second
        self.answers: dict[str, str] = {}
        self.faults: list[str] = []
        self.made = 0
        self._over = threading.Event()
        self._free = threading.Semaphore(self.AT_ONCE)
        self._threads: list[threading.Thread] = []
        self._pacer = threading.Thread(target=self._pace)

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            if not self._free.acquire(timeout=0.1):
                continue
            name = f"call-{self.made}"
            self.made += 1
            thread = threading.Thread(target=self._one, args=(name,))
            thread.start()
            self._threads.append(thread)
            due += self._pause
            self._over.wait(max(0.0, due - time.monotonic()))

    def _one(self, name: str) -> None:
        try:
            self.answers[name] = self._call(name)
        except Exception as error:  # noqa: BLE001 - the test looks at every fault
            self.faults.append(f"{name}: {error!r}")
        finally:
            self._free.release()

    def answered(self, count: int) -> None:
        """Wait until ``count`` more calls have been answered."""
        goal = len(self.answers) + count
        until(lambda: len(self.answers) >= goal, f"{goal} answers; faults {self.faults[:3]}")

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        """Call until the block ends, then wait for every answer."""
        self._pacer.start()
        try:
            yield self
        finally:
            self._over.set()
            self._pacer.join(SECONDS)
            for thread in self._threads:
                thread.join(SECONDS)
