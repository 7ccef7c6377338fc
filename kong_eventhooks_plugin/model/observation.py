"""What a Kong phase saw, before any source has looked at it."""

from typing import Any

import msgspec

from kong_eventhooks_plugin.model.entity_path import EntityPath


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


class ChangeTarget(msgspec.Struct, frozen=True):
    """What a request that may have changed something leads to, by its path.

    ``place`` is None for the whole configuration (``config``), and while Kong's paths are not known. ``wants_answer``:
    the answer can hold the changed entity.
    """

    place: EntityPath | None = None
    config: bool = False
    wants_answer: bool = False


class ChangeObservation(msgspec.Struct, frozen=True):
    """A request that Kong's Admin API took (2xx) and that may have changed something, seen in the ``response`` phase.

    ``status`` and ``body`` are the Admin API's own answer, whatever the client was given. ``path`` is the one that it
    was asked for, with its query string, percent-encoded as it came there. ``body`` is None where it was not asked for,
    where it is empty, and where it could not be read, a body over the protocol's limit among them: the change was made
    all the same. Its bytes are as they were sent: compressed (gzip) where a client asks for that and Kong is set up to.
    ``started_at`` is when Kong began the request, ``seen_at`` when its answer was there: Unix seconds, the former that
    of ``seen_at`` where Kong does not say. ``consumer`` has ``id``, ``username`` and ``custom_id``, those that are set,
    None for an anonymous client; ``credential`` is an id; ``request_id`` is that of Kong's logs and of
    ``X-Kong-Request-Id``. What Kong did not say is None.

    A request that asks for an upgrade to WebSocket is never seen here: Kong runs no ``response`` phase for it, though
    the Admin API answers it as any other.
    """

    method: str
    path: str
    status: int
    body: bytes | None
    started_at: float
    seen_at: float
    consumer: dict[str, Any] | None = None
    credential: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    target: ChangeTarget = ChangeTarget()
