"""One worker process, as the pool sees it: its start, its tasks, its end and the reason.

Limits: an answer that is longer than ``MAX_ANSWER`` bytes and what ``SandboxLimits.output_bytes`` of text can become,
or that cannot be read, ends the process: whatever writes it is no longer our code. An answer is a few texts (``tasks``
bounds how many), so that reading one costs no more than its bytes. A process that is not ready after ``START_SECONDS``
is killed. Beside the kernel's timers in the process, a wall clock here ends a task ``GRACE_SECONDS`` after its limit.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import msgspec

from kong_eventhooks_plugin.sandbox.tasks import (
    READY,
    Engine,
    Failed,
    Reason,
    Result,
    SandboxLimits,
    Setup,
    Task,
    engine_of,
    pack,
    unpack,
)

if TYPE_CHECKING:
    from asyncio.subprocess import Process

MAX_ANSWER = 4 << 20
LONGEST_REPLACED = 3
"""Bytes of U+FFFD, which stands for a byte that is no UTF-8."""

START_SECONDS = 30.0
GRACE_SECONDS = 1.0

_CHUNK = 1 << 18
_ARGUMENTS = ("-I", "-m", "kong_eventhooks_plugin.sandbox.worker")
_SIGNALS: dict[int, Reason] = {-signal.SIGALRM: "wall", -signal.SIGPROF: "cpu", -signal.SIGSYS: "syscall"}
_results = msgspec.msgpack.Decoder(Result)


class SandboxJob(msgspec.Struct, eq=False):
    """A task of ``lane``. ``alone``: no other task shares its worker; ``fresh``: only a new worker may run it."""

    frame: bytes
    kind: str
    engine: Engine
    lane: str
    answer: "asyncio.Future[Result]"
    alone: bool = False
    fresh: bool = False


class Listener(msgspec.Struct, frozen=True):
    """Called by a worker: when it is ready, has answered a job, has ended."""

    ready: Callable[["SandboxWorker"], None]
    answered: Callable[["SandboxWorker", SandboxJob, Result], None]
    ended: Callable[["SandboxWorker", Reason, str], None]


class SandboxWorker(asyncio.Protocol):
    """A process and its socket. ``jobs`` are those that it was sent, the running one first."""

    def __init__(self, setup: Setup, listener: Listener) -> None:
        self.engines = setup.engines
        self.jobs: deque[SandboxJob] = deque()
        self.ready = False
        self.leaving = False
        self.done = 0
        self._setup = setup
        self._listener = listener
        self._limits: SandboxLimits = setup.limits
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._rest: socket.socket | None = None
        self._process: Process | None = None
        self._lost = asyncio.Event()
        self._clock: asyncio.TimerHandle | None = None
        self._progress_at = 0.0
        self._killed: tuple[Reason, str] | None = None
        self._stopped = False

    @property
    def idle(self) -> bool:
        return self.ready and not self.jobs and not self.leaving

    @property
    def is_open(self) -> bool:
        """Whether it can be sent jobs."""
        connected = self._transport is not None and not self._transport.is_closing()
        return self.ready and not self.leaving and connected

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def run(self) -> None:
        """Start the process, wait for its end and report it. Cancelled, it kills the process first."""
        try:
            await self._start()
            await self._lost.wait()
        except OSError as error:
            self._killed = "unavailable", f"no process can be started: {error.strerror}"
        finally:
            status = 0
            if self._process is not None:
                if not self._lost.is_set():
                    self.kill("closed", "the sandbox is closed")
                status = await self._exited(self._process)
            self._stop_timer()
            self._listener.ended(self, *self._exit_reason(status))

    def stop(self) -> None:
        """Kill the process, or as soon as it is started: the pool closes."""
        self._stopped = True
        self.kill("closed", "the sandbox is closed")

    @staticmethod
    async def _exited(process: "Process") -> int:
        """Return the exit status; a process that has closed its socket and does not end is killed."""
        try:
            return await asyncio.wait_for(process.wait(), GRACE_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return await process.wait()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, *_ARGUMENTS, str(os.getpid()),
                    stdin=theirs.fileno(), stdout=asyncio.subprocess.DEVNULL, env={}, cwd="/", start_new_session=True,
                )  # fmt: skip
            except BaseException:
                ours.close()
                raise
        self._rest = ours.dup()
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        if self._stopped:
            self.kill("closed", "the sandbox is closed")
        self._arm(START_SECONDS)
        self._write(pack(self._setup))

    def send(self, jobs: list[SandboxJob]) -> None:
        if not self.jobs:
            self._progress_at = asyncio.get_running_loop().time()
            self._arm(self._limits.wall_seconds + GRACE_SECONDS)
        self.jobs.extend(jobs)
        self._write(b"".join(job.frame for job in jobs))

    def leave(self) -> None:
        """Let it exit by itself: it has no job and gets no more."""
        self.leaving = True
        if self._transport is not None:
            self._transport.close()

    def kill(self, reason: Reason, text: str) -> None:
        if self._killed is None and self._process is not None and self._process.returncode is None:
            self._killed = reason, text
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        for body in unpack(self._buffer):
            if self._killed is not None:
                return
            try:
                result = _results.decode(body)
            except msgspec.DecodeError:
                self.kill("crash", "its answer could not be read")
                return
            self._on_result(result)
        if len(self._buffer) > MAX_ANSWER + LONGEST_REPLACED * self._limits.output_bytes:
            self.kill("crash", "its answer was too long")

    def connection_lost(self, exc: Exception | None) -> None:
        self._read_rest()
        self._lost.set()

    def _read_rest(self) -> None:
        """Read the answers that the transport did not: a write to a process that has died ends it before them.

        Without them the process would seem to have died of a job that it had finished.
        """
        if self._rest is None:
            return
        with self._rest, contextlib.suppress(OSError):
            while chunk := self._rest.recv(_CHUNK):
                self.data_received(chunk)

    def _on_result(self, result: Result) -> None:
        if not self.ready:
            self._on_started(result)
        elif self.jobs:
            self.done += 1
            self._progress_at = asyncio.get_running_loop().time()
            self._listener.answered(self, self.jobs.popleft(), result)
        else:
            self.kill("crash", "it sent an answer without a task")

    def _on_started(self, result: Result) -> None:
        self._stop_timer()
        if result == READY:
            self.ready = True
            self._listener.ready(self)
        else:
            self.kill("unavailable", result.text if isinstance(result, Failed) else "its first message was no READY")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _arm(self, seconds: float) -> None:
        self._stop_timer()
        self._clock = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _stop_timer(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _on_timer(self) -> None:
        """Kill a process that is over its time; else set the timer anew."""
        self._clock = None
        if not self.ready:
            self.kill("unavailable", f"it was not ready within {START_SECONDS:g} s")
        elif self.jobs:
            rest = self._progress_at + self._limits.wall_seconds + GRACE_SECONDS - asyncio.get_running_loop().time()
            if rest > 0:
                self._arm(rest)
            else:
                self.kill("wall", _limit_text("wall", self._limits))

    def _exit_reason(self, status: int) -> tuple[Reason, str]:
        if self._killed is not None:
            return self._killed
        reason = _SIGNALS.get(status)
        if reason is not None:
            return reason, _limit_text(reason, self._limits)
        return "crash", f"its process ended ({signal.Signals(-status).name if status < 0 else f'status {status}'})"


def _limit_text(reason: Reason, limits: SandboxLimits) -> str:
    if reason == "syscall":
        return "killed at a system call that the sandbox forbids"
    seconds, of = (limits.wall_seconds, "time") if reason == "wall" else (limits.cpu_seconds, "CPU time")
    return f"stopped after {seconds:g} s of {of}"


def make_job(task: Task, lane: str, answer: "asyncio.Future[Result]") -> SandboxJob:
    """Return the job of a task; raises what ``pack`` does."""
    return SandboxJob(pack(task), str(task.__struct_config__.tag), engine_of(task), lane, answer)
