"""Attempts by minute as bars of an SVG image, in numbers that a template puts into attributes. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from kong_eventhooks_plugin.delivery.activity import Minute

HEIGHT: Final = 32
STEP: Final = 4


class Bar(NamedTuple):
    """``good`` stands on ``bad``, which begins at the bottom."""

    x: int
    good: float
    bad: float


class Sparkline(NamedTuple):
    bars: list[Bar]
    width: int
    height: int
    delivered: int
    failed: int


def sparkline(minutes: Sequence[Minute]) -> Sparkline:
    most = max((sum(minute) for minute in minutes), default=0) or 1
    bars = [
        Bar(at * STEP, round(HEIGHT * minute.delivered / most, 1), round(HEIGHT * minute.failed / most, 1))
        for at, minute in enumerate(minutes)
        if sum(minute)
    ]
    delivered, failed = sum(minute.delivered for minute in minutes), sum(minute.failed for minute in minutes)
    return Sparkline(bars, len(minutes) * STEP, HEIGHT, delivered, failed)
