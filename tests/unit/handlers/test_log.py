import msgspec
import pytest
import structlog

from kong_eventhooks_plugin.handlers.log import PART, LogHandler, entries
from kong_eventhooks_plugin.model.delivery import Delivered, Retry
from kong_eventhooks_plugin.model.log_line import LogLine
from tests.support.delivery_jobs import make_job
from tests.support.log_lines import KeptLines


async def logged(config: dict[str, object], data: object = None) -> tuple[list[LogLine], list[dict[str, object]]]:
    lines = KeptLines()
    with structlog.testing.capture_logs() as ours:
        assert await LogHandler(lines, pid=42).deliver(make_job(config, data, handler="log")) == Delivered()
    return lines, ours


async def test_each_line_of_the_box_is_an_entry_at_notice_and_our_own_output_has_it_whole() -> None:
    lines, ours = await logged({})
    assert len(ours) == 1
    assert {line.level for line in lines} == {"notice"}
    assert not any("\n" in line.text for line in lines)
    assert lines[0].text.startswith("[kong] event_hooks.lua:?:452 [alert]---")
    assert lines[1].text.startswith('|"log callback: " { "rate-limit-exceeded", "rate-limiting", {')
    assert lines[-2].text.startswith("|  }, 42 }")
    assert ours[0]["text"] == "\n".join(line.text for line in lines)
    assert (ours[0]["log_level"], ours[0]["hook"]) == ("info", "alert")


@pytest.mark.parametrize(
    ("level", "kongs", "ours"),
    [("err", "err", "error"), ("warn", "warn", "warning"), ("alert", "alert", "critical"), ("loud", "notice", "info")],
)
async def test_the_level_is_the_hooks(level: str, kongs: str, ours: str) -> None:
    lines, own = await logged({"level": level})
    assert lines[0].level == kongs
    assert own[0]["log_level"] == ours


@pytest.mark.parametrize("text", ["x" * 5_000, "ü" * 3_000, "", "x" * PART])
def test_an_entry_is_never_so_long_that_nginx_cuts_it(text: str) -> None:
    parts = [line.text for line in entries("err", text)]
    assert all(len(part.encode()) <= PART for part in parts)
    assert "".join(parts) == text


async def test_it_is_delivered_when_the_lines_are_written_and_not_before() -> None:
    lines = KeptLines()
    lines.unwritten = "Kong is quiet"
    handler, job = LogHandler(lines), make_job({}, handler="log")
    assert await handler.deliver(job) == Retry("timeout", "Kong is quiet")
    assert await handler.deliver(msgspec.structs.replace(job, test=True)) == Delivered(note="Kong is quiet")


async def test_there_is_no_endpoint_and_no_ping() -> None:
    handler = LogHandler(KeptLines())
    job = make_job({}, handler="log")
    assert handler.endpoint({}) is None
    assert await handler.ping(job.hook, {}, "create", 0.0) is None
