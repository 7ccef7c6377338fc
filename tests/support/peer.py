"""A connection of Kong's over a transport in memory, and what a test does with it."""

from itertools import pairwise
from typing import Any

from kong_eventhooks_plugin.kong.plugin_server.connection import Connection
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.calls import encode_echo
from kong_eventhooks_plugin.kong.wire.frames import encode_frame
from tests.support.plugin_socket import RecordingHost, Setup, Transport

LIMIT = 2_000
SLOT = 7


def feed(connection: Connection, data: bytes) -> None:
    """Hand over bytes as a loop does: in as many reads as they take."""
    while data:
        space = connection.get_buffer(-1)
        read, data = data[: len(space)], data[len(space) :]
        space[: len(read)] = read
        connection.buffer_updated(len(read))


class Peer:
    """A connection and what a test does with it."""

    def __init__(self, host: RecordingHost | None = None, **options: Any) -> None:
        self.host = host or RecordingHost()
        self.setup = Setup(self.host, frame_bytes=LIMIT, **options)
        self.connection, self.transport = self.another()
        self.sequence = 1

    def another(self) -> tuple[Connection, Transport]:
        transport = Transport()
        connection = Connection(self.setup.server._context, self.setup.server, SLOT, transport)  # type: ignore[arg-type]
        connection.connection_made(transport)
        return connection, transport

    def send(self, *frames: bytes) -> list[bytes]:
        """Send frames in one read; return the frames that come back."""
        feed(self.connection, b"".join(map(encode_frame, frames)))
        return self.transport.frames()

    def call(self, **command: Any) -> list[bytes]:
        self.sequence += 1
        return self.send(pb.RpcCall(**command).SerializeToString() + encode_echo(self.sequence))

    def start(self, name: str = "event-hooks", config: bytes = b"{}") -> int:
        (answer,) = self.call(cmd_start_instance=pb.CmdStartInstance(name=name, config=config))
        message = pb.RpcReturn.FromString(answer)
        assert message.sequence == self.sequence
        assert message.instance_status.name == name
        return message.instance_status.instance_id

    def event(self, instance_id: int, phase: str = "log") -> list[bytes]:
        return self.call(cmd_handle_event=pb.CmdHandleEvent(instance_id=instance_id, event_name=phase))

    @property
    def end(self) -> list[bytes]:
        """What ends the last event."""
        return [b"", encode_echo(self.sequence)]

    @property
    def faults(self) -> dict[str, int]:
        return self.setup.faults()


def event(instance_id: int, sequence: int, *, first: bool = False, phase: str = "log") -> bytes:
    handle = pb.CmdHandleEvent(instance_id=instance_id, event_name=phase)
    command, echo = pb.RpcCall(cmd_handle_event=handle).SerializeToString(), encode_echo(sequence)
    return echo + command if first else command + echo


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]
