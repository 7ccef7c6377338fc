from kong_eventhooks_plugin.telemetry.raised import raised_at, raised_in


def fails() -> None:
    raise ValueError("what a client sent")


def caught() -> ValueError:
    try:
        fails()
    except ValueError as error:
        return error
    raise AssertionError


def test_the_innermost_place_is_reported_and_never_the_text() -> None:
    error = caught()
    line = fails.__code__.co_firstlineno + 1
    assert raised_at(error) == f"test_raised.py:{line}"
    assert raised_in(error, 1) == [f"test_raised.py:{line} fails"]
    assert [place.split()[1] for place in raised_in(error, 9)] == ["caught", "fails"]


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert raised_at(ValueError()) is None
    assert raised_in(ValueError(), 4) == []
