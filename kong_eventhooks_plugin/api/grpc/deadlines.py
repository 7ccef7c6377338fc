"""How long a call may take: until its caller's deadline (most clients set none), and at most ``CALL_SECONDS``."""

from typing import Protocol

from kong_eventhooks_plugin.api.service.access import CALL_SECONDS


class Timed(Protocol):
    """A part of grpc's ServicerContext, of the asyncio API and the other alike."""

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline, None where there is none."""


def seconds_left(context: Timed, longest: float = CALL_SECONDS) -> float:
    """Return how many seconds a call has; raises ``TimeoutError`` where its deadline has passed."""
    left = context.time_remaining()
    if left is None:
        return longest
    if left <= 0:
        raise TimeoutError
    return min(left, longest)
