"""Faults are all counted and seldom logged."""

from structlog.testing import capture_logs

from kong_eventhooks_plugin.kong.plugin_server.socket_errors import LOG_SECONDS, SocketErrors
from kong_eventhooks_plugin.telemetry.metrics import Counts
from tests.support.clock import FakeClock


def test_one_line_a_while_for_each_reason() -> None:
    counts, clock = Counts(), FakeClock()
    faults = SocketErrors(counts, clock=clock)
    with capture_logs() as lines:
        for _ in range(5):
            faults("late")
        faults("stalled", function="kong.log.serialize")
        clock.now += LOG_SECONDS
        faults("late")
        faults("late")
    assert counts.socket_errors == {("late",): 7, ("stalled",): 1}
    assert [(line["reason"], line["suppressed"]) for line in lines] == [
        ("late", 0),
        ("stalled", 0),
        ("late", 4),
    ]
    assert lines[1]["function"] == "kong.log.serialize"


def test_an_exception_shows_its_place_and_not_its_text() -> None:
    def breaks() -> None:
        raise ValueError("a client's secret")

    with capture_logs() as lines:
        try:
            breaks()
        except ValueError as error:
            SocketErrors(Counts())("internal_error", error, plugin="event-hooks")
    (line,) = lines
    assert line["error"] == "ValueError"
    assert line["raised_in"][-1].endswith(" breaks")
    assert "secret" not in str(line)
