import pytest
import structlog

from kong_eventhooks_plugin.handlers.log import PIECE, LogHandler, pieces
from kong_eventhooks_plugin.model.delivery import Delivered
from kong_eventhooks_plugin.model.lines import LogLine
from tests.support.delivery_jobs import make_job


async def logged(config: dict[str, object], data: object = None) -> tuple[list[LogLine], list[dict[str, object]]]:
    lines: list[LogLine] = []
    with structlog.testing.capture_logs() as ours:
        assert await LogHandler(lines.append, pid=42).deliver(make_job(config, data, handler="log")) == Delivered()
    return lines, ours


async def test_the_box_goes_to_kong_at_notice_and_to_our_own_output() -> None:
    lines, ours = await logged({})
    assert len(lines) == len(ours) == 1
    assert lines[0].level == "notice"
    text = lines[0].text.split("\n")
    assert text[0].startswith("[kong] event_hooks:alert:? [event-hooks]---")
    assert text[1].startswith('|"log callback: " { "rate-limit-exceeded", "rate-limiting", {')
    assert text[-2].startswith("|  }, 42 }")
    assert ours[0]["text"] == lines[0].text
    assert (ours[0]["log_level"], ours[0]["hook"]) == ("info", "alert")


@pytest.mark.parametrize(
    ("level", "kongs", "ours"),
    [("err", "err", "error"), ("warn", "warn", "warning"), ("alert", "alert", "critical"), ("loud", "notice", "info")],
)
async def test_the_level_is_the_hooks(level: str, kongs: str, ours: str) -> None:
    lines, own = await logged({"level": level})
    assert lines[0].level == kongs
    assert own[0]["log_level"] == ours


async def test_a_long_box_goes_to_kong_in_pieces_of_whole_lines() -> None:
    data = {f"field-{number}": "ü" * 100 for number in range(40)}
    lines, ours = await logged({}, data)
    assert len(lines) > 1
    assert all(len(line.text.encode()) <= PIECE for line in lines)
    assert "\n".join(line.text for line in lines) == ours[0]["text"]


def test_a_piece_is_never_empty() -> None:
    assert list(pieces("x" * 3_000 + "\ny")) == ["x" * 3_000, "y"]


async def test_there_is_no_endpoint_and_no_ping() -> None:
    handler = LogHandler([].append)
    job = make_job({}, handler="log")
    assert handler.endpoint({}) is None
    assert await handler.ping(job.hook, {}, "create", 0.0) is None
