"""Our answers to Kong's calls, as frames.

An answer's message is the call's ``echo`` and then what is returned: protobuf joins messages by joining their bytes,
and the encoder writes the sequence, field 1, first anyway.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.frames import EMPTY_FRAME, encode_frame
from kong_eventhooks_plugin.kong.wire.values import encodable

_ECHO_BYTES = 12
FINISHED = tuple(EMPTY_FRAME + size.to_bytes(4, "little") for size in range(_ECHO_BYTES))
"""By an echo's length: what goes before it at the end of a ``handle_event``."""


def finished(echo: bytes) -> bytes:
    """Return the end of a ``handle_event``: no more PDK functions, and the bare return."""
    return FINISHED[len(echo)] + echo


def returned(echo: bytes) -> bytes:
    """Return the bare return, which carries nothing: a closed instance, or a call that we cannot serve."""
    return encode_frame(echo)


def instance_status(echo: bytes, name: str, instance_id: int, started_at: float) -> bytes:
    """Return the answer to ``start_instance`` and ``get_instance_status``; ``started_at`` is Unix seconds."""
    status = pb.InstanceStatus(name=encodable(name), instance_id=instance_id, started_at=int(started_at))
    return encode_frame(echo + pb.RpcReturn(instance_status=status).SerializeToString())


def plugin_names(echo: bytes, names: Sequence[str]) -> bytes:
    return encode_frame(echo + pb.RpcReturn(plugin_names=pb.PluginNames(names=names)).SerializeToString())


def plugin_info(echo: bytes, info: Mapping[str, Any], loaded_at: float) -> bytes:
    """Return the answer to ``get_plugin_info``; ``info`` is one of ``Plugins`` in Kong's query document."""
    message = pb.PluginInfo(
        name=info["Name"],
        loaded_at=int(loaded_at),
        updated_at=int(loaded_at),
        phases=info["Phases"],
        version=info["Version"],
        priority=info["Priority"],
        schema=msgspec.json.encode(info["Schema"]).decode(),
    )
    return encode_frame(echo + pb.RpcReturn(plugin_info=message).SerializeToString())
