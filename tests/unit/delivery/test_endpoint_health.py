from kong_eventhooks_plugin.delivery.endpoint_health import EndpointHealthTracker, after_attempt
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.queue.contract import EndpointHealth

NOW = 1_800_000_000.0
HOUR = 3_600.0
LIMITS = DeliveryLimits()


def health() -> tuple[EndpointHealthTracker, list[EndpointHealth]]:
    written: list[EndpointHealth] = []
    return EndpointHealthTracker(LIMITS, written.append), written


def test_the_run_of_failures_begins_with_the_first_and_ends_with_a_success() -> None:
    first = after_attempt(EndpointHealth("h"), NOW, LIMITS, 1)
    later = after_attempt(first, NOW + HOUR, LIMITS, 2)
    assert (first.failing_since, later.failing_since) == (NOW, NOW)
    assert after_attempt(later, NOW + 2 * HOUR, LIMITS, 0) == EndpointHealth("h")


def test_after_120_hours_and_ten_failures_it_is_switched_off() -> None:
    since = EndpointHealth("h", failing_since=NOW)
    assert after_attempt(since, NOW + 120 * HOUR - 1, LIMITS, 10).disabled is None
    assert after_attempt(since, NOW + 120 * HOUR, LIMITS, 9).disabled is None
    assert after_attempt(since, NOW + 120 * HOUR, LIMITS, 10) == EndpointHealth("h", NOW, "failing", NOW + 120 * HOUR)


def test_a_clock_that_jumps_ahead_switches_nothing_off() -> None:
    known, _ = health()
    known.note("h", 0.0, ok=False)  # a machine that does not know the time yet
    assert not known.note("h", NOW, ok=False)
    for second in range(7):
        assert not known.note("h", NOW + second, ok=False)
    known.note("h", NOW + 8, ok=True)
    assert not known.note("h", NOW + 121 * HOUR, ok=False)


def test_a_run_of_which_only_the_store_knows_needs_failures_of_our_own() -> None:
    known, _ = health()
    known.load([EndpointHealth("h", NOW)])
    said = [known.note("h", NOW + 200 * HOUR + second, ok=False) for second in range(10)]
    assert said == [False] * 9 + [True]


def test_an_endpoint_that_fails_now_and_then_costs_no_writes() -> None:
    known, written = health()
    for second in range(100):
        assert not known.note("h", NOW + second, ok=second % 2 == 0)
    assert written == []


def test_a_run_that_lasts_is_written_once_and_again_when_it_ends() -> None:
    known, written = health()
    for minute in range(20):
        known.note("h", NOW + minute * 60, ok=False)
    assert written == [EndpointHealth("h", NOW)]
    known.note("h", NOW + HOUR, ok=True)
    assert written[1:] == [EndpointHealth("h")]


def test_switching_off_is_written_and_told_once() -> None:
    known, written = health()
    known.load([EndpointHealth("h", NOW)])
    results = [known.note("h", NOW + hour * HOUR, ok=False) for hour in (*range(112, 122), 122)]
    assert results == [False] * 9 + [True, False]
    assert (known.disabled("h"), len(written)) == ("failing", 1)
    assert not known.disable_gone("h", NOW), "it was off already"
    assert (known.disabled("h"), known.disabled("other")) == ("gone", None)
    assert known.enable("h")
    assert (known.disabled("h"), written[-1]) == (None, EndpointHealth("h"))


def test_a_late_success_does_not_switch_it_on_again() -> None:
    known, written = health()
    assert known.disable_gone("h", NOW)
    assert not known.disable_gone("h", NOW + 1), "eight were under way when the first was seen"
    assert written == [EndpointHealth("h", None, "gone", NOW)]
    known.note("h", NOW + 1, ok=True)
    assert known.disabled("h") == "gone"


def test_what_another_process_wrote_is_taken_over_and_what_is_known_better_is_kept() -> None:
    known, _ = health()
    stored = [EndpointHealth("mine"), EndpointHealth("theirs", None, "gone", NOW)]
    known.load(stored)
    for second in range(10):
        known.note("mine", NOW + second, ok=False)
    known.load(stored)
    assert known.disabled("theirs") == "gone"
    assert known.note("mine", NOW + 120 * HOUR, ok=False), "the run that began before"
    known.load([EndpointHealth("theirs")])
    assert known.disabled("theirs") is None


def test_a_definition_that_changed_before_the_store_was_read_enables_its_hook() -> None:
    known, written = health()
    known.enable("fixed")
    known.load([EndpointHealth("fixed", None, "gone", NOW), EndpointHealth("other", None, "gone", NOW)])
    assert (known.disabled("fixed"), known.disabled("other")) == (None, "gone")
    assert written == [EndpointHealth("fixed")]
    known.load([EndpointHealth("fixed", None, "gone", NOW + 1)])
    assert known.disabled("fixed") == "gone", "what happened later counts"
