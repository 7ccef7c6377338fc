"""How long a call may take: what its caller gave it, and never more than ``CALL_SECONDS``.

A caller without a deadline would wait for ever (and most clients set none), so the door has one of its own.
"""

from typing import Final, Protocol

CALL_SECONDS: Final = 60.0


class Timed(Protocol):
    """The part of grpc's ServicerContext that is needed here, that of the asyncio API and of the other alike."""

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
