"""What a Kong phase saw, before any source has looked at it."""

import msgspec


class LogObservation(msgspec.Struct, frozen=True):
    """One request that Kong finished, seen in the ``log`` phase.

    ``status`` is the client's; ``serialized`` is ``kong.log.serialize``'s JSON, not yet parsed;
    ``plugin`` the Kong plugin that was called; ``seen_at`` Unix seconds.
    """

    plugin: str
    status: int
    serialized: str | bytes
    seen_at: float


class InstanceStarted(msgspec.Struct, frozen=True):
    """Kong configured a plugin: ``config`` is the plugin's ``config`` as Kong encodes it, extra keys and all."""

    plugin: str
    instance_id: int
    config: bytes


class InstanceClosed(msgspec.Struct, frozen=True):
    """Kong let an instance go."""

    plugin: str
    instance_id: int
