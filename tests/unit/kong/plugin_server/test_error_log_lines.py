"""Lines for Kong's error log: oldest first, bounded in number and bytes, and known to be written or not."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.kong.plugin_server.error_log_file import ErrorLogFile
from kong_eventhooks_plugin.kong.plugin_server.error_log_lines import LineBuffer
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.telemetry.metrics import Counts
from tests.support.waiting import SECONDS

QUIET = "Kong has run no log phase for 0.01 s; its next one writes the lines"


def lines(*texts: str) -> list[LogLine]:
    return [LogLine("notice", text) for text in texts]


async def put(buffer: LineBuffer, key: str, *texts: str) -> "asyncio.Task[str | None]":
    task = asyncio.create_task(buffer.write(key, lines(*texts)))
    await asyncio.sleep(0)
    return task


def take(buffer: LineBuffer) -> str | None:
    """Do as a log phase does."""
    waiting = buffer.pop()
    if waiting is None:
        return None
    buffer.written(waiting)
    return waiting.line.text


async def test_a_delivery_is_written_when_kong_has_its_last_line() -> None:
    buffer = LineBuffer(Counts(), seconds=SECONDS)
    first, second = await put(buffer, "1", "a", "b"), await put(buffer, "2", "c")
    assert (take(buffer), take(buffer)) == ("a", "b")
    assert await first is None
    assert not second.done()
    assert take(buffer) == "c"
    assert await second is None
    assert (take(buffer), len(buffer)) == (None, 0)


async def test_a_line_whose_call_has_ended_is_the_next_one_again() -> None:
    buffer = LineBuffer(Counts(), seconds=SECONDS)
    delivery = await put(buffer, "1", "a", "b")
    waiting = buffer.pop()
    assert waiting is not None
    buffer.put_back(waiting)
    assert (take(buffer), take(buffer)) == ("a", "b")
    assert await delivery is None


async def test_past_the_wait_the_lines_go_on_waiting_and_the_next_attempt_finds_them() -> None:
    buffer = LineBuffer(Counts(), seconds=0.01)
    assert await buffer.write("1", lines("a")) == QUIET
    assert await buffer.write("1", lines("a")) == QUIET
    assert len(buffer) == 1
    assert take(buffer) == "a"
    assert await buffer.write("1", lines("a")) is None
    assert len(buffer) == 0
    assert await buffer.write("1", lines("a")) == QUIET  # told once: a replay writes anew
    assert len(buffer) == 1


async def test_other_lines_of_the_same_delivery_are_written_as_well() -> None:
    buffer = LineBuffer(Counts(), seconds=0.01)
    for text in "ab":
        assert await buffer.write("1", lines(text)) == QUIET
    assert (take(buffer), take(buffer)) == ("a", "b")


async def test_at_the_end_the_attempt_is_cut_off() -> None:
    buffer = LineBuffer(Counts(), seconds=SECONDS)
    delivery = await put(buffer, "1", "a")
    buffer.close()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    with pytest.raises(asyncio.CancelledError):
        await buffer.write("2", lines("b"))


async def test_past_the_number_of_lines_a_delivery_is_refused_and_counted() -> None:
    counts = Counts()
    buffer = LineBuffer(counts, lines=2, seconds=0.01)
    await buffer.write("1", lines("a", "b"))
    assert await buffer.write("2", lines("c")) == "too many lines wait for Kong's error log"
    assert counts.socket_errors["line_dropped",] == 1
    assert take(buffer) == "a"
    assert await buffer.write("2", lines("c")) == QUIET


async def test_past_the_bytes_too_and_taking_makes_room() -> None:
    counts = Counts()
    buffer = LineBuffer(counts, size=10, seconds=0.01)
    await buffer.write("1", lines("ä" * 4))
    assert await buffer.write("2", lines("abc")) == "too many lines wait for Kong's error log"
    assert take(buffer) == "ä" * 4
    assert await buffer.write("2", lines("x" * 10)) == QUIET
    assert counts.socket_errors["line_dropped",] == 1


async def test_lone_surrogates_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.touch()
    assert await LineBuffer(Counts(), ErrorLogFile(str(path))).write("1", lines("\ud800")) is None
    assert path.read_text().endswith("?\n")


async def test_one_call_at_a_time_waits_for_lines_and_only_of_a_hook_that_writes_some() -> None:
    buffer = LineBuffer(Counts(), seconds=0.01)
    assert buffer.arrival(["w"]) is None
    buffer.writers = {"w"}
    assert buffer.arrival([]) is None
    assert buffer.arrival(["other"]) is None
    arrival = buffer.arrival(["other", "w"])
    assert arrival is not None
    assert buffer.arrival(["other", "w"]) is None
    await buffer.write("1", lines("a"))
    assert arrival.done()
    other = buffer.arrival(["other", "w"])
    assert other is not None
    assert other.done(), "a line waits already"
    assert take(buffer) == "a"
    given_up = buffer.arrival(["other", "w"])
    assert given_up is not None
    given_up.cancel()
    last = buffer.arrival(["other", "w"])
    assert last is not None
    buffer.close()
    assert last.done()
    assert buffer.arrival(["other", "w"]) is None


class TestFile:
    async def test_an_entry_is_as_nginx_writes_it(self, tmp_path: Path) -> None:
        path = tmp_path / "error.log"
        path.write_text("2026/11/30 03:17:27 [notice] 1#0: before\n")
        buffer = LineBuffer(Counts(), ErrorLogFile(str(path), lambda: 0.0))
        assert await buffer.write("1", [LogLine("notice", "a"), LogLine("err", "b")]) is None
        before, first, second = path.read_text().splitlines()
        assert before.endswith("before")
        assert first.startswith(("1970/01/01 ", "1969/12/31 "))
        assert first.partition(" [")[2].startswith("notice] ")
        assert first.endswith("#0: a")
        assert "[error] " in second

    async def test_what_kong_may_not_log_is_left_to_kong(self, tmp_path: Path) -> None:
        path = tmp_path / "error.log"
        path.touch()
        buffer = LineBuffer(Counts(), ErrorLogFile(str(path)), seconds=0.01)
        assert await buffer.write("1", [LogLine("debug", "a"), LogLine("warn", "b")]) == QUIET
        assert take(buffer) == "a"
        assert path.read_text().endswith(": b\n")

    @pytest.mark.parametrize("name", ["missing.log", "."])
    async def test_where_the_file_cannot_be_written_to_a_log_phase_writes(self, tmp_path: Path, name: str) -> None:
        buffer = LineBuffer(Counts(), ErrorLogFile(str(tmp_path / name)), seconds=0.01)
        with capture_logs() as logged:
            assert await buffer.write("1", lines("a")) == QUIET
        assert take(buffer) == "a"
        assert [line["event"] for line in logged] == ["kong_error_log_unwritable"]
        assert not (tmp_path / "missing.log").exists()
