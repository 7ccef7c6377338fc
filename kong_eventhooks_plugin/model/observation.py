"""What a Kong phase observed; the sources turn it into events."""

from typing import Any

import msgspec

from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.model.kong_node import KongNode


class LogObservation(msgspec.Struct, frozen=True, gc=False):
    """A finished request, observed in the ``log`` phase.

    ``status`` is the client's; ``serialized`` is ``kong.log.serialize``'s JSON, not yet parsed;
    ``plugin`` the Kong plugin that was called; ``seen_at`` Unix seconds; ``node`` is where. ``log`` is what
    ``sources.requests.kong_log`` reads of ``serialized``, where that is done.
    """

    plugin: str
    status: int
    serialized: str | bytes
    seen_at: float
    node: KongNode | None = None
    log: Any = None


class InstanceStarted(msgspec.Struct, frozen=True):
    """Kong configured a plugin: ``config`` is the plugin's ``config`` as Kong encodes it, with its extra keys."""

    plugin: str
    instance_id: int
    config: bytes


class InstanceClosed(msgspec.Struct, frozen=True):
    plugin: str
    instance_id: int


class ChangeTarget(msgspec.Struct, frozen=True):
    """What the path of a request that may have changed something leads to.

    ``place`` is None for the whole configuration (``config``), and while Kong's paths are unknown. ``wants_answer``:
    the answer can contain the changed entity.
    """

    place: EntityPath | None = None
    config: bool = False
    wants_answer: bool = False


class ChangeObservation(msgspec.Struct, frozen=True):
    """A request that Kong's Admin API accepted (2xx) and that may have changed something: the ``response`` phase.

    ``status`` and ``body`` are the Admin API's own answer, whatever the client received. ``path`` is the requested one
    with its query string, percent-encoded as sent. ``body`` is None where it was not requested, is empty, or could not
    be read (it may be over the protocol's limit); the change was made all the same. It may be compressed (gzip).
    ``started_at`` is when Kong began the request (``seen_at`` where Kong does not say), ``seen_at`` when its answer was
    there: Unix seconds. ``consumer`` has ``id``, ``username`` and ``custom_id`` where they are set, None for an
    anonymous client; ``credential`` is an id; ``request_id`` is that of Kong's logs and of ``X-Kong-Request-Id``. None
    stands for what Kong does not say.

    A request for an upgrade to WebSocket is never here: Kong runs no ``response`` phase for it, though the Admin API
    answers it as any other.
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
