"""Sends spans to an OpenTelemetry collector: OTLP over HTTP, by the OpenTelemetry SDK, in a thread of its own.

The only module that imports OpenTelemetry, and imported only where the setting ``otlp_endpoint`` is set: nothing of it
is loaded, started or stored otherwise. Spans are recorded when they have ended, with ids that are known before: a
delivery outlives processes, and an SDK's span in progress does not.

Limits: ``WAITING`` spans wait to be sent, past that a new one is dropped. ``BATCH`` are sent in a request, which has
``REQUEST_SECONDS`` with its retries; what it cannot deliver is dropped. The end of the process waits ``END_SECONDS``.
Each dropped span is counted (``kong_event_hooks_spans_total``), and the first failure of a run is logged.
"""

import asyncio
import logging
import ssl
import threading
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, set_span_in_context

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.telemetry.metrics import Counts
from kong_eventhooks_plugin.telemetry.spans import EndedSpan

WAITING: Final = 8_192
BATCH: Final = 512
REQUEST_SECONDS: Final = 5.0
END_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 2.0
"""Between two requests, unless a batch is full before."""

TRACES_PATH: Final = "/v1/traces"

_KINDS: Final = {
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
_ERROR: Final = Status(StatusCode.ERROR)

log = structlog.get_logger()


def otlp_exporter(endpoint: str, headers: Mapping[str, str]) -> SpanExporter:
    """Return what sends to a collector; ``endpoint`` with or without the path for traces."""
    paths = ssl.get_default_verify_paths()  # as webhooks trust them
    return OTLPSpanExporter(
        endpoint=endpoint if endpoint.endswith(TRACES_PATH) else endpoint.rstrip("/") + TRACES_PATH,
        certificate_file=paths.cafile or paths.capath,
        headers=dict(headers),
        timeout=REQUEST_SECONDS,
    )


class SpanExport:
    """``record`` is a ``spans.RecordSpan``; it and ``close`` are called on the event loop."""

    def __init__(self, exporter: SpanExporter, counts: Counts) -> None:
        self._counts = counts
        self._recorded = 0
        self._sender = _Sender(exporter, counts)
        self._processor = BatchSpanProcessor(
            self._sender,
            max_queue_size=WAITING,
            max_export_batch_size=BATCH,
            schedule_delay_millis=PAUSE_SECONDS * 1_000,
        )
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win, as in every program that is traced.
        own = Resource({"service.name": "kong-event-hooks", "service.version": __version__})
        self._ids = _GivenIds()
        provider = TracerProvider(
            sampler=ALWAYS_ON,  # it is decided before
            resource=own.merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("kong_eventhooks_plugin", __version__)

    def record(self, span: EndedSpan) -> None:
        if self._recorded - self._sender.taken >= WAITING:
            self._counts.spans["dropped",] += 1
            return
        self._recorded += 1
        self._ids.trace_id, self._ids.span_id = int(span.trace_id, 16), int(span.span_id, 16)
        started = self._tracer.start_span(
            span.name,
            _context_of(span),
            _KINDS[span.kind],
            span.attributes if span.error is None else {**span.attributes, "error.type": span.error},
            start_time=_nanoseconds(span.started_at),
        )
        if span.error is not None:
            started.set_status(_ERROR)
        started.end(_nanoseconds(max(span.started_at, span.ended_at)))  # the clock may have been set back

    async def close(self) -> None:
        """Send what waits, for at most ``END_SECONDS``."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            try:
                loop.call_soon_threadsafe(closed.set)
            except RuntimeError:  # nobody waits: the loop has ended
                return

        # A daemon: a collector that never answers keeps the thread, and must not keep the process.
        threading.Thread(target=shut_down, name="spans-closing", daemon=True).start()
        try:
            async with asyncio.timeout(END_SECONDS):
                await closed.wait()
        except TimeoutError:
            log.warning("spans_unsent", spans=self._recorded - self._sender.sent)


class _GivenIds(IdGenerator):
    """Gives the next span the ids that were set."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Sender(SpanExporter):
    """Counts what the exporter sends. It runs in the SDK's thread; its counters have no other writer."""

    def __init__(self, exporter: SpanExporter, counts: Counts) -> None:
        self._exporter = exporter
        self._counts = counts
        self._failing = False
        self._messages = _FirstMessage()
        self.taken = 0
        self.sent = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        self._messages.text = None
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - the thread must outlive an exporter's bug
            result, self._messages.text = SpanExportResult.FAILURE, type(error).__name__
        failed = result is not SpanExportResult.SUCCESS
        self.sent += len(spans)
        self._counts.spans["failed" if failed else "exported",] += len(spans)
        if failed and not self._failing:
            log.warning("span_export_failed", spans=len(spans), error=self._messages.text)
        elif self._failing and not failed:
            log.info("span_export_recovered")
        self._failing = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _FirstMessage(logging.Handler):
    """Keeps the SDK's first message of an export, which has the cause; each would be a line every few seconds."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text: str | None = None
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        if self.text is None:
            self.text = record.getMessage()


def _context_of(span: EndedSpan) -> Context:
    """Return a context with the span's parent: empty for one that begins a trace, or knows its trace's id alone."""
    if span.parent_id is None:
        return Context()
    remote = span.kind == "producer"
    return set_span_in_context(
        NonRecordingSpan(SpanContext(int(span.trace_id, 16), int(span.parent_id, 16), is_remote=remote)), Context()
    )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000) * 1_000  # a float of today has no more digits
