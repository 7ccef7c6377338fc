from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.handlers.retry_after import retry_after_seconds

NOW = 1_700_000_000.0


def test_seconds_and_dates_are_read() -> None:
    assert retry_after_seconds("120", NOW) == 120
    assert retry_after_seconds(" 0 ", NOW) == 0
    assert retry_after_seconds("Tue, 14 Nov 2023 22:14:20 GMT", NOW) == 60
    assert retry_after_seconds("Tue, 14 Nov 2022 22:14:20 GMT", NOW) == 0, "a time that has passed"


def test_anything_else_is_no_wish() -> None:
    for value in (None, "", "-5", "1.5", "soon", "9" * 65, "٣", "Tue, 99 Foo 2023 99:99:99 GMT"):
        assert retry_after_seconds(value, NOW) is None


@given(st.text())
def test_it_never_raises(value: str) -> None:
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or seconds >= 0
