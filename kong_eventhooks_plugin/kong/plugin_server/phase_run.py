"""The phase that runs on a connection: asks Kong for PDK functions, submits the observation, waits for the commit.

After the commit a log phase stays open for the lines that the hooks which its event fired write to Kong's error log,
within the time that a commit may take: then those need no further request.

A phase must not fail towards Kong (decision 7): whatever it raises is counted and logged, and the call is finished.

Limit: ``ANSWERS`` numbers that a function answered are remembered by their bytes; past it all are forgotten and read
again. ``commit_deadlines`` has those on waiting.
"""

from asyncio import Future
from collections.abc import Iterable
from typing import Any, Protocol

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server.connection_state import ASKING, COMMITTING, READY, State
from kong_eventhooks_plugin.kong.plugin_server.contract import Committed
from kong_eventhooks_plugin.kong.plugin_server.pdk import NO_REQUEST, PdkRequest
from kong_eventhooks_plugin.kong.plugin_server.phases import (
    Begun,
    FirstRequest,
    Observation,
    forward_log_lines,
    submit_observation,
)
from kong_eventhooks_plugin.kong.plugin_server.server_context import CallRoute, ServerContext
from kong_eventhooks_plugin.kong.plugin_server.socket_writer import SocketWriter
from kong_eventhooks_plugin.kong.wire.answers import FINISHED, finished
from kong_eventhooks_plugin.kong.wire.frames import encode_frame
from kong_eventhooks_plugin.kong.wire.values import DECODERS
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.queue.contract import Receipt

ANSWERS = 1_024


class CallConnection(Protocol):
    """What a phase needs of the connection that it runs on."""

    state: State

    def answer(self, frames: bytes) -> None:
        """Write what ends a call."""

    def take_kept(self) -> None:
        """Take what the peer has sent while its call was being committed."""

    @property
    def has_kept(self) -> bool:
        """Whether the peer has sent something meanwhile."""


class PhaseRun:
    """Runs the phases of one connection, one after the other. ``known_answers`` has frames that Kong may answer with.

    ``begin`` and ``resume`` run until the phase asks Kong again or is done. What a slot has is called through a local
    name: the interpreter looks it up for a method each time otherwise, for a hundred instructions.
    """

    __slots__ = (
        "_arrival",
        "_backlog",
        "_clock",
        "_connection",
        "_context",
        "_count",
        "_deadlines",
        "_echo",
        "_future",
        "_host",
        "_monotonic",
        "_pdk_calls",
        "_request",
        "_started",
        "_steps",
        "_write",
        "known_answers",
    )

    def __init__(self, connection: CallConnection, context: ServerContext, writer: SocketWriter) -> None:
        self._connection = connection
        self._context = context
        self._host = context.host
        self._clock = context.clock
        self._monotonic = context.monotonic
        self._deadlines = context.deadlines
        self._backlog = context.backlog
        self._pdk_calls = context.pdk_calls
        self._write = writer.write
        self._echo = b""
        self._steps: Begun | None = None
        self._set_request(NO_REQUEST)
        self._started = 0.0
        self._future: Future[Committed] | None = None
        self._arrival: Future[None] | None = None

    @property
    def function(self) -> str | None:
        """The function that Kong is asked for, if any."""
        return self._request.name if self._steps is not None else None

    def begin(self, route: CallRoute, echo: bytes) -> None:
        self._echo = echo
        if not route.instance.used:
            route.instance.used = True
        run, monotonic = route.run, self._monotonic
        try:
            steps = run(self._host, self._clock)
            if steps is None:
                self._connection.answer(FINISHED[len(echo)] + echo)  # as _finish, without calls
                return
            request = steps.request if type(steps) is FirstRequest else next(steps)
        except StopIteration as done:
            self._started = monotonic()
            self._submit(done.value)
        except Exception as error:  # noqa: BLE001 - a bug in a phase must not reach Kong, or another connection
            self._context.errors("internal_error", error, plugin=route.instance.plugin)
            self._finish()
        else:
            self._started = monotonic()
            self._steps = steps
            self._connection.state = ASKING
            if request is not self._request:  # as _ask, without a call where each event costs one
                self._set_request(request)
            self._count[0] += 1
            write = self._write
            write(request.frames)

    def _ask(self, request: PdkRequest) -> None:
        if request is not self._request:
            self._set_request(request)
        self._count[0] += 1
        self._write(request.frames)

    def _set_request(self, request: PdkRequest) -> None:
        self._request = request
        self.known_answers = request.known
        self._count = self._pdk_calls[request.name]

    def take_answer(self, frame: bytes) -> None:
        """Read Kong's answer, and resume the phase."""
        try:
            value = DECODERS[self._request.result](frame)
        except BadMessage as error:
            self._count_bad_answer(error)
            self.resume(error, True)
            return
        if self._request.result == "Int" and value is not None:
            if len(self.known_answers) >= ANSWERS:
                self.known_answers.clear()
            self.known_answers[encode_frame(frame)] = value
        self.resume(value, False)

    def take_oversized(self, size: int) -> None:
        """Resume the phase without an answer that is too long."""
        self._context.errors("oversized", bytes=size, function=self._request.name)
        self.resume(BadMessage("an answer over the limit"), True)

    def resume(self, value: Any, unreadable: bool) -> None:
        """Send the phase Kong's answer, or throw the ``BadMessage`` that is counted already where it is unreadable."""
        steps: Any = self._steps  # there is one: the state says so
        try:
            if unreadable:
                request = steps.throw(value)
            elif type(steps) is FirstRequest:
                then = steps.then
                steps = self._steps = then(self._host, self._clock, value)
                if steps is None:
                    connection, echo = self._connection, self._echo
                    connection.state = READY  # as _finish
                    connection.answer(FINISHED[len(echo)] + echo)
                    return
                request = next(steps)
            else:
                request = steps.send(value)
        except StopIteration as done:
            self._steps = None
            self._submit(done.value)
        except BadMessage as error:
            if not unreadable:
                self._count_bad_answer(error)
            self._abandon()
        except Exception as error:  # noqa: BLE001 - as in begin
            self._context.errors("internal_error", error, function=self._request.name)
            self._abandon()
        else:
            self._ask(request)

    def _count_bad_answer(self, error: BadMessage) -> None:
        self._context.errors("pdk_answer", function=self._request.name, what=str(error))

    def _abandon(self) -> None:
        self.cancel()
        self._finish()

    def cancel(self) -> None:
        """Forget the call; what it has submitted goes on."""
        steps, self._steps = self._steps, None
        self._leave_waiting()
        if steps is not None:
            try:
                steps.close()
            except Exception as error:  # noqa: BLE001 - as in begin
                self._context.errors("internal_error", error)

    def _finish(self) -> None:
        self._connection.state = READY  # before the answer: a last call's connection is handed over with it
        self._connection.answer(finished(self._echo))

    def _submit(self, observation: Observation | None) -> None:
        """Submit what the phase saw; answer at once, or when that is committed."""
        if observation is None:
            self._finish()
            return
        deadlines = self._deadlines
        early = deadlines.full
        try:
            if (early or self._backlog) and isinstance(observation, LogObservation):
                future: Future[Any] | None = self._backlog.add(observation)  # in order, behind those that wait
            else:
                future = submit_observation(self._host, observation)
            if future is not None:
                # Which is never called from within.
                future.add_done_callback(self._on_late_commit if early else self._on_commit)
        except Exception as error:  # noqa: BLE001 - as in begin
            self._context.errors("internal_error", error, what=type(observation).__name__)
            future = None
        if future is not None and early:
            deadlines.answered += 1
            self._context.errors("early")
            future = None
        if future is None:
            self._finish()
            return
        self._future = future
        self._connection.state = COMMITTING
        deadlines.committing += 1
        deadlines.add(self, self._started)

    def _on_late_commit(self, future: "Future[Committed]") -> None:
        """Take the commit of an event whose call was answered when it came."""
        self._deadlines.answered -= 1
        self._count_failure(future)

    def _count_failure(self, future: "Future[Committed]") -> bool:
        """Return whether it failed."""
        if future.cancelled():
            self._context.errors("not_accepted", what="cancelled")
        elif (error := future.exception()) is not None:
            self._context.errors("not_accepted", error)
        else:
            return False
        return True

    def _on_commit(self, future: "Future[Committed]") -> None:
        """Answer; a future that is no longer waited for says only whether it failed."""
        failed = self._count_failure(future)
        if future is not self._future:
            return
        self._leave_commit()
        arrival = self._host.lines.arrival(() if failed else _hooks_fired(future.result()))
        if arrival is None:
            self._deadlines.discard(self)
            self._finish()
            self._connection.take_kept()
        else:
            self._arrival = arrival
            arrival.add_done_callback(self._on_arrival)

    def _on_arrival(self, arrival: "Future[None]") -> None:
        """Hand Kong the lines that wait, then finish."""
        if arrival is not self._arrival:
            return
        self._arrival = None
        request = None
        try:
            steps = None if self._connection.has_kept else forward_log_lines(self._host, self._clock)
            if steps is not None:
                request = next(steps)
        except Exception as error:  # noqa: BLE001 - as in begin
            self._context.errors("internal_error", error)
        if request is None:
            self._stop_waiting()
            return
        self._deadlines.discard(self)
        self._steps = steps
        self._connection.state = ASKING
        self._ask(request)

    def answer_early(self) -> None:
        """Answer a call whose commit takes too long, or whose lines do not come."""
        if self._arrival is None:
            self._context.errors("late")
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        self._leave_waiting()
        self._finish()
        self._connection.take_kept()

    def _leave_commit(self) -> None:
        if self._future is not None:
            self._future = None
            self._deadlines.committing -= 1

    def _leave_waiting(self) -> None:
        self._leave_commit()
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.cancel()
        self._deadlines.discard(self)


def _hooks_fired(committed: Committed | None) -> Iterable[str]:
    """Return them; None is what led to nothing."""
    if isinstance(committed, Receipt):
        return committed.fired
    return [hook for receipt in committed or () if isinstance(receipt, Receipt) for hook in receipt.fired]
