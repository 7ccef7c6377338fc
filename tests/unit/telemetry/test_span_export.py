"""Spans on their way to a collector: what it gets, and what it costs where it is slow, full or away."""

import asyncio
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from kong_eventhooks_plugin.telemetry import span_export
from kong_eventhooks_plugin.telemetry.metrics import Counts
from kong_eventhooks_plugin.telemetry.span_export import SpanExport, otlp_exporter
from kong_eventhooks_plugin.telemetry.spans import EndedSpan
from tests.support.delivery_tls import self_signed
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.waiting import SECONDS, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def span(**fields: Any) -> EndedSpan:
    given: dict[str, Any] = {
        "name": "publish auth",
        "kind": "producer",
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_id": "00f067aa0ba902b7",
        "started_at": 1_800_000_000.25,
        "ended_at": 1_800_000_000.5,
        "attributes": {"a": "b", "n": 1},
    }
    return EndedSpan(**(given | fields))


class Gate(SpanExporter):
    """Lets nothing through until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.opened.wait()
        return SpanExportResult.SUCCESS


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine under load may take its time to send the last spans."""
    monkeypatch.setattr(span_export, "END_SECONDS", SECONDS)


async def test_a_span_is_exported_as_it_was_recorded() -> None:
    memory, counts = InMemorySpanExporter(), Counts()
    export = SpanExport(memory, counts)
    export.record(span())
    export.record(span(span_id="00f067aa0ba90333", parent_id=None, kind="client", error="503"))
    await export.close()
    first, second = memory.get_finished_spans()
    assert (f"{first.context.trace_id:032x}", f"{first.context.span_id:016x}") == (TRACE, SPAN)
    assert first.parent is not None
    assert (f"{first.parent.span_id:016x}", first.parent.is_remote) == ("00f067aa0ba902b7", True)
    assert (first.name, first.kind, dict(first.attributes or {})) == (
        "publish auth", SpanKind.PRODUCER, {"a": "b", "n": 1},
    )  # fmt: skip
    assert (first.start_time, first.end_time) == (1_800_000_000_250_000_000, 1_800_000_000_500_000_000)
    assert first.resource.attributes["service.name"] == "kong-event-hooks"
    assert (f"{second.context.trace_id:032x}", second.parent) == (TRACE, None), "the trace is given, without a parent"
    assert (second.status.status_code, (second.attributes or {})["error.type"]) == (StatusCode.ERROR, "503")
    assert counts.spans == {("exported",): 2}


async def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "hooks")
    memory = InMemorySpanExporter()
    export = SpanExport(memory, Counts())
    export.record(span())
    await export.close()
    attributes = memory.get_finished_spans()[0].resource.attributes
    assert (attributes["service.name"], attributes["deployment.environment.name"]) == ("hooks", "test")


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
async def test_a_collector_gets_protobuf_with_the_headers(path: str) -> None:
    with OtlpReceiver() as receiver:
        export = SpanExport(otlp_exporter(receiver.url + path, {"Authorization": "Bearer t0ken"}), Counts())
        export.record(span())
        await export.close()
        [(posted_to, headers, _)] = receiver.requests
        assert (posted_to, headers["authorization"]) == ("/v1/traces", "Bearer t0ken")
        assert headers["content-type"] == "application/x-protobuf"
        [got] = receiver.spans
        assert (got.trace_id, got.span_id, got.remote_parent, got.service) == (TRACE, SPAN, True, "kong-event-hooks")


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_collectors_certificate_is_trusted_as_the_systems_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trusted: bool
) -> None:
    monkeypatch.setattr(span_export, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(span_export, "REQUEST_SECONDS", SECONDS)
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)  # the exporter's pauses
    context, own = self_signed(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = self_signed(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(own if trusted else other))
    counts = Counts()
    with OtlpReceiver(tls=context) as receiver, capture_logs() as lines:
        export = SpanExport(otlp_exporter(receiver.url, {}), counts)
        export.record(span())
        await asyncio.to_thread(until, lambda: counts.spans, "an answer")
        await export.close()
    assert counts.spans == {("exported" if trusted else "failed",): 1}
    assert trusted or "certificate" in str(lines), lines


async def test_what_the_queue_has_no_room_for_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_export, "WAITING", 4)
    monkeypatch.setattr(span_export, "BATCH", 2)
    gate, counts = Gate(), Counts()
    export = SpanExport(gate, counts)
    for _ in range(2):
        export.record(span())
    assert await asyncio.to_thread(gate.entered.wait, SECONDS)
    for _ in range(9):  # two are on their way, and four can wait
        export.record(span())
    assert counts.spans == {("dropped",): 5}
    gate.opened.set()
    await export.close()
    assert counts.spans == {("dropped",): 5, ("exported",): 6}


async def test_a_collector_that_is_away_costs_counted_spans_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_export, "REQUEST_SECONDS", SECONDS)
    monkeypatch.setattr(span_export, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)  # the exporter's pauses
    counts = Counts()
    with socket.socket() as nobody, capture_logs() as lines:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: refused
        export = SpanExport(otlp_exporter(f"http://127.0.0.1:{nobody.getsockname()[1]}", {}), counts)
        for failed in (1, 2):
            export.record(span())
            await asyncio.to_thread(until, lambda count=failed: counts.spans["failed",] == count, "a failure")
        await export.close()
    [line] = [line for line in lines if line["event"] == "span_export_failed"]
    assert "Connection refused" in line["error"]


async def test_a_collector_that_refuses_is_named_and_its_return_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_export, "PAUSE_SECONDS", 0.01)
    counts = Counts()
    with OtlpReceiver(401, 200) as receiver, capture_logs() as lines:
        export = SpanExport(otlp_exporter(receiver.url, {"x-key": "s3cret"}), counts)
        export.record(span())
        await asyncio.to_thread(until, lambda: counts.spans["failed",], "the refusal")
        export.record(span())
        await asyncio.to_thread(receiver.wait_for, 1)
        await export.close()
    assert counts.spans == {("failed",): 1, ("exported",): 1}
    failed, recovered = (line for line in lines if line["event"].startswith("span_export"))
    assert "401" in failed["error"]
    assert recovered["event"] == "span_export_recovered"
    assert "s3cret" not in str(lines)


async def test_a_collector_that_never_answers_delays_the_end_no_longer_than_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(span_export, "END_SECONDS", 0.05)
    gate = Gate()
    export = SpanExport(gate, Counts())
    export.record(span())
    before = time.monotonic()
    with capture_logs() as lines:
        await export.close()
    assert time.monotonic() - before < 5
    assert [(line["event"], line["spans"]) for line in lines] == [("spans_unsent", 1)]
    gate.opened.set()
