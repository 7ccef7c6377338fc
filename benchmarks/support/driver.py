"""Kong's side: ``driver.py PROTOCOL SOCKET CASE IN_FLIGHT SECONDS [FIRST SERVICE...]``, the last two for ``Requests``.

Keeps so many calls in flight, one a connection, warms up, prints ``begin COUNT``, runs for so many seconds, prints
``end COUNT``: how many calls were answered so far. Every byte of a server's is compared with what is right, so a fast
wrong answer ends the run.
"""

import asyncio
import sys
from collections.abc import Callable

import msgpack
import uvloop
from script import (
    FUNCTIONS,
    NODE,
    NODE_ID,
    PLUGIN,
    STATUS,
    Requests,
    asked,
    call,
    ended,
    node_answer,
    status_answer,
)

from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.frames import encode_frame

WARM_UP_SECONDS = 0.4
SERIALIZE = asked("kong.log.serialize")
WHICH_NODE, NODE_ANSWER = asked(NODE_ID), node_answer()


class Count:
    """Calls answered."""

    def __init__(self) -> None:
        self.answered = 0


class ProtobufCaller(asyncio.Protocol):
    """One connection over ProtoBuf:1. ``script`` is what the server must say and what is said to that, in turns."""

    def __init__(self, first: bytes, script: list[tuple[bytes, Callable[[], bytes]]], count: Count) -> None:
        self.first = first
        self.script = script
        self.count = count
        self.at = 0
        self.wanted = script[0][0]
        self.had = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the first call."""
        self.write = transport.write
        self.write(self.first)

    def data_received(self, data: bytes) -> None:
        """Say what comes next."""
        if data == WHICH_NODE:
            self.write(NODE_ANSWER)
            return
        if data == SERIALIZE and self.at == 0:
            self.at = 1  # ours asks for the log alone after a while
        elif data != self.wanted:
            data = self.had = self.had + data
            if len(data) < len(self.wanted):
                return
            assert data == self.wanted, (data, self.wanted)
            self.had = b""
        reply = self.script[self.at][1]
        self.at += 1
        if self.at == len(self.script):
            self.at = 0
            self.count.answered += 1
        self.wanted = self.script[self.at][0]
        self.write(reply())


async def start_protobuf(path: str) -> int:
    """Start an instance; return its id."""
    reader, writer = await asyncio.open_unix_connection(path)
    start = pb.RpcCall(sequence=1, cmd_start_instance=pb.CmdStartInstance(name=PLUGIN, config=b"{}"))
    writer.write(encode_frame(start.SerializeToString()))
    size = int.from_bytes(await reader.readexactly(4), "little")
    status = pb.RpcReturn.FromString(await reader.readexactly(size))
    writer.close()
    return status.instance_status.instance_id


async def protobuf(path: str, case: str, count: Count, requests: Requests) -> Callable[[], asyncio.Protocol]:
    """Return what makes connections."""
    instance_id = await start_protobuf(path)
    first, status = call(instance_id), status_answer(case)
    replies = {"kong.response.get_status": lambda: status, "kong.log.serialize": requests.frame}
    script = [(asked(name), replies[name]) for name in FUNCTIONS[case]] + [(ended(), lambda: first)]
    return lambda: ProtobufCaller(first, script, count)


class MsgpackCaller(asyncio.Protocol):
    """One connection over MsgPack:1; each step is a call of its own."""

    def __init__(self, instance_id: int, replies: dict[str, Callable[[], object]], count: Count) -> None:
        self.first = msgpack.packb([0, 1, "plugin.HandleEvent", [{"InstanceId": instance_id, "EventName": "log"}]])
        self.replies = replies
        self.count = count
        self.unpacker = msgpack.Unpacker()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the first call."""
        self.write = transport.write
        self.write(self.first)

    def data_received(self, data: bytes) -> None:
        """Say what comes next."""
        self.unpacker.feed(data)
        for _, _, error, result in self.unpacker:
            assert error is None, error
            asked = result["Data"]
            if asked == "ret":
                self.count.answered += 1
                self.write(self.first)
            else:
                step = {"EventId": result["EventId"], "Data": self.replies[asked["Method"]]()}
                self.write(msgpack.packb([0, 1, "plugin.Step", [step]]))


async def start_msgpack(path: str) -> int:
    """Start an instance; return its id."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(msgpack.packb([0, 1, "plugin.StartInstance", [{"Name": PLUGIN, "Config": "{}"}]]))
    unpacker = msgpack.Unpacker()
    while True:
        unpacker.feed(await reader.read(65536))
        for _, _, error, result in unpacker:
            assert error is None, error
            writer.close()
            return int(result["Id"])


async def msgpack_callers(path: str, case: str, count: Count, requests: Requests) -> Callable[[], asyncio.Protocol]:
    """Return what makes connections."""
    instance_id = await start_msgpack(path)
    replies = {
        "kong.response.get_status": lambda: STATUS[case],
        "kong.log.serialize": requests.json,
        NODE_ID: lambda: NODE,
    }
    return lambda: MsgpackCaller(instance_id, replies, count)


async def drive(protocol: str, path: str, case: str, in_flight: int, seconds: float, requests: Requests) -> None:
    """Call."""
    count = Count()
    make = await {"protobuf": protobuf, "msgpack": msgpack_callers}[protocol](path, case, count, requests)
    loop = asyncio.get_running_loop()
    for _ in range(in_flight):
        await loop.create_unix_connection(make, path)
    await asyncio.sleep(WARM_UP_SECONDS)
    print("begin", count.answered, flush=True)
    await asyncio.sleep(seconds)
    print("end", count.answered, flush=True)


if __name__ == "__main__":
    first = int(sys.argv[6]) if sys.argv[6:] else 0
    logs = Requests(first, sys.argv[7:])
    uvloop.run(drive(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), logs))
