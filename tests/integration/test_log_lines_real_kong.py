"""Lines of ``log`` and ``lambda`` hooks in a real Kong's error log: at once, and none lost at a restart."""

import json
import os
import re
import signal
import time
import urllib.request
from typing import Any

import pytest

from tests.integration.conftest import HttpServer, Kong, Sidecar
from tests.integration.test_handlers_real_kong import exhaust, hooks_document
from tests.support.waiting import until

LOG = {"name": "loud", "source": "rate-limiting", "handler": "log", "config": {"level": "warn"}}
ENTRY = r'(?m)^[\d/]+ [\d:]+ \[warn\] \d+#0: (\*\d+ \[kong\] \S+ )?\|"log callback: " \{ "rate-limit-exceeded"'


def entries(kong: Kong) -> int:
    return len(re.findall(ENTRY, kong.error_log()))


def delivered(sidecar: Sidecar) -> int:
    counter = r'^kong_event_hooks_delivery_attempts_total\{.*outcome="delivered".*\} (\d+)'
    return sum(map(int, re.findall(counter, sidecar.get("/metrics")[1].decode(), re.MULTILINE)))


@pytest.mark.parametrize("file", [False, True])
def test_a_line_is_written_within_a_second_though_no_traffic_flows(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, *, file: bool
) -> None:
    if file:
        sidecar.options = ["--kong-error-log", str(kong.prefix / "logs" / "error.log")]
    sidecar.start()
    kong.declare(hooks_document(upstream, [LOG]))
    kong.start()
    exhaust(kong)
    began = time.monotonic()
    until(lambda: entries(kong), "the entry", pace=0.01)
    seconds = time.monotonic() - began
    print(f"written {seconds * 1000:.0f} ms after the last request was answered")
    assert seconds < 1.0
    assert "|    limit = 2, " in kong.error_log()
    until(lambda: delivered(sidecar), "the delivery is settled")


def test_a_lambdas_error_as_well(kong: Kong, sidecar: Sidecar, upstream: HttpServer) -> None:
    function = 'return function(data) error("over by " .. data.rate - data.limit) end'
    hook = {"name": "lua", "source": "rate-limiting", "handler": "lambda", "config": {"functions": [function]}}
    sidecar.start()
    kong.declare(hooks_document(upstream, [hook]))
    kong.start()
    exhaust(kong)
    began = time.monotonic()
    entry = (
        r'\[error\] .*\[kong\] event_hooks\.lua:190 \[string "return function\(data\).*\]:1: over by 1, event hook: lua'
    )
    until(lambda: re.search(entry, kong.error_log()), "the entry", pace=0.01)
    seconds = time.monotonic() - began
    print(f"written {seconds * 1000:.0f} ms after the last request was answered")
    assert seconds < 1.0


def publish(sidecar: Sidecar) -> None:
    """Make an event that no request of Kong's has caused."""
    body = json.dumps({"event": "rate-limit-exceeded", "data": {"limit": 2}}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{sidecar.port}/events", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status < 300


@pytest.mark.parametrize("how", ["SIGHUP", "kill"])
def test_a_line_that_waits_survives_a_restart(kong: Kong, sidecar: Sidecar, upstream: HttpServer, how: str) -> None:
    sidecar.start()
    kong.declare(hooks_document(upstream, [LOG | {"source": "custom"}]))
    kong.start()
    kong.get("/demo/a")  # from now on the sidecar has the plugin's hooks
    until(lambda: "loud" in sidecar.get("/event-hooks")[1].decode(), "the hook is known")
    publish(sidecar)
    until(lambda: "log_handler_output" in sidecar.log.read_text(), "the line waits")
    assert (entries(kong), delivered(sidecar)) == (0, 0)
    before = sidecar.worker_pid()
    assert sidecar.process is not None
    if how == "SIGHUP":
        sidecar.process.send_signal(signal.SIGHUP)
    else:
        os.kill(before, signal.SIGKILL)
    until(lambda: new_worker(sidecar, before), "another worker serves")

    def written() -> Any:
        kong.get("/demo/a")  # a log phase takes waiting lines along
        return entries(kong)

    until(written, "the entry", pace=0.2)
    # Of the store: a log phase that was still open may have had the old worker settle it, whose counters are gone.
    until(lambda: '"state":"delivered"' in sidecar.get("/deliveries")[1].decode(), "the delivery is settled")


def new_worker(sidecar: Sidecar, before: int) -> bool:
    try:
        return sidecar.worker_pid() != before and sidecar.ready()
    except (IndexError, FileNotFoundError):
        return False
