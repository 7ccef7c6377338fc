"""Since when the plugin socket is served, for how long before nobody listened on it, and whether Kong has connected.

Kong does not repeat a call that finds no listener, so that time is an outage. It is known from a note in the data
directory, which every worker on the socket renews every ``HEARTBEAT_SECONDS`` and finishes when it stops:

=========================  ==========================================================================
the note says              what happened to the listener before
=========================  ==========================================================================
``stopped``                it was stopped; the time is exact
``supervisor exited``      its supervisor was killed, which its worker saw; the time is exact
``listening``              everything was killed, or the machine went down: ``ended`` is ``killed``
=========================  ==========================================================================

The outage ends when the socket was bound, which is its file's time. So neither another worker on the same socket nor a
socket of systemd's, where calls wait meanwhile, has one.

Limits: without a heartbeat at the end, an outage shorter than ``UNCERTAIN_SECONDS`` is not noticed. After a power cut
the note may be half a minute older than the end. A note that cannot be read or written means that nothing is known.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Collection
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import structlog

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.background import RECENT_SECONDS
from kong_eventhooks_plugin.kong.supervisor.sockets import path_of
from kong_eventhooks_plugin.queue.holders import running, this_process
from kong_eventhooks_plugin.telemetry.metrics import Metrics

HEARTBEAT_SECONDS: Final = 1.0
UNCERTAIN_SECONDS: Final = 3.0
CONNECT_SECONDS: Final = 60.0
"""How long Kong, with the plugin configured, may stay away before that is an error."""

_NOTE_BYTES: Final = 1024
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

State = Literal["listening", "stopped", "supervisor exited"]
Ended = Literal["killed", "supervisor killed", "stopped"]
_ENDED: Final[dict[State, Ended]] = {
    "listening": "killed",
    "supervisor exited": "supervisor killed",
    "stopped": "stopped",
}

log = structlog.get_logger()


class Outage(msgspec.Struct, frozen=True):
    """A time in which nobody listened; Unix seconds."""

    since: float
    until: float
    ended: Ended

    @property
    def seconds(self) -> float:
        return round(self.until - self.since, 3)


class Note(msgspec.Struct, frozen=True):
    """``at`` is the last heartbeat of ``process``; ``outage`` the one before the socket was bound."""

    at: float
    state: State
    process: str
    bound_at: float
    connected: bool
    outage: Outage | None = None


def outage_before(note: Note, bound_at: float) -> Outage | None:
    """Return the outage between a note and the socket that was bound at ``bound_at``; the same socket keeps its own."""
    if note.bound_at == bound_at:
        return note.outage
    shortest = UNCERTAIN_SECONDS if note.state == "listening" else 0.0
    if bound_at - note.at <= shortest or (note.state == "listening" and running(note.process)):
        return None
    return Outage(note.at, bound_at, _ENDED[note.state])


class ListeningRecord:
    """The note of one socket. ``plugins`` returns the plugins of ours that Kong has, None where that is not known."""

    def __init__(
        self,
        listening: socket.socket,
        directory: Path,
        metrics: Metrics,
        plugins: Callable[[], Collection[str] | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._socket = path_of(listening)
        name = blake2b(os.fsencode(self._socket), digest_size=6).hexdigest()
        self._path = directory / f"listening-{name}.json"
        self._metrics = metrics
        self._plugins = plugins
        self._clock = clock
        self._bound_at = _changed_at(self._socket)
        self._configured_at: float | None = None
        self._connected = False
        self._stopped = False
        self._saving = threading.Lock()
        self.outage: Outage | None = None

    async def run(self) -> None:
        """Find out the outage, then keep the note until cancelled."""
        await asyncio.to_thread(self._load)
        if (outage := self.outage) is not None:
            self._metrics.socket_unserved.labels(ended=outage.ended).set(outage.seconds)
            level = "info" if outage.ended == "stopped" else "warning"
            getattr(log, level)("socket_unserved", seconds=outage.seconds, since=outage.since, ended=outage.ended)
        while True:
            self._connection_error()  # its minute runs from when Kong has the plugin, not from the first /readyz
            await asyncio.to_thread(self._save, "listening")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def stop(self, reason: State) -> None:
        """Finish the note: nobody listens from now on, unless another process on the socket goes on writing it."""
        self._stopped = True
        await asyncio.to_thread(self._save, reason)

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows."""
        outage = None if self.outage is None else {**msgspec.to_builtins(self.outage), "seconds": self.outage.seconds}
        return {"path": str(self._socket), "bound_at": self._bound_at, "connected": self._connected, "outage": outage}

    def errors(self) -> list[str]:
        """Return what needs a person."""
        return [*self._outage_error(), *self._connection_error()]

    def _outage_error(self) -> list[str]:
        outage = self.outage
        if outage is None or outage.ended == "stopped" or self._clock() - outage.until > RECENT_SECONDS:
            return []
        when = f"for {outage.seconds:g} s before this start ({outage.ended})"
        advice = "a restart policy keeps it short (README, What is promised)"
        return [f"nobody listened on {self._socket} {when}: Kong's calls in that time are lost; {advice}"]

    def _connection_error(self) -> list[str]:
        now, plugins = self._clock(), self._plugins()
        self._connected = self._connected or bool(self._metrics.counts.plugin_calls)
        if self._connected or not plugins:
            self._configured_at = None
            return []
        self._configured_at = self._configured_at or now
        if now - self._configured_at < CONNECT_SECONDS:
            return []
        names = ", ".join(sorted(plugins))
        reason = "its kong.conf names another socket, or its workers may not open this one (its error log says which)"
        advice = f"if it has proxied requests, {reason}; for the second, set socket_group to the group of its workers"
        return [f"Kong has the plugin {names} and has not connected to {self._socket}: {advice}"]

    def _load(self) -> None:
        try:
            data = files.read(self._path, _NOTE_BYTES, os.O_NOFOLLOW)
            note = msgspec.json.decode(data.rstrip(b"\0"), type=Note)
        except (OSError, msgspec.DecodeError, UnicodeError):
            return
        if self._bound_at is not None:
            self.outage = outage_before(note, self._bound_at)
            self._connected = self._connected or (note.connected and note.bound_at == self._bound_at)

    def _save(self, state: State) -> None:
        if self._bound_at is None:
            return
        with self._saving:
            if state != "listening" or not self._stopped:
                self._write(state, self._bound_at)

    def _write(self, state: State, bound_at: float) -> None:
        note = Note(self._clock(), state, this_process(), bound_at, self._connected, self.outage)
        data = msgspec.json.encode(note).ljust(_NOTE_BYTES, b"\0")
        try:
            descriptor = os.open(self._path, _FLAGS, 0o600)
            try:
                os.pwrite(descriptor, data, 0)  # in one piece, and never truncated: a kill leaves a whole note
            finally:
                os.close(descriptor)
        except OSError:
            return  # the store, on the same disk, says so


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
