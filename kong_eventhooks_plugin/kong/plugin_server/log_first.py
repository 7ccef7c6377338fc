"""Whether to ask Kong for a request's log at once, and not for its status first.

Mostly the status decides that no hook is interested, and the log, which costs more, is left alone. In a flood of
refusals it is the other way round: the log is wanted every time, and has the status in it. Each PDK call is a round
trip for Kong and for us, so after ``STREAK`` requests in a row whose log was wanted, the log is asked for first.

A plugin can write another status into the log than Kong's own (``kong.log.set_serialize_value``). So a status in the
log that interests no hook is not believed, and requests count for the streak only where both were the same.

Limit: a log over ``LONGEST`` bytes is not read here.
"""

from typing import Any

from kong_eventhooks_plugin.errors import ObservationError
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog, decode

STREAK = 8
LONGEST = 256 << 10


class LogFirst:
    """Shared by all calls: most Kongs have one instance of the plugin in each of their workers."""

    __slots__ = ("now", "streak")

    def __init__(self) -> None:
        self.streak = 0
        self.now = False

    def unwanted(self) -> None:
        """Note a request whose log no hook wanted."""
        self.streak = 0
        self.now = False

    def wanted(self, status: int, log: KongLog | None) -> None:
        """Note a request whose log was asked for because of its status."""
        self.streak = self.streak + 1 if status_in(log) == status else 0
        self.now = self.streak >= STREAK


def read_log(serialized: Any) -> KongLog | None:
    """Return a request's log, where it can be read and is not too long."""
    if not isinstance(serialized, str | bytes) or len(serialized) > LONGEST:
        return None
    try:
        return decode(serialized)
    except ObservationError:
        return None


def status_in(log: KongLog | None) -> int | None:
    """Return the status that a request's log has, where it is one."""
    status = None if log is None else log.response.status
    return status if type(status) is int else None
