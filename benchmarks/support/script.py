"""What Kong and a plugin server say to each other in each of the benchmark's cases, as bytes.

=========  ==============================================================  ==================
case       PDK functions                                                   Kong's status
=========  ==============================================================  ==================
none       none                                                            -
status     kong.response.get_status                                        200: no hook cares
durable    kong.response.get_status, kong.log.serialize                    429: one hook does
=========  ==============================================================  ==================
"""

import time
from collections.abc import Sequence
from itertools import count, cycle

import msgspec

from kong_eventhooks_plugin.cli.demo.recording import load
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.calls import encode_echo
from kong_eventhooks_plugin.kong.wire.frames import EMPTY_FRAME, encode_frame

FUNCTIONS = {
    "none": (),
    "status": ("kong.response.get_status",),
    "durable": ("kong.response.get_status", "kong.log.serialize"),
}
CASES = tuple(FUNCTIONS)
STATUS = {"none": 0, "status": 200, "durable": 429}
PLUGIN = "event-hooks"
NODE_ID = "kong.node.get_id"
"""Our server asks it of a call now and then, beside the case's functions."""
NODE = "0b4c6e4e-3b5e-4f1e-9d58-5b1f4f0f6c11"

_SEQUENCE = 70_000  # three bytes as a varint, as most of a busy worker's
_ID = b"0123456789abcdef0123456789abcdef"
_BEGAN = 1_234_567_890_123
_BEGAN_TEXT = b"%d" % _BEGAN


def asked(function: str) -> bytes:
    """Return what a server sends to ask for ``function``."""
    return encode_frame(function.encode()) + EMPTY_FRAME


def call(instance_id: int) -> bytes:
    """Return Kong's handle_event, encoded in Kong's order."""
    event = pb.RpcCall(cmd_handle_event=pb.CmdHandleEvent(instance_id=instance_id, event_name="log"))
    return encode_frame(event.SerializeToString() + encode_echo(_SEQUENCE))


def ended() -> bytes:
    """Return what a server sends at a call's end."""
    return EMPTY_FRAME + encode_frame(encode_echo(_SEQUENCE))


def status_answer(case: str) -> bytes:
    """Return Kong's answer to get_status."""
    return encode_frame(pb.Int(v=STATUS[case]).SerializeToString())


def node_answer() -> bytes:
    """Return Kong's answer to get_id."""
    return encode_frame(pb.String(v=NODE).SerializeToString())


class Requests:
    """Request logs that differ in the request's id, counted from ``first``, its time, and the service, by turns.

    Each has begun as it is made. With one time for all, ids would fall anywhere into the store's index on them, which
    in reality grows at its end: four times the pages to write.
    """

    def __init__(self, first: int = 0, services: Sequence[str] = ()) -> None:
        """Take the first request of the recording that rate-limiting refused."""
        recorded = next(
            call.pdk["kong.log.serialize"] for call in load() if call.pdk.get("kong.response.get_status") == 429
        )
        recorded["started_at"] = _BEGAN
        recorded["request"]["id"] = recorded["response"]["headers"]["x-kong-request-id"] = _ID.decode()
        service = recorded["service"]
        logs = [{**recorded, "service": {**service, "name": name}} for name in services or (service["name"],)]
        self._parts = cycle([msgspec.json.encode(log).split(_ID) for log in logs])
        self._numbers = count(first)

    def json(self) -> bytes:
        """Return the next request's log."""
        log = (b"%032x" % next(self._numbers)).join(next(self._parts))
        return log.replace(_BEGAN_TEXT, b"%d" % (time.time() * 1_000), 1)

    def frame(self) -> bytes:
        """Return it as Kong's answer to serialize."""
        text = self.json()
        size = len(text)
        message = b"\x0a" + bytes([size & 0x7F | 0x80, size >> 7]) + text
        return encode_frame(message)
