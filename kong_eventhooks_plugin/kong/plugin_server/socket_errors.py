"""Errors on the plugin socket: each is counted, and logged at a limited rate for each reason.

Limits: per reason one log line in ``LOG_SECONDS``, which carries how many were suppressed since the last one, and of an
exception its kind and the innermost ``PLACES`` places. Reasons come from ``Reason`` alone, so a peer cannot grow the
table.
"""

import time
from collections.abc import Callable
from typing import Any, Literal

import structlog

from kong_eventhooks_plugin.background import RateLimitedLogger
from kong_eventhooks_plugin.telemetry.metrics import Counts
from kong_eventhooks_plugin.telemetry.raised import raised_in

LOG_SECONDS = 10.0
PLACES = 4

Reason = Literal[
    "bad_call",  # bytes that are no call
    "early",  # Kong was answered before the event was committed: too many calls waited for their commits
    "connections",  # too many connections: the next wait in the backlog
    "internal_error",  # an exception in a phase or in what it calls back into
    "instance_evicted",  # too many instances: the one unused longest was dropped
    "late",  # Kong was answered before the event was committed
    "no_descriptors",  # the process has no file descriptor left for a connection
    "not_accepted",  # an event could not be stored
    "oversized",  # a frame over the limit
    "pdk_answer",  # an answer of Kong's that is empty or of another type
    "peer_gone",  # the connection ended in the middle of a call
    "stalled",  # the peer stopped in the middle of a frame or of an answer
    "unknown_call",
    "unknown_instance",
    "unknown_phase",
    "unknown_plugin",
]

_log = structlog.get_logger()


class SocketErrors:
    """Counts and logs. ``clock`` is monotonic seconds."""

    def __init__(self, counts: Counts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts = counts
        self._limit = RateLimitedLogger(clock, LOG_SECONDS)

    def __call__(self, reason: Reason, error: BaseException | None = None, **fields: Any) -> None:
        """Count ``reason``; log it with its fields, and where ``error`` came from, where one is due."""
        self._counts.socket_errors[reason,] += 1
        suppressed = self._limit.due(reason)
        if suppressed is None:
            return
        if error is not None:
            fields |= {"error": type(error).__name__, "raised_in": raised_in(error, PLACES)}
        _log.warning("plugin_socket_error", reason=reason, suppressed=suppressed, **fields)
