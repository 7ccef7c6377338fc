"""How far apart attempts start while calls of Kong's wait for their commits: what accepts needs the processor. Pure.

An attempt at a fast receiver takes most of a millisecond of processor time and is over at once, so a limit of those in
flight does not slow them down. Up to ``FREE`` calls are what one commit takes at a usual rate: nothing is spaced out.
Beyond it each call that waits adds ``SECONDS_A_CALL`` to the pause, up to ``LONGEST``: after it the next attempt
starts, or in the next iteration of the event loop where that takes longer. Deliveries never stop altogether.
"""

FREE = 8
SECONDS_A_CALL = 50e-6
LONGEST = 0.005


def pause_between_starts(calls: int) -> float:
    """Return how many seconds to leave between two starts while so many calls wait."""
    return 0.0 if calls <= FREE else min(LONGEST, calls * SECONDS_A_CALL)
