"""Lines for Kong's error log: oldest first, bounded in number and bytes, what finds no place is counted."""

from kong_eventhooks_plugin.kong.plugin_server.lines import LINE_BYTES, LineBuffer
from kong_eventhooks_plugin.model.lines import LogLine
from kong_eventhooks_plugin.telemetry.metrics import Counts


def test_oldest_first() -> None:
    buffer = LineBuffer(Counts())
    assert buffer.pop() is None
    for text in "abc":
        buffer(LogLine("notice", text))
    assert [line.text for line in (buffer.pop(), buffer.pop()) if line] == ["a", "b"]
    assert len(buffer) == 1


def test_past_the_number_of_lines_the_new_one_is_dropped_and_counted() -> None:
    counts = Counts()
    buffer = LineBuffer(counts, lines=2)
    for text in "abc":
        buffer(LogLine("err", text))
    assert counts.socket_errors["line_dropped",] == 1
    assert buffer.pop() == LogLine("err", "a")
    buffer(LogLine("err", "d"))
    assert [line.text for line in (buffer.pop(), buffer.pop()) if line] == ["b", "d"]


def test_past_the_bytes_too_and_taking_makes_room() -> None:
    counts = Counts()
    buffer = LineBuffer(counts, size=10)
    buffer(LogLine("err", "ä" * 4))
    buffer(LogLine("err", "abc"))
    assert counts.socket_errors["line_dropped",] == 1
    buffer.pop()
    buffer(LogLine("err", "x" * 10))
    assert buffer.pop() == LogLine("err", "x" * 10)
    assert counts.socket_errors["line_dropped",] == 1


def test_a_long_line_is_cut_between_characters_and_says_so() -> None:
    buffer = LineBuffer(Counts())
    buffer(LogLine("warn", "x" + "ä" * LINE_BYTES))
    line = buffer.pop()
    assert line is not None
    assert line.text.endswith("ä [cut]")
    assert LINE_BYTES - 2 <= len(line.text.encode()) <= LINE_BYTES
    assert line.level == "warn"


def test_lone_surrogates_do_no_harm() -> None:
    buffer = LineBuffer(Counts())
    buffer(LogLine("warn", "\ud800" * LINE_BYTES * 2))
    assert buffer.pop() is not None
