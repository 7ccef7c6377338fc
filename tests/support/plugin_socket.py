"""The plugin socket for tests: a host that records, a transport in memory, and a server on a real socket."""

import asyncio
import socket
import tempfile
from asyncio import Future
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost, UnreadLogs
from kong_eventhooks_plugin.kong.plugin_server.error_log_lines import WaitingLine
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.log_first import LogFirst
from kong_eventhooks_plugin.kong.plugin_server.server import PluginServer
from kong_eventhooks_plugin.kong.wire.frames import FrameReader, Oversized
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.model.observation import (
    ChangeObservation,
    ChangeTarget,
    InstanceClosed,
    InstanceStarted,
    LogObservation,
)
from kong_eventhooks_plugin.telemetry.metrics import Counts, Metrics
from tests.support.clock import FakeClock

NOW = 1_795_278_775.0
INFOS = {
    name: {"Name": name, "Phases": phases, "Version": "1.0.0", "Priority": 1, "Schema": {"name": name}}
    for name, phases in {"event-hooks": ["log"], "event-hooks-crud": ["response", "log"]}.items()
}

Accept = Callable[[LogObservation], "Future[Any] | None"]


class RecordingHost:
    """Every part of a ``PluginHost``: records. ``accept`` says what ``observe`` does; ``fails`` makes everything raise.

    ``answers`` says of which changes (method, path) the answer is wanted, once ``has_change_subscribers`` is set; paths
    below ``/status`` never change anything.
    """

    def __init__(self, *statuses: int, accept: Accept = lambda seen: None, hears_changes: bool = False) -> None:
        self.log_statuses = frozenset(statuses)
        self.has_change_subscribers = hears_changes
        self.answers: Callable[[str, str], bool] = lambda method, path: method != "DELETE"
        self.changes: list[ChangeObservation] = []
        self.accept = accept
        self.fails = False
        self.seen: list[LogObservation] = []
        self.started: list[InstanceStarted] = []
        self.in_force: Future[None] | None = None
        self.closed: list[InstanceClosed] = []
        self.lines: deque[LogLine] = deque()
        self.written_lines: list[LogLine] = []
        self.line_arrival: Future[None] | None = None
        self.fired: list[str] = []
        self.log_first = LogFirst()
        self.quiet: UnreadLogs | None = None

    def plugin_host(self) -> PluginHost:
        return PluginHost(requests=self, lifecycle=self, lines=self, changes=self, log_first=self.log_first)

    def observe(self, seen: LogObservation) -> "Future[Any] | None":
        self._fail()
        self.seen.append(replace(seen, log=None))
        return self.accept(seen)

    def change_target(self, method: str, path: str) -> ChangeTarget | None:
        self._fail()
        return None if path.startswith("/status") else ChangeTarget(wants_answer=self.answers(method, path))

    def observe_change(self, seen: ChangeObservation) -> None:
        self._fail()
        self.changes.append(seen)

    def instance_started(self, started: InstanceStarted) -> "Future[None] | None":
        self._fail()
        self.started.append(started)
        return self.in_force

    def instance_closed(self, closed: InstanceClosed) -> None:
        self._fail()
        self.closed.append(closed)

    def pop(self) -> WaitingLine | None:
        self._fail()
        return WaitingLine(self.lines.popleft(), None) if self.lines else None  # type: ignore[arg-type]

    def arrival(self, fired: Iterable[str]) -> "Future[None] | None":
        self.fired = list(fired)
        return self.line_arrival

    def written(self, waiting: WaitingLine) -> None:
        self.written_lines.append(waiting.line)

    def put_back(self, waiting: WaitingLine) -> None:
        self.lines.appendleft(waiting.line)

    def _fail(self) -> None:
        if self.fails:
            raise RuntimeError("a bug in the host")


class Transport(asyncio.Transport):
    """A transport and its socket in one. Keeps what is written; says when it would be closed or paused.

    ``room`` is how many bytes the socket takes before it is full (None: any number); what the transport then keeps goes
    out with ``flush``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.room: int | None = None
        self.kept = bytearray()
        self.reading = True
        self.ended = False
        self.aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def send(self, data: bytes) -> int:
        """Be the socket."""
        assert not self.ended
        assert not self.kept, "bytes went past those that wait"
        if self.aborted:
            raise BrokenPipeError
        if self.room == 0:
            raise BlockingIOError
        taken = data[: self.room]
        self.written += taken
        if self.room is not None:
            self.room -= len(taken)
        return len(taken)

    def write(self, data: Any) -> None:
        assert not self.ended
        assert not self.aborted
        self.kept += data

    def shutdown(self, how: int) -> None:
        """Be the socket."""

    def flush(self) -> None:
        """Let the peer read all of it."""
        self.room = None
        self.written += self.kept
        self.kept.clear()

    def get_write_buffer_size(self) -> int:
        return len(self.kept)

    def write_eof(self) -> None:
        assert not self.ended
        self.ended = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def abort(self) -> None:
        self.aborted = True

    def taken(self) -> bytes:
        """Return what was written since the last look."""
        data = bytes(self.written)
        self.written.clear()
        return data

    def frames(self) -> list[bytes]:
        """Return it as frames; there must be nothing behind the last."""
        return frames_of(self.taken())


def frames_of(data: bytes) -> list[bytes]:
    """Return the frames in ``data``, which holds nothing else."""
    reader = FrameReader()
    reader.keep(data)
    found = []
    while (frame := reader.next()) is not None:
        assert not isinstance(frame, Oversized)
        found.append(frame)
    assert not reader.partial
    return found


class Setup:
    """A plugin server with all that it was made of."""

    def __init__(self, host: RecordingHost, **options: Any) -> None:
        self.host = host
        self.metrics = Metrics()
        self.monotonic = options.setdefault("monotonic", FakeClock())
        self.instances = PluginInstances(
            lambda: NOW, base=options.pop("base", 70_000), limit=options.pop("instances", 1_000)
        )
        self.server = PluginServer(
            host.plugin_host(), self.metrics, self.instances, INFOS, clock=lambda: NOW, **options
        )
        self.path = Path()

    @property
    def counts(self) -> Counts:
        return self.metrics.counts

    def faults(self) -> dict[str, int]:
        """Return how many of each fault there were."""
        return {reason: count for (reason,), count in self.counts.socket_errors.items()}


@asynccontextmanager
async def serving(host: RecordingHost, **options: Any) -> AsyncIterator[Setup]:
    """Serve on a real socket in a directory of its own (a socket's path has room for 107 bytes only)."""
    options.setdefault("monotonic", asyncio.get_running_loop().time)
    setup = Setup(host, **options)
    with tempfile.TemporaryDirectory() as made, socket.socket(socket.AF_UNIX) as listening:
        setup.path = Path(made) / "kong.sock"
        listening.bind(str(setup.path))
        listening.listen(512)
        await setup.server.serve(listening)
        try:
            yield setup
        finally:
            await setup.server.drain(0.0)
