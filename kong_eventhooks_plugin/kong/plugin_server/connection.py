"""One connection of Kong's: one call at a time, driven from what the transport hands over.

Everything runs inside ``buffer_updated``: a call is parsed, its phase runs until it has a question for Kong or is
done, the answer is written, and no task, lock or queue is involved. Only what an event caused is waited for (until it
is committed), as a future's callback. What is slow is done once: a call's meaning is remembered by its bytes, which
differ in nothing but the sequence, and so are the numbers that a function answered (benchmarks/plugin_server.py).

What is promised to Kong (decision 7): a connection is closed for an unknown instance id alone, since that makes Kong
start its instances anew. Whatever else goes wrong, the call is finished, counted and logged. An answer never waits
longer than ``ANSWER_SECONDS``, measured from the call.

Limits: ``ANSWER_SECONDS`` for what an event causes to be committed (checked every ``TICK_SECONDS``, together under
Kong's and our 1 s); past it Kong is answered, the commit goes on, and ``answer_early`` is counted. ``STALL_SECONDS``
for a peer that stops in the middle of a frame or does not answer or read, and for one that we have ended, whatever it
sends; past it the connection is cut. ``READ_BYTES`` at most in one read, the rest in the next. ``AHEAD_BYTES`` that a
peer may send ahead while its call is being worked on, past it it is not read; ``UNREAD_BYTES`` of ours that it has not
read, past it no call of it is begun. ``ROUTES`` calls are remembered with what they mean; past it all are forgotten,
and found again; so are ``ANSWERS`` numbers that a function answered. Frames have theirs in wire.frames.
"""

import asyncio
import contextlib
import socket
import time
from asyncio import Future
from collections.abc import Callable, MutableSequence
from typing import Any, cast

import msgspec

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server.call_handler import CallHandler
from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstance, PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.pdk import NO_REQUEST, PdkRequest
from kong_eventhooks_plugin.kong.plugin_server.phases import PHASES, Observation, Run, Steps, submit_observation
from kong_eventhooks_plugin.kong.plugin_server.socket_errors import SocketErrors
from kong_eventhooks_plugin.kong.supervisor.call_marks import IDLE, NO_SLOT, SLOTS, UNDER_WAY
from kong_eventhooks_plugin.kong.wire.answers import finished
from kong_eventhooks_plugin.kong.wire.calls import (
    Call,
    CloseInstance,
    HandleEvent,
    StartInstance,
    parse_call,
    split_event,
)
from kong_eventhooks_plugin.kong.wire.frames import FRAME_BYTES, ByteBudget, FrameReader, Oversized, encode_frame
from kong_eventhooks_plugin.kong.wire.values import DECODERS
from kong_eventhooks_plugin.telemetry.metrics import Counts

ANSWER_SECONDS = 0.8
TICK_SECONDS = 0.1
STALL_SECONDS = 60.0
READ_BYTES = 64 << 10
AHEAD_BYTES = 64 << 10
UNREAD_BYTES = 64 << 10
ROUTES = 8_192
ANSWERS = 1_024

_CALL_NAMES: dict[type[Call], tuple[str]] = {
    StartInstance: ("start_instance",),
    CloseInstance: ("close_instance",),
}
_OTHER_CALL = ("other",)
_HANDLE_EVENT = ("handle_event",)

# Why the frames that a peer has sent are left alone for now; several can hold at once.
_UNREAD = 1  # it does not read what we wrote
_COMMITTING = 2  # its call waits until what it caused is committed
_ENDED = 4  # the connection is about to end: nothing more is taken from it


def _never() -> bool:
    return False


class CallRoute(msgspec.Struct, frozen=True, eq=False):
    """What a handle_event means: an instance, and what runs in the phase."""

    instance: PluginInstance
    run: Run


class ServerContext(msgspec.Struct, frozen=True, eq=False):
    """What all connections share."""

    host: PluginHost
    instances: PluginInstances
    call_handler: CallHandler
    errors: SocketErrors
    counts: Counts
    byte_budget: ByteBudget
    waiting: dict["Connection", float]
    """Connections whose call waits for a commit, and when they are answered at the latest."""
    start_ticking: Callable[[], None]
    """Called when ``waiting`` is no longer empty."""
    opened: Callable[["Connection"], None]
    """Called when a connection has begun."""
    closed: Callable[["Connection"], None]
    """Called when a connection has ended."""
    routes: dict[bytes, CallRoute] = msgspec.field(default_factory=dict)
    """A handle_event's command (``split_event``) -> its meaning."""
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    frame_bytes: int = FRAME_BYTES
    answer_seconds: float = ANSWER_SECONDS
    space: bytearray = msgspec.field(default_factory=lambda: bytearray(READ_BYTES))
    """Where bytes are read to, one connection's at a time."""
    marks: MutableSequence[int] = msgspec.field(default_factory=lambda: bytearray(SLOTS + 1))
    """A byte for each connection's slot: whether a call is under way on it."""
    hands_over: Callable[[], bool] = _never
    """Tells whether a connection that we close goes on elsewhere."""


class Connection(asyncio.BufferedProtocol):
    """Serves one peer.

    Buffered, because only such a protocol hears of a read before it is made: a mark set after it would come too late.
    A worker killed between the two would leave a connection that looks idle and whose call is gone, and Kong would wait
    for its answer until its own time-out (seen once in fifty kills under full load).
    """

    __slots__ = (
        "_calls",
        "_clean",
        "_context",
        "_echo",
        "_future",
        "_held",
        "_host",
        "_instances",
        "_last_call",
        "_marks",
        "_paused",
        "_pdk_calls",
        "_queued",
        "_read",
        "_reader",
        "_reads",
        "_request",
        "_routes",
        "_routes_by_command",
        "_send",
        "_sock",
        "_space",
        "_started",
        "_steps",
        "_still",
        "_swept_reads",
        "_transport",
        "handed_over",
        "slot",
    )

    def __init__(self, door: ServerContext, slot: int, sock: socket.socket) -> None:
        self._context = door
        self._marks = door.marks
        self.slot = slot
        """Our place in the marks of calls under way."""
        self.handed_over = False
        """Whether this connection goes on elsewhere: only our end of it is closed."""
        self._host = door.host
        self._instances = door.instances
        self._routes = door.routes
        self._calls = door.counts.plugin_calls
        self._pdk_calls = door.counts.pdk_calls
        self._space = door.space
        self._read = memoryview(door.space)
        self._reader = FrameReader(door.frame_bytes, door.byte_budget)
        self._transport: asyncio.Transport | None = None
        # What is written goes straight into the socket, and through the transport only what finds no place there: so we
        # know when an answer has left, and it costs no more.
        self._sock = sock
        self._send: Callable[[bytes], int] = sock.send
        self._queued = False  # the transport may still hold bytes of ours
        self._held = 0
        self._paused = False
        self._last_call = False
        # The call under way: its sequence, its phase, the phase's last question and the known answers to it, when the
        # call came, and the commit that it waits for.
        self._echo = b""
        self._steps: Steps | None = None
        self._request = NO_REQUEST
        self._routes_by_command = NO_REQUEST.known
        self._started = 0.0
        self._future: Future[Any] | None = None
        self._clean = True  # the last read ended with a frame's end
        self._reads = 0
        self._swept_reads = -1
        self._still = 0

    # ---- what the transport says ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self._context.opened(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Say where the bytes go that are about to be read, and mark the connection first."""
        self._marks[self.slot] = UNDER_WAY
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read; answer what it completes."""
        data = self._read[:nbytes].tobytes()
        self._reads += 1
        if self._held:
            self._keep(data)
            return
        if self._clean:
            steps = self._steps
            if steps is None:
                if self._begin_known(data):
                    return
            elif (value := self._routes_by_command.get(data)) is not None:
                self._resume(steps, value)
                return
        frame = self._reader.feed(data)
        if frame is not None:
            self._receive(frame)
        elif self._reader.waiting:
            self._take_waiting()
        self._update_after_write()

    def pause_writing(self) -> None:
        """Stop beginning calls: the peer does not read."""
        self._held |= _UNREAD

    def resume_writing(self) -> None:
        """Go on."""
        self._release(_UNREAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everything go."""
        steps, future = self._steps, self._future
        if (steps is not None or future is not None) and not self._held & _ENDED:
            self._context.errors("peer_gone", function=self._request.name if steps is not None else None)
        self._transport = None
        self._send = _discard
        self._held |= _ENDED
        self._forget_call()
        self._reader.close()
        if not self.handed_over:
            self._shut_down()  # a holder's copy would keep it open for a peer that has ended its own direction alone
        self._context.closed(self)

    # ---- frames ----

    def _take_waiting(self) -> None:
        while not self._held:
            frame = self._reader.next()
            if frame is None:
                return
            if isinstance(frame, Oversized):
                self._take_oversized(frame)
            else:
                self._receive(frame)

    def _receive(self, frame: bytes) -> None:
        """Take a call, or Kong's answer to the phase under way."""
        if self._steps is not None:
            self._take_answer(self._steps, frame)
        else:
            framed = encode_frame(frame)
            if not self._begin_known(framed):
                self._begin(frame, split_event(framed))

    def _begin_known(self, data: bytes) -> bool:
        """Begin the call where ``data`` is exactly one, framed, whose meaning is known; else False."""
        event = split_event(data)
        if event is None:
            return False
        route = self._routes.get(event[0])
        if route is None or not route.instance.alive:
            return False
        self._echo = event[1]
        self._run(route)
        return True

    def _begin(self, frame: bytes, event: tuple[bytes, bytes] | None) -> None:
        """Take a call whose meaning is not known yet; ``event`` is what was split of it."""
        try:
            call = parse_call(frame)
        except BadMessage:
            self._calls[_OTHER_CALL] += 1
            self._answer(self._context.call_handler.answer_damaged(frame))
            return
        if isinstance(call, HandleEvent):
            route = self._find_route(call)
            if route is not None:
                if event is not None:
                    self._keep_route(event[0], route)
                self._echo = call.echo
                self._run(route)
        else:
            self._calls[_CALL_NAMES.get(type(call), _OTHER_CALL)] += 1
            self._answer(self._context.call_handler.answer(call))

    def _take_oversized(self, frame: Oversized) -> None:
        steps = self._steps
        if steps is None:
            self._calls[_OTHER_CALL] += 1
            self._answer(self._context.call_handler.answer_damaged(frame))
        else:
            self._context.errors("oversized", bytes=frame.length, function=self._request.name)
            self._resume_without(steps, BadMessage("an answer over the limit"))

    # ---- handle_event ----

    def _find_route(self, call: HandleEvent) -> CallRoute | None:
        """Return what the call means; where it means nothing, answer it."""
        instance = self._instances.get(call.instance_id)
        if instance is None:
            # Kong may keep ids of our predecessor for as long as it runs: closing makes it start its instances.
            self._calls[_HANDLE_EVENT] += 1
            self._context.errors("unknown_instance", phase=call.phase[:32])
            self.end()
            return None
        run = PHASES.get((instance.plugin, call.phase))
        if run is None:
            self._calls[_HANDLE_EVENT] += 1
            self._context.errors("unknown_phase", plugin=instance.plugin[:64], phase=call.phase[:32])
            self._echo = call.echo
            self._finish()
            return None
        return CallRoute(instance, run)

    def _keep_route(self, command: bytes, route: CallRoute) -> None:
        if len(self._routes) >= ROUTES:
            self._routes.clear()
        self._routes[command] = route

    def _run(self, route: CallRoute) -> None:
        """Run the phase until it has a question for Kong or is done."""
        self._calls[_HANDLE_EVENT] += 1
        if not route.instance.used:
            route.instance.used = True
        try:
            steps = route.run(self._host, self._context.clock)
            if steps is None:
                self._finish()
                return
            ask = next(steps)
        except StopIteration as done:
            self._started = self._context.monotonic()
            self._observed(done.value)
        except Exception as error:  # noqa: BLE001 - a bug in a phase must not reach Kong, or another connection
            self._context.errors("house_failed", error, plugin=route.instance.plugin)
            self._finish()
        else:
            self._started = self._context.monotonic()
            self._steps = steps
            self._send_request(ask)

    def _send_request(self, ask: PdkRequest) -> None:
        self._request = ask
        self._routes_by_command = ask.known
        self._pdk_calls[ask.label] += 1
        self._write(ask.frames)

    def _take_answer(self, steps: Steps, frame: bytes) -> None:
        """Read Kong's answer."""
        try:
            value = DECODERS[self._request.result](frame)
        except BadMessage as error:
            self._bad_answer(error)
            self._resume_without(steps, error)
            return
        if self._request.result == "Int" and value is not None:
            if len(self._routes_by_command) >= ANSWERS:
                self._routes_by_command.clear()
            self._routes_by_command[encode_frame(frame)] = value
        self._resume(steps, value)

    def _bad_answer(self, error: BadMessage) -> None:
        self._context.errors("pdk_answer", function=self._request.name, what=str(error))

    def _resume(self, steps: Steps, value: Any) -> None:
        """Hand the phase Kong's answer, and Kong its next question."""
        try:
            question = steps.send(value)
        except StopIteration as done:
            self._steps = None
            if done.value is None:
                self._finish()
            else:
                self._observed(done.value)
        except BadMessage as error:
            self._bad_answer(error)
            self._abandon()
        except Exception as error:  # noqa: BLE001 - as in _run
            self._context.errors("house_failed", error, function=self._request.name)
            self._abandon()
        else:
            self._send_request(question)

    def _resume_without(self, steps: Steps, error: BadMessage) -> None:
        """Let the phase go on, if it can, without an answer that cannot be read; it is counted already."""
        try:
            question = steps.throw(error)
        except StopIteration as done:
            self._steps = None
            self._observed(done.value)
        except BadMessage:
            self._abandon()
        except Exception as failure:  # noqa: BLE001 - as in _run
            self._context.errors("house_failed", failure, function=self._request.name)
            self._abandon()
        else:
            self._send_request(question)

    def _abandon(self) -> None:
        self._forget_call()
        self._finish()

    # ---- what the phase saw ----

    def _observed(self, observation: Observation | None) -> None:
        if observation is None:
            self._finish()
            return
        try:
            future = submit_observation(self._host, observation)
            if future is not None:
                future.add_done_callback(self._committed)  # which is never called from within
        except Exception as error:  # noqa: BLE001 - as in _run
            self._context.errors("house_failed", error, what=type(observation).__name__)
            future = None
        if future is None:
            self._finish()
            return
        self._future = future
        self._held |= _COMMITTING
        waiting = self._context.waiting
        waiting[self] = self._started + self._context.answer_seconds
        if len(waiting) == 1:
            self._context.start_ticking()

    def _committed(self, future: "Future[Any]") -> None:
        """Answer; a future that is no longer waited for says only whether it failed."""
        if future.cancelled():
            self._context.errors("not_accepted", what="cancelled")
        elif (error := future.exception()) is not None:
            self._context.errors("not_accepted", error)
        if future is self._future:
            self._stop_waiting()

    def answer_early(self) -> None:
        """Answer now: what the call caused is not committed yet. It goes on."""
        self._context.errors("late")
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        self._future = None
        self._context.waiting.pop(self, None)
        self._held &= ~_COMMITTING  # before the answer: a last call's connection is handed over with it
        self._finish()
        self._release(_COMMITTING)

    def _finish(self) -> None:
        """Write the end of a ``handle_event``; as ``_answer`` does, without a call where each event costs one."""
        if self._write(finished(self._echo)):
            self._marks[self.slot] = IDLE
        if self._last_call:
            self._hand_over()

    def _answer(self, frames: bytes) -> None:
        """Write what ends a call. Once it has left, Kong may use the connection for another one: the mark goes back."""
        if self._write(frames):
            self._marks[self.slot] = IDLE
        if self._last_call:
            self._hand_over()

    def _update_after_write(self) -> None:
        """After a look at all that was sent: note what is left, which is a call under way as well."""
        self._clean = not self._reader.partial
        if self._steps is not None or self._held or not self._clean:
            self._marks[self.slot] = UNDER_WAY

    def _write(self, data: bytes) -> bool:
        """Write ``data``; True where all of it has left."""
        if self._queued:
            if self._transport is not None and self._transport.get_write_buffer_size():
                return self._write_behind(data)
            self._queued = False
        try:
            sent = self._send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._send = _discard  # the peer has gone; connection_lost is about to say so
            return False
        if sent == len(data):
            return True
        self._queued = True
        return self._write_behind(data[sent:])

    def _write_behind(self, data: bytes) -> bool:
        """Write ``data`` after what the transport still holds; it tells us where the peer does not read."""
        if self._transport is not None and not self._transport.is_closing() and not self._held & _ENDED:
            self._transport.write(data)
        return False

    def _forget_call(self) -> None:
        steps, self._steps = self._steps, None
        self._future = None
        self._context.waiting.pop(self, None)
        if steps is not None:
            try:
                steps.close()
            except Exception as error:  # noqa: BLE001 - as in _run
                self._context.errors("house_failed", error)

    # ---- holding a peer back ----

    def _keep(self, data: bytes) -> None:
        """Keep bytes for later; nothing is kept of a connection that ends."""
        if self._held & _ENDED:
            return
        self._marks[self.slot] = UNDER_WAY
        self._reader.keep(data)
        if self._reader.waiting > AHEAD_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _release(self, why: int) -> None:
        self._held &= ~why
        if self._held:
            return
        self._take_waiting()
        self._update_after_write()
        if self._paused and not self._held and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    # ---- the end ----

    @property
    def busy(self) -> bool:
        """Tell whether a call is under way."""
        return self._steps is not None or self._future is not None

    @property
    def mid_frame(self) -> bool:
        """Tell whether a call is on its way in: Kong sends its length and its bytes apart."""
        return self._reader.partial and not self.busy and not self._held & _ENDED

    def end_when_idle(self) -> None:
        """End after the call under way or on its way in, now where there is none."""
        self._last_call = True
        if not self.busy and not self.mid_frame:
            self._hand_over()

    def _hand_over(self) -> None:
        """Hand the connection over where somebody holds it and nothing of Kong's is half read; else end it."""
        if self._transport is None or self._held & _ENDED:
            return
        if self.slot != NO_SLOT and not (self._held or self._reader.partial) and self._context.hands_over():
            self.handed_over = True
            self._held |= _ENDED
            self._send = _discard
            self._transport.close()  # after what is written; a holder's copy keeps the connection itself open
        else:
            self.end()

    def end(self) -> None:
        """Say that no more comes, and leave the closing to the peer.

        Closing at once while bytes of the peer's are unread would reset the connection: Kong takes a reset for an
        error and drops the call; an end it takes as "closed", and calls again.
        """
        if self._transport is None or self._transport.is_closing() or self._held & _ENDED:
            return
        self._held |= _ENDED
        self._send = _discard
        self._transport.write_eof()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._shut_down()
            self._transport.abort()

    def _shut_down(self) -> None:
        """End it in both directions, also where somebody else holds it."""
        with contextlib.suppress(OSError):  # the peer has gone already
            self._sock.shutdown(socket.SHUT_RDWR)

    def sweep(self, limit: int) -> None:
        """Cut the connection where the peer has owed us something and stood still for ``limit`` sweeps in a row."""
        owes = self._steps is not None or self._held or self._reader.partial
        stands = (self._reads == self._swept_reads or self._held & _ENDED) and not self._held & _COMMITTING
        self._swept_reads = self._reads
        self._still = self._still + 1 if owes and stands else 0
        if self._still >= limit:
            if not self._held & _ENDED:
                self._context.errors("stalled", function=self._request.name if self._steps is not None else None)
            self.abort()


def _discard(data: bytes) -> int:
    """Stand for a socket that is not ours any more."""
    raise BrokenPipeError
