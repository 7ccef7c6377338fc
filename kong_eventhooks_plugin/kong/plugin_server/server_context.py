"""What all connections of a server share.

Limit: ``READ_BYTES`` at most in one read, the rest in the next.
"""

import time
from collections.abc import Callable, MutableSequence

import msgspec

from kong_eventhooks_plugin.kong.plugin_server.call_handler import CallHandler
from kong_eventhooks_plugin.kong.plugin_server.commit_deadlines import CommitDeadlines
from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstance, PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.observation_backlog import ObservationBacklog
from kong_eventhooks_plugin.kong.plugin_server.pdk import FUNCTIONS
from kong_eventhooks_plugin.kong.plugin_server.phases import Run
from kong_eventhooks_plugin.kong.plugin_server.socket_errors import SocketErrors
from kong_eventhooks_plugin.kong.wire.frames import FRAME_BYTES, ByteBudget
from kong_eventhooks_plugin.telemetry.metrics import Counts

READ_BYTES = 64 << 10
SHORT_READ = 64
"""Calls of known instances and answers that are numbers are shorter."""


class CallRoute(msgspec.Struct, frozen=True, eq=False):
    """What a handle_event means: an instance, and what runs in the phase."""

    instance: PluginInstance
    run: Run


class ServerContext(msgspec.Struct, frozen=True, eq=False):
    host: PluginHost
    instances: PluginInstances
    call_handler: CallHandler
    errors: SocketErrors
    counts: Counts
    byte_budget: ByteBudget
    deadlines: CommitDeadlines
    backlog: ObservationBacklog
    marks: MutableSequence[int]
    """A byte for each connection's slot: whether a call is under way on it."""
    hands_over: Callable[[], bool]
    """Returns whether a connection that we close lives on elsewhere."""
    routes: dict[bytes, CallRoute] = msgspec.field(default_factory=dict)
    """A handle_event's command (``split_event``) -> its meaning."""
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    frame_bytes: int = FRAME_BYTES
    space: bytearray = msgspec.field(default_factory=lambda: bytearray(READ_BYTES))
    """Where bytes are read to, one connection's at a time."""
    copies: list[Callable[[], bytes]] = msgspec.field(default_factory=list)
    """By their number, under ``SHORT_READ``: return the first bytes of the space."""
    pdk_calls: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """A PDK function -> its cell of ``Counts.pdk_calls``."""

    def __post_init__(self) -> None:
        space = memoryview(self.space)
        self.copies.extend(space[:size].tobytes for size in range(SHORT_READ))
        self.pdk_calls.update((name, self.counts.pdk_calls.cell(name)) for name in FUNCTIONS)
