"""Plays a recording of a Kong against a plugin socket, as that Kong would.

What is like Kong: frames are sent as a length and then its bytes; a call acquires an idle connection or opens one, and
releases it when it has its answer; instances are started when the recording starts them and, lazily, when they are
not known; a connection that the server ends makes it forget the plugin's instances and call again; everything else
(nobody listens, a reset, no answer in time) loses the call. PDK questions get the recorded answers.

Limits: ``IDLE_LINKS`` connections are kept open while idle, more are closed. A call is made ``ATTEMPTS`` times at
most where the server ends the connection (Kong has no such limit); past it, it is lost.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import ListValue

from kong_eventhooks_plugin.cli.demo.link import SocketLink
from kong_eventhooks_plugin.cli.demo.recording import RecordedCall
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.calls import encode_echo

IDLE_LINKS = 8
ATTEMPTS = 50
_LOG = "kong.log."
_NODE_ID = "kong.node.get_id"
NODE = "0cbb7c6e-3c8e-4d0b-9f3f-6b1f5f2f1a11"
"""The id of the Kong that is played."""
_NOT_LOG_LINES = frozenset({"kong.log.serialize", "kong.log.set_serialize_value"})

Config = Mapping[str, Any]


class Lost(msgspec.Struct, frozen=True):
    """A call that did not get through, and why, in the words of Kong's error."""

    plugin: str
    phase: str
    why: str


class Played(msgspec.Struct):
    """What a recording came to: calls that were answered, calls made again after an end, and what was lost."""

    answered: int = 0
    again: int = 0
    lost: list[Lost] = msgspec.field(default_factory=list)


class Player:
    """A Kong worker, as a plugin server sees one.

    ``configs`` is plugin -> the configuration to hand over instead of the recorded one. ``on_log`` is Kong's error
    log: it is called with a level and a text. ``connect`` opens a link.
    """

    def __init__(
        self,
        socket_path: str | Path,
        *,
        configs: Mapping[str, Config] | None = None,
        on_log: Callable[[str, str], None] = lambda level, text: None,
        attempts: int = ATTEMPTS,
        connect: Callable[[str], Awaitable[SocketLink]] = SocketLink.open,
    ) -> None:
        self._path = str(socket_path)
        self._configs = dict(configs or {})
        self._on_log = on_log
        self._attempts = attempts
        self._connect = connect
        self._idle: list[SocketLink] = []
        self._sequences: Counter[str] = Counter()
        self._starts: dict[int, RecordedCall] = {}
        self._ids: dict[int, int] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self.played = Played()

    async def play(self, calls: Sequence[RecordedCall], *, pause: float = 0.0) -> Played:
        """Make the recording's calls one after the other, ``pause`` seconds apart; return what all so far came to."""
        for call in calls:
            await self.make(call)
            if pause:
                await asyncio.sleep(pause)
        return self.played

    async def make(self, call: RecordedCall) -> bool:
        """Make one recorded call, as often as it takes; True where it was answered. Several may run at a time."""
        make = {
            "cmd_start_instance": self._restart,
            "cmd_close_instance": self._close_instance,
            "cmd_handle_event": self._handle_event,
        }[call.call]
        plugin = call.name or call.plugin
        for _ in range(self._attempts):
            try:
                await make(call)
            except EOFError:
                self._forget(plugin)
                self.played.again += 1
            except (OSError, TimeoutError) as error:
                self.played.lost.append(Lost(plugin, call.phase, str(error) or type(error).__name__))
                return False
            else:
                self.played.answered += 1
                return True
        self.played.lost.append(Lost(plugin, call.phase, f"closed {self._attempts} times"))
        return False

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    # ---- the calls ----

    def expect(self, start: RecordedCall) -> None:
        """Know of an instance, which is started when the first call needs it."""
        self._starts[start.id] = start
        self._ids.pop(start.id, None)

    async def _restart(self, call: RecordedCall) -> None:
        """Start a recorded instance, whether or not it runs."""
        self.expect(call)
        await self._instance(call.id)

    async def _instance(self, recorded: int) -> int:
        """Return the server's id for a recorded instance; start it first where there is none."""
        async with self._locks.setdefault(recorded, asyncio.Lock()):
            if recorded not in self._ids:
                start = self._starts[recorded]
                command = pb.CmdStartInstance(name=start.name, config=self._config(start))
                answer = await self._call(start.name, pb.RpcCall(cmd_start_instance=command))
                self._ids[recorded] = answer.instance_status.instance_id
            return self._ids[recorded]

    def _config(self, start: RecordedCall) -> bytes:
        replaced = self._configs.get(start.name)
        if replaced is None:
            return start.message().cmd_start_instance.config
        kongs_own = {key: value for key, value in start.config.items() if key.startswith("__")}
        return msgspec.json.encode({**replaced, **kongs_own})

    async def _close_instance(self, call: RecordedCall) -> None:
        instance_id = self._ids.pop(call.id, None)
        if instance_id is None:
            return
        command = pb.CmdCloseInstance(instance_id=instance_id)
        await self._call(self._starts[call.id].name, pb.RpcCall(cmd_close_instance=command))

    async def _handle_event(self, call: RecordedCall) -> None:
        instance_id = await self._instance(call.id)
        command = pb.CmdHandleEvent(instance_id=instance_id, event_name=call.phase)
        await self._call(call.plugin, pb.RpcCall(cmd_handle_event=command), call.answers())

    def _forget(self, plugin: str) -> None:
        for recorded, start in self._starts.items():
            if start.name == plugin:
                self._ids.pop(recorded, None)

    # ---- the protocol ----

    async def _call(
        self, plugin: str, call: pb.RpcCall, answers: Mapping[tuple[str, bytes], bytes] | None = None
    ) -> pb.RpcReturn:
        """Make one call; ``answers`` where it may ask PDK functions. EOFError or OSError as ``SocketLink`` has them."""
        self._sequences[plugin] += 1
        sequence = self._sequences[plugin] + 1  # Kong counts for each plugin, and its first call has 2
        link = await self._acquire()
        try:
            link.send(call.SerializeToString() + encode_echo(sequence))
            if answers is not None:
                await self._bridge(link, answers)
            answer = pb.RpcReturn.FromString(await link.receive())
        except DecodeError as error:
            link.close()
            raise ConnectionError("an answer that is none") from error
        except BaseException:
            link.close()
            raise
        if answer.sequence != sequence:
            link.close()
            raise ConnectionError(f"sequence {answer.sequence} instead of {sequence}")
        self._release(link)
        return answer

    async def _bridge(self, link: SocketLink, answers: Mapping[tuple[str, bytes], bytes]) -> None:
        while name := (await link.receive()).decode():
            argument = await link.receive()
            if name.startswith(_LOG) and name not in _NOT_LOG_LINES:
                values = ListValue.FromString(argument)
                self._on_log(name.removeprefix(_LOG), "".join(map(str, values)))
                link.send(b"")
            elif (name, argument) in answers:
                link.send(answers[name, argument])
            elif name == _NODE_ID:  # asked now and then, in whatever call comes
                link.send(pb.String(v=NODE).SerializeToString())
            else:
                raise ConnectionError(f"{name} is not in the recording")

    async def _acquire(self) -> SocketLink:
        await asyncio.sleep(0)  # lets the loop notice ended idle connections, as nginx does before it uses one
        while self._idle:
            link = self._idle.pop()
            if link.usable():
                return link
            link.close()
        return await self._connect(self._path)

    def _release(self, link: SocketLink) -> None:
        if len(self._idle) < IDLE_LINKS and link.usable():
            self._idle.append(link)
        else:
            link.close()
