"""Log lines and readers that read, read late, or have exited."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from kong_eventhooks_plugin.telemetry.log_output import LogOutput
from tests.support.waiting import SECONDS, until


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_lines_come_in_their_order(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1])
    for number in range(1000):
        assert output.write(f"{number}\n") == len(f"{number}\n")
    assert output.end(SECONDS)
    assert os.read(pipe[0], 1 << 16).decode().split() == [str(number) for number in range(1000)]
    assert output.take_dropped() == 0


def test_a_reader_that_does_not_read_stops_nobody(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1], waiting_bytes=100_000)
    line = "x" * 999 + "\n"
    for _ in range(500):  # more than the pipe and what may wait: 64 KiB and 100,000 bytes
        output.write(line)
    assert output.end(0.01) is False
    dropped = output.take_dropped()
    assert 300 < dropped < 450
    assert output.take_dropped() == 0
    reading = threading.Thread(target=_read_to_the_last, args=(pipe[0],))
    reading.start()
    assert output.end(SECONDS)
    output.write("last\n")
    reading.join(SECONDS)
    assert not reading.is_alive()


def _read_to_the_last(descriptor: int) -> None:
    text = b""
    while not text.endswith(b"last\n"):
        text = text[-5:] + os.read(descriptor, 1 << 16)


def test_a_reader_that_has_gone_is_counted(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    output = LogOutput(pipe[1])
    output.write("nobody reads this\n")
    assert output.end(SECONDS)
    until(lambda: output.take_dropped() == 1, "the line is counted")


def test_a_dropped_line_takes_along_no_count(pipe: tuple[int, int]) -> None:
    """While nothing is read every line says what was dropped before it, and is dropped with what it says."""
    output = LogOutput(pipe[1], waiting_bytes=100)
    for _ in range(5):
        output.take_dropped()
        output.write("x" * 200)
    os.close(pipe[0])
    assert output.take_dropped() == 5
    output.write("says that there were five, to nobody\n")
    assert output.end(SECONDS)
    assert output.take_dropped() == 6


def said(program: str, *arguments: str) -> str:
    """Run a Python program; return what it wrote."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout


def test_what_libraries_say_looks_the_same() -> None:
    program = (
        "import logging; from kong_eventhooks_plugin.telemetry import logs;"
        "logs.configure('json', 'info');"
        "log = logging.getLogger('asyncio');"
        "log.warning('slow %s', 'disk');"
        "log.info('not wrong');"
        "log.error('never retrieved', exc_info=ValueError('of a task'))"
    )
    got = said(program).splitlines()
    slow, never = [json.loads(line) for line in got]
    assert slow.pop("timestamp")
    assert slow == {"event": "slow disk", "level": "warning", "logger": "asyncio"}
    assert (never["event"], never["exception"]) == ("never retrieved", "ValueError")


@pytest.mark.parametrize("style", ["json", "human"])
def test_a_traceback_shows_no_values(style: str) -> None:
    program = (
        "import sys, structlog; from kong_eventhooks_plugin.telemetry import logs\n"
        "def fail():\n    secret = 'only' * 2\n    raise KeyError(secret)\n"
        "def fail_again():\n    try: fail()\n    except KeyError as error: raise ValueError(error) from error\n"
        "logs.configure(sys.argv[1], 'info')\n"
        "try: fail_again()\nexcept ValueError as error: structlog.get_logger().error('failed', exc_info=error)\n"
        "try: fail()\nexcept KeyError: structlog.get_logger().exception('failed')"
    )
    got = said(program, style).replace("\\n", "\n")
    assert got.count("\nKeyError") == 2  # from Python 3.13 on the program's own lines have these names too
    assert got.index("in fail") < got.index("which led to") < got.index("\nValueError")
    assert "onlyonly" not in got


def test_people_see_no_control_character_and_no_forged_line() -> None:
    program = (
        "import logging, structlog; from kong_eventhooks_plugin.telemetry import logs\n"
        "logs.configure('human', 'info')\n"
        "forged = 'x\\x1b[2J\\r\\n2026-01-01 [info] forged\\x9b1m\\u202eabc\\u2028'\n"
        "structlog.get_logger().info('lambda_output', text=forged, names=[forged], hook=forged)\n"
        "logging.getLogger('asyncio').warning('%s', forged)"
    )
    got = said(program)
    assert all(character.isprintable() or character == "\n" for character in got)
    assert [line for line in got.splitlines() if line.startswith("2026-01-01")] == []
    assert "x\\x1b[2J\\r" in got


@pytest.mark.parametrize("style", ["json", "human"])
def test_the_next_line_says_how_many_were_dropped(style: str) -> None:
    program = (
        "import sys, structlog; from kong_eventhooks_plugin.telemetry import logs;"
        "logs.configure(sys.argv[1], 'info');"
        "log = structlog.get_logger(); log.info('y' * (5 << 20)); log.info('next'); log.info('then')"
    )
    got = said(program, style).splitlines()
    assert len(got) == 2
    if style == "json":
        lines = [json.loads(line) for line in got]
        assert [line.get("lines_dropped") for line in lines] == [1, None]
    else:
        assert "lines_dropped" in got[0]
        assert "lines_dropped" not in got[1]
