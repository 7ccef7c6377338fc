"""One connection of Kong's: one call at a time, driven from what the transport hands over.

Everything runs inside ``buffer_updated``: a call is parsed, its phase runs until it asks Kong something or is done, the
answer is written, and no task, lock or queue is involved. Only what an event caused (until it is committed) and a large
configuration are waited for, as a future's callback. What is slow is done once: a call's meaning is remembered by its
bytes, which differ in nothing but the sequence, and so are the numbers that a function answered
(benchmarks/plugin_server.py).

What is promised to Kong (decision 7): a connection is closed for an unknown instance id alone, since that makes Kong
start its instances anew. Whatever else goes wrong, the call is finished, counted and logged.

Limits: ``STALL_SECONDS`` for a peer that stops in the middle of a frame or does not answer or read, and for one that we
have ended, whatever it sends; past it the connection is cut. ``AHEAD_BYTES`` that a peer may send ahead while its call
is being worked on, past it it is not read; ``UNREAD_BYTES`` of ours that it has not read, past it no call of it is
begun. ``FRAMES_A_TURN`` that were sent together are taken in one turn of the loop, the rest in the next ones: 64 KiB
can hold 16,000 empty ones. ``ROUTES`` calls are remembered with what they mean; past it all are forgotten, and found
again. Frames have theirs in wire.frames, a phase in ``phase_run``.
"""

import asyncio
import contextlib
import socket
from typing import Any, Protocol, cast

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server.connection_state import ASKING, COMMITTING, ENDED, READY, State
from kong_eventhooks_plugin.kong.plugin_server.phase_run import PhaseRun
from kong_eventhooks_plugin.kong.plugin_server.phases import PHASES
from kong_eventhooks_plugin.kong.plugin_server.server_context import SHORT_READ, CallRoute, ServerContext
from kong_eventhooks_plugin.kong.plugin_server.socket_writer import SocketWriter
from kong_eventhooks_plugin.kong.supervisor.call_marks import IDLE, NO_SLOT, UNDER_WAY
from kong_eventhooks_plugin.kong.wire.answers import finished
from kong_eventhooks_plugin.kong.wire.calls import (
    Call,
    CloseInstance,
    HandleEvent,
    StartInstance,
    echo_pattern,
    parse_call,
    split_event,
)
from kong_eventhooks_plugin.kong.wire.frames import FrameReader, Oversized, encode_frame

STALL_SECONDS = 60.0
AHEAD_BYTES = 64 << 10
UNREAD_BYTES = 64 << 10
ROUTES = 8_192
FRAMES_A_TURN = 64

_CALL_NAMES: dict[type[Call], tuple[str]] = {
    StartInstance: ("start_instance",),
    CloseInstance: ("close_instance",),
}
_OTHER_CALL = ("other",)
_HANDLE_EVENT = "handle_event"

_number = int.from_bytes


class ConnectionOwner(Protocol):
    def connected(self, connection: "Connection") -> None: ...

    def closed(self, connection: "Connection") -> None: ...


class Connection(asyncio.BufferedProtocol):
    """Serves one peer.

    Buffered, because only such a protocol is called before a read: a mark set after it would come too late.
    A worker killed between the two would leave a connection that looks idle and whose call is gone, and Kong would wait
    for its answer until its own time-out (seen once in fifty kills under full load).
    """

    __slots__ = (
        "_calls",
        "_clean",
        "_context",
        "_copies",
        "_echo_bits",
        "_echo_mask",
        "_echo_part",
        "_events",
        "_head",
        "_head_part",
        "_last_call",
        "_marks",
        "_paused",
        "_phase",
        "_read",
        "_reader",
        "_reads",
        "_route",
        "_routes",
        "_server",
        "_size",
        "_sock",
        "_space",
        "_still",
        "_swept_reads",
        "_transport",
        "_unread",
        "_writer",
        "_yielded",
        "handed_over",
        "slot",
        "state",
    )

    def __init__(self, context: ServerContext, server: ConnectionOwner, slot: int, sock: socket.socket) -> None:
        self.state: State = READY
        self.slot = slot
        """Our place in the marks of calls under way."""
        self.handed_over = False
        """Whether this connection lives on elsewhere: only our end of it is closed."""
        self._context = context
        self._server = server
        self._marks = context.marks
        self._routes = context.routes
        self._calls = context.counts.plugin_calls
        self._events = self._calls.cell(_HANDLE_EVENT)
        # How the last call looked, but for its sequence; of one instance's calls only the sequence differs.
        self._size = -1
        self._head = b""
        self._head_part = self._echo_part = slice(0)
        self._echo_mask = self._echo_bits = 0
        self._route: Any = None  # there is one where the size says so
        self._space = context.space
        self._copies = context.copies
        self._read = memoryview(context.space)
        self._reader = FrameReader(context.frame_bytes, context.byte_budget)
        self._transport: asyncio.Transport | None = None
        self._sock = sock
        self._writer = SocketWriter(sock)
        self._phase = PhaseRun(self, context, self._writer)
        self._unread = False  # the peer does not read what we wrote: no call is begun
        self._paused = False  # we do not read what the peer writes
        self._yielded = False  # what is left of its frames is taken in the next turn of the loop
        self._last_call = False
        self._clean = True  # the last read ended with a frame's end
        self._reads = 0
        self._swept_reads = -1
        self._still = 0

    # ---- called by the transport ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self._writer.connect(self._transport)
        self._server.connected(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where to read to, and mark the connection first."""
        self._marks[self.slot] = UNDER_WAY
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read; answer what it completes."""
        data = self._copies[nbytes]() if nbytes < SHORT_READ else self._read[:nbytes].tobytes()
        self._reads += 1
        if self._clean and not self._unread and nbytes < SHORT_READ:
            state = self.state
            if state is READY:
                if nbytes == self._size and data[self._head_part] == self._head:
                    echo = data[self._echo_part]
                    route = self._route
                    if _number(echo) & self._echo_mask == self._echo_bits and route.instance.alive:
                        self._events[0] += 1
                        self._phase.begin(route, echo)
                        return
                if self._begin_known(data):
                    return
            elif state is ASKING and (value := self._phase.known_answers.get(data)) is not None:
                self._phase.resume(value, False)
                return
        self._take_read(data)

    def _take_read(self, data: bytes) -> None:
        """Take what is neither a known call nor a known answer."""
        if self._held:
            self._keep(data)
            return
        frame = self._reader.feed(data)
        if frame is None:
            if self._reader.waiting:
                self._take_waiting()
            self._update_after_write()
            return
        self._clean = True  # the frame's end is the read's
        self._receive(frame)
        if self.state is not READY or self._unread:
            self._marks[self.slot] = UNDER_WAY

    def pause_writing(self) -> None:
        self._unread = True

    def resume_writing(self) -> None:
        self._unread = False
        self.take_kept()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            self._context.errors("peer_gone", function=self._phase.function)
        self._transport = None
        self._writer.close()
        self.state = ENDED
        self._phase.cancel()
        self._reader.close()
        if not self.handed_over:
            self._shut_down()  # a holder's copy would keep it open for a peer that has ended its own direction alone
        self._server.closed(self)

    # ---- frames and calls ----

    @property
    def _held(self) -> bool:
        """Whether the peer's bytes are left alone for now, or for good."""
        return self._unread or self.state is COMMITTING or self.state is ENDED

    def _take_waiting(self) -> None:
        for _ in range(FRAMES_A_TURN):
            frame = None if self._held else self._reader.next()
            if frame is None:
                return
            if isinstance(frame, Oversized):
                self._take_oversized(frame)
            else:
                self._receive(frame)
        self._yield_turn()

    def _yield_turn(self) -> None:
        """Leave the rest to the next turn of the loop: other connections have theirs before."""
        if self._held or not self._reader.waiting:
            return
        self._pause_reading()
        self._yielded = True
        asyncio.get_running_loop().call_soon(self.take_kept)

    def _receive(self, frame: bytes) -> None:
        """Take a call, or Kong's answer to the phase under way."""
        if self.state is ASKING:
            self._phase.take_answer(frame)
            return
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
        self._remember(data, event[1], route)
        self._events[0] += 1
        self._phase.begin(route, event[1])
        return True

    def _remember(self, data: bytes, echo: bytes, route: CallRoute) -> None:
        """Remember how a call looks that ends with its sequence: most of this connection's are like the one before."""
        at = len(data) - len(echo)
        self._size = len(data) if data[at:] == echo else -1
        self._head = data[:at]
        self._head_part, self._echo_part = slice(at), slice(at, None)
        self._echo_mask, self._echo_bits = echo_pattern(len(echo))
        self._route = route

    def _begin(self, frame: bytes, event: tuple[bytes, bytes] | None) -> None:
        """Take a call whose meaning is not known yet; ``event`` is what was split of it."""
        try:
            call = parse_call(frame)
        except BadMessage:
            self._answer_damaged(frame)
            return
        if not isinstance(call, HandleEvent):
            self._calls[_CALL_NAMES.get(type(call), _OTHER_CALL)] += 1
            if isinstance(call, StartInstance):
                self._start(call)
            else:
                self.answer(self._context.call_handler.answer(call))
            return
        self._events[0] += 1
        route = self._find_route(call)
        if route is None:
            return
        if event is not None:
            if len(self._routes) >= ROUTES:
                self._routes.clear()
            self._routes[event[0]] = route
        self._phase.begin(route, call.echo)

    def _start(self, call: StartInstance) -> None:
        """Answer when the configuration is in force: the event behind the answer may be one for its hooks."""
        frames, in_force = self._context.call_handler.start(call)
        if in_force is None:
            self.answer(frames)
            return
        self.state = COMMITTING
        in_force.add_done_callback(lambda _: self._answer_start(frames))

    def _answer_start(self, frames: bytes) -> None:
        if self.state is COMMITTING:
            self.state = READY
            self.answer(frames)
            self.take_kept()

    def _find_route(self, call: HandleEvent) -> CallRoute | None:
        """Return what the call means; where it means nothing, answer it."""
        instance = self._context.instances.get(call.instance_id)
        if instance is None:
            # Kong may keep ids of our predecessor for as long as it runs: closing makes it start its instances.
            self._context.errors("unknown_instance", phase=call.phase[:32])
            self.end()
            return None
        run = PHASES.get((instance.plugin, call.phase))
        if run is None:
            self._context.errors("unknown_phase", plugin=instance.plugin[:64], phase=call.phase[:32])
            self.answer(finished(call.echo))
            return None
        return CallRoute(instance, run)

    def _take_oversized(self, frame: Oversized) -> None:
        if self.state is ASKING:
            self._phase.take_oversized(frame.length)
        else:
            self._answer_damaged(frame)

    def _answer_damaged(self, frame: bytes | Oversized) -> None:
        self._calls[_OTHER_CALL] += 1
        self.answer(self._context.call_handler.answer_damaged(frame))

    def answer(self, frames: bytes) -> None:
        """Write what ends a call. Once it has left, Kong may use the connection for another one: the mark goes back."""
        if self._writer.write(frames):
            self._marks[self.slot] = IDLE
        if self._last_call:
            self._hand_over()

    def _update_after_write(self) -> None:
        """Note what is left after all that was sent is taken; that is a call under way as well."""
        self._clean = not self._reader.partial
        if self.state is not READY or self._unread or not self._clean:
            self._marks[self.slot] = UNDER_WAY

    # ---- holding a peer back ----

    def _keep(self, data: bytes) -> None:
        """Keep bytes for later; nothing is kept of a connection that ends."""
        if self.state is ENDED:
            return
        self._marks[self.slot] = UNDER_WAY
        self._reader.keep(data)
        if self._reader.waiting > AHEAD_BYTES:
            self._pause_reading()

    @property
    def has_kept(self) -> bool:
        return self._reader.partial

    def take_kept(self) -> None:
        """Take what was kept, where nothing holds the peer back any more."""
        self._yielded = False
        if not (self._paused or self._reader.waiting) or self._held:  # nothing waits after most calls
            return
        self._take_waiting()
        self._update_after_write()
        if not self._held and not self._yielded:
            self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    # ---- the end ----

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self.state is ASKING or self.state is COMMITTING

    @property
    def mid_frame(self) -> bool:
        """Whether a call is on its way in: Kong sends its length and its bytes apart."""
        return self.state is READY and self._reader.partial

    def end_when_idle(self) -> None:
        """End after the call under way or on its way in, now where there is none."""
        self._last_call = True
        if not self.busy and not self.mid_frame:
            self._hand_over()

    def _hand_over(self) -> None:
        """Hand the connection over where somebody holds it and nothing of Kong's is half read; else end it."""
        if self._transport is None or self.state is ENDED:
            return
        idle = self.state is READY and not self._unread and not self._reader.partial
        if idle and self.slot != NO_SLOT and self._context.hands_over():
            self.handed_over = True
            self.state = ENDED
            self._writer.close()
            self._transport.close()  # after what is written; a holder's copy keeps the connection itself open
        else:
            self.end()

    def end(self) -> None:
        """Say that no more comes, and leave the closing to the peer.

        Closing at once while bytes of the peer's are unread would reset the connection: Kong takes a reset for an
        error and drops the call; an end it takes as "closed", and calls again.
        """
        if self._transport is None or self._transport.is_closing() or self.state is ENDED:
            return
        self.state = ENDED
        self._writer.close()
        self._transport.write_eof()
        self._resume_reading()

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
        state = self.state
        owes = state is not READY or self._unread or self._reader.partial
        stands = state is ENDED or (state is not COMMITTING and self._reads == self._swept_reads)
        self._swept_reads = self._reads
        self._still = self._still + 1 if owes and stands else 0
        if self._still >= limit:
            if state is not ENDED:
                self._context.errors("stalled", function=self._phase.function)
            self.abort()
