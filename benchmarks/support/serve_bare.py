"""The yardstick: the least that can answer Kong over ProtoBuf:1 in Python. ``serve_bare.py SOCKET CASE``.

A protocol class over a uvloop transport. It reads frames, finds the sequence, asks the case's PDK functions and
answers; it looks at nothing else, checks nothing, limits nothing and counts nothing.
"""

import asyncio
import sys
from struct import Struct

import uvloop
from script import FUNCTIONS, PLUGIN, asked

from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb

LENGTH = Struct("<I")
EVENT = b"\xa2\x02"


def answer_start(frame: bytes) -> bytes:
    """Return an instance."""
    call = pb.RpcCall.FromString(frame)
    status = pb.InstanceStatus(name=PLUGIN, instance_id=1)
    answer = pb.RpcReturn(sequence=call.sequence, instance_status=status).SerializeToString()
    return LENGTH.pack(len(answer)) + answer


class Bare(asyncio.Protocol):
    """One connection."""

    def __init__(self, questions: tuple[bytes, ...]) -> None:
        self.questions = questions
        self.asked = 0
        self.end = b""
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        """Take frames."""
        if self.rest:
            data = self.rest + data
        at = 0
        while len(data) - at >= 4:
            end = at + 4 + LENGTH.unpack_from(data, at)[0]
            if end > len(data):
                break
            self.frame(data[at + 4 : end])
            at = end
        self.rest = data[at:]

    def frame(self, frame: bytes) -> None:
        """Take a call or an answer."""
        if self.end:
            self.go_on()
        elif frame.startswith(EVENT):
            sequence = frame[3 + frame[2] :]
            self.end = b"\0\0\0\0" + LENGTH.pack(len(sequence)) + sequence
            self.go_on()
        else:
            self.write(answer_start(frame))

    def go_on(self) -> None:
        """Ask the next question, or end the call."""
        if self.asked < len(self.questions):
            self.write(self.questions[self.asked])
            self.asked += 1
        else:
            self.write(self.end)
            self.end = b""
            self.asked = 0


async def main(path: str, case: str) -> None:
    """Serve for ever."""
    questions = tuple(asked(function) for function in FUNCTIONS[case])
    await asyncio.get_running_loop().create_unix_server(lambda: Bare(questions), path, backlog=1024)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))
