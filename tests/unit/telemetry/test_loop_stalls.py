"""Time in which the worker was held up is counted, and logged where it was long."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.telemetry.loop_stalls import BEAT, LoopStalls
from kong_eventhooks_plugin.telemetry.metrics import Metrics


class Loop:
    """A loop whose timers ring as late as the test wants."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timer: tuple[float, Callable[[], None]] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, call: Callable[[], None]) -> None:
        self.timer = (due, call)

    def ring(self, late: float) -> None:
        assert self.timer is not None
        due, call = self.timer
        self.now = due + late
        call()


@pytest.mark.parametrize(
    ("lags", "seconds", "logged"),
    [
        ([0.0, 0.01, 0.2], 0.0, []),
        ([0.5, 0.01, 0.25], 0.75, []),
        ([1.5, 0.0, 3.0], 4.5, [1.5, 3.0]),
    ],
)
def test_what_is_counted_and_what_is_logged(lags: list[float], seconds: float, logged: list[float]) -> None:
    metrics, loop = Metrics(), Loop()
    LoopStalls(metrics.counts, cast("Any", loop)).start()
    assert loop.timer is not None
    assert loop.timer[0] == loop.now + BEAT
    with capture_logs() as lines:
        for late in lags:
            loop.ring(late)
    assert [(line["event"], line["seconds"]) for line in lines] == [("worker_stalled", each) for each in logged]
    assert f"kong_event_hooks_stalled_seconds_total {seconds}\n" in generate_latest(metrics.registry).decode()
