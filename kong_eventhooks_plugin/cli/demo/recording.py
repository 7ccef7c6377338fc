"""A recording of the calls that a Kong made: reading it, and making its requests new ones."""

import uuid
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb

_SERIALIZE = "kong.log.serialize"
_BODY = "kong.service.response.get_raw_body"
_STARTED_AT = "kong.nginx.req_start_time"
_VARIABLE = "kong.nginx.get_var"
_CARRIED = resources.files("kong_eventhooks_plugin.cli.demo")


class RecordedFrame(msgspec.Struct, frozen=True):
    """One frame, without its length."""

    sender: Literal["kong", "server"] = msgspec.field(name="from")
    payload: bytes = msgspec.field(name="base64")


class RecordedCall(msgspec.Struct, frozen=True):
    """One call that Kong made. ``id`` is the instance's in the recording; ``pdk`` is function -> decoded result."""

    call: str
    id: int
    frames: list[RecordedFrame]
    name: str = ""
    plugin: str = ""
    phase: str = ""
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    pdk: dict[str, Any] = msgspec.field(default_factory=dict)

    def message(self) -> pb.RpcCall:
        return pb.RpcCall.FromString(self.frames[0].payload)

    def answers(self) -> dict[tuple[str, bytes], bytes]:
        """Return (function, argument's bytes) -> result's bytes, of every PDK function that the server asked for."""
        asked = [frame.payload for frame in self.frames[1:]]
        return {(asked[at].decode(), asked[at + 1]): asked[at + 2] for at in range(0, len(asked) - 2, 3)}


def load(path: Path | None = None) -> list[RecordedCall]:
    """Return a recording's calls; without a path, those of the proxy traffic that this package carries."""
    file = path or _CARRIED / "proxy-traffic.jsonl"
    decode = msgspec.json.Decoder(RecordedCall).decode
    return [decode(line) for line in file.read_bytes().splitlines() if line]


def consumer_created(entity: dict[str, Any], now: float) -> RecordedCall:
    """Return a new request's call of the Admin API's route: ``POST /consumers``, which Kong answered with ``entity``.

    The questions and Kong's other answers are recorded; the client is without a consumer. ``now`` is Unix seconds.
    """
    call = msgspec.json.decode((_CARRIED / "admin-traffic.jsonl").read_bytes(), type=RecordedCall)
    call = _with_answer(call, _BODY, pb.RawBodyResult(content=msgspec.json.encode(entity)).SerializeToString())
    call = _with_answer(call, _STARTED_AT, pb.Number(v=now).SerializeToString())
    return _with_answer(call, _VARIABLE, pb.String(v=uuid.uuid4().hex).SerializeToString(), b"kong_request_id")


def renumber(calls: Iterable[RecordedCall], now: float) -> list[RecordedCall]:
    """Return the same calls for new requests: each request gets another id, and the last one started at ``now``.

    ``now`` is Unix seconds. Two plugins' calls of one request stay together.
    """
    calls = list(calls)
    logs = [_log_of(call) for call in calls]
    last = max((log["started_at"] for log in logs if log), default=0)
    ids = {log["request"]["id"]: uuid.uuid4().hex for log in logs if log}
    return [
        _with_log(call, _renumbered(log, ids[log["request"]["id"]], int(now * 1000) - last)) if log else call
        for call, log in zip(calls, logs, strict=True)
    ]


def _log_of(call: RecordedCall) -> dict[str, Any] | None:
    log = call.pdk.get(_SERIALIZE)
    return log if isinstance(log, dict) else None


def _renumbered(log: dict[str, Any], request_id: str, later: int) -> dict[str, Any]:
    headers = log["response"]["headers"]
    if "x-kong-request-id" in headers:
        headers = {**headers, "x-kong-request-id": request_id}
    return {
        **log,
        "request": {**log["request"], "id": request_id},
        "response": {**log["response"], "headers": headers},
        "started_at": log["started_at"] + later,
    }


def _with_log(call: RecordedCall, log: dict[str, Any]) -> RecordedCall:
    text = pb.String(v=msgspec.json.encode(log).decode()).SerializeToString()
    return msgspec.structs.replace(_with_answer(call, _SERIALIZE, text), pdk={**call.pdk, _SERIALIZE: log})


def _with_answer(call: RecordedCall, function: str, answer: bytes, argument: bytes = b"") -> RecordedCall:
    """Return the call with another answer to the first question for ``function`` whose argument has ``argument``."""
    frames = list(call.frames)
    at = next(
        index
        for index, frame in enumerate(frames)
        if frame.payload == function.encode() and argument in frames[index + 1].payload
    )
    frames[at + 2] = RecordedFrame("kong", answer)
    return msgspec.structs.replace(call, frames=frames)
