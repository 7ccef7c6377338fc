"""The real sidecar traces to a real OTLP receiver; a worker that is killed with an attempt in flight leaves no gap."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kong_node.node import LOG, KongNode, request_log
from tests.support.http_receiver import HttpReceiver, answer, hang
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.processes import PATIENT, Processes, Running

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def traced_log() -> dict[str, Any]:
    log = request_log(request_id="r-1")
    log["request"].setdefault("headers", {})["traceparent"] = f"00-{TRACE}-{SPAN}-01"
    return log | {"trace_id": {"w3c": TRACE}}


def serve(processes: Processes, directory: Path, *flags: str) -> Running:
    command = [
        sys.executable, "-P", "-m", "kong_eventhooks_plugin", "serve", f"--socket-path={directory / 'plugin.sock'}",
        f"--data-dir={directory / 'data'}", "--listen=127.0.0.1:0", "--log-format=json", *flags,
    ]  # fmt: skip
    return processes.run(command, PATIENT)


def kong(directory: Path, url: str) -> KongNode:
    hooks = [{"name": "told", "source": "rate-limiting", "handler": "webhook", "handler_config": {"url": url}}]
    node = KongNode(directory / "plugin.sock")
    node.configure(LOG, {"hooks": hooks, "__plugin_id": "7d2a4c1e-0000-4000-8000-000000000001"})
    return node


@pytest.mark.long
async def test_a_trace_goes_on_in_the_next_worker(tmp_path: Path) -> None:
    async with HttpReceiver(answer(200), hang(), answer(200)) as receiver:  # the first is the ping
        with OtlpReceiver() as collector, Processes() as processes:
            sidecar = serve(processes, tmp_path, f"--otlp-endpoint={collector.url}")
            worker = int((await asyncio.to_thread(sidecar.wait_for, "worker_ready"))["pid"])
            async with kong(tmp_path, receiver.url) as node:
                assert await node.log(200)
                await receiver.received(1)
                assert await node.log(log=traced_log())
                await receiver.received(2)
                await asyncio.to_thread(collector.wait_for, 1)
                os.kill(worker, signal.SIGKILL)
                await receiver.received(3)
                spans = await asyncio.to_thread(collector.wait_for, 3)
            sidecar.signal(signal.SIGTERM)
            assert await asyncio.to_thread(sidecar.wait) == 0
    publish, attempt, deliver = spans
    assert (publish.name, attempt.name, deliver.name) == ("publish rate-limiting", "POST", "deliver told")
    assert {span.trace_id for span in spans} == {TRACE}
    assert (publish.parent_id, deliver.parent_id, attempt.parent_id) == (SPAN, publish.span_id, deliver.span_id)
    first, second = (str(request.headers["traceparent"]).split("-") for request in receiver.requests[1:])
    assert first[1] == second[1] == TRACE
    assert second[2] == attempt.span_id != first[2]


@pytest.mark.long
async def test_a_collector_that_never_answers_delays_no_stop(tmp_path: Path) -> None:
    async with HttpReceiver() as receiver:
        with socket.create_server(("127.0.0.1", 0)) as mute, Processes() as processes:
            sidecar = serve(processes, tmp_path, f"--otlp-endpoint=http://127.0.0.1:{mute.getsockname()[1]}")
            await asyncio.to_thread(sidecar.wait_for, "worker_ready")
            async with kong(tmp_path, receiver.url) as node:
                assert await node.log(log=traced_log())
                await receiver.received(2)
            sidecar.signal(signal.SIGTERM)
            assert await asyncio.to_thread(sidecar.wait) == 0
            [line] = sidecar.lines("worker_exited")
            assert (line["exit_code"], line["killed"]) == (0, False)
            assert sidecar.lines("spans_unsent")
