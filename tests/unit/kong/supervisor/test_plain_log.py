import fcntl
import json
import os
import re

from kong_eventhooks_plugin.kong.supervisor.plain_log import LINE_BYTES, PlainLog


def test_json_lines_have_the_keys_of_the_workers() -> None:
    reader, writer = os.pipe()
    PlainLog(human=False, descriptor=writer).warning("worker_crashed", pid=7, seconds=1.5)
    line = json.loads(os.read(reader, 9999))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {"event": "worker_crashed", "level": "warning", "pid": 7, "seconds": 1.5}
    os.close(reader)
    os.close(writer)


def test_lines_for_people() -> None:
    reader, writer = os.pipe()
    PlainLog(human=True, descriptor=writer).info("worker_ready", worker=7, a="b\n\x1b")
    line = os.read(reader, 9999).decode()
    assert re.fullmatch(r"\S+Z \[info     \] worker_ready +a=b\\n\\x1b worker=7\n", line)
    os.close(reader)
    os.close(writer)


def test_a_reader_that_does_not_read_blocks_nobody_and_is_counted_in_the_next() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    log = PlainLog(human=False, descriptor=writer)
    while not log.dropped:
        log.info("filling", text="x" * 500)
    log.info("also dropped")
    os.read(reader, 65536)
    log.info("through again")
    assert json.loads(os.read(reader, 9999))["lines_dropped"] == 2
    assert log.dropped == 0
    os.close(reader)
    os.close(writer)


def test_a_reader_that_has_gone_is_survived() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = PlainLog(human=False, descriptor=writer)
    log.info("nobody reads")
    assert log.dropped == 1
    os.close(writer)


def test_a_long_line_is_cut_to_what_a_pipe_takes_whole() -> None:
    reader, writer = os.pipe()
    PlainLog(human=False, descriptor=writer).info("long", text="x" * 10_000)
    line = os.read(reader, 65536)
    assert len(line) == LINE_BYTES
    assert line.endswith(b"\n")
    os.close(reader)
    os.close(writer)
