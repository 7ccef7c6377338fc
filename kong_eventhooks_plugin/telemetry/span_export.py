"""Sends spans to an OpenTelemetry collector: OTLP over HTTP, by the OpenTelemetry SDK, in a thread of its own.

The only module that imports OpenTelemetry, and imported only where the setting ``otlp_endpoint`` is set: nothing of it
is loaded, started or stored otherwise. Spans are recorded when they have ended, with ids that are known before: a
delivery outlives processes, and an SDK's span in progress does not. So there is no tracer, which would make one in
eight times the time.

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

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

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
_UNSET: Final = Status(StatusCode.UNSET)
_ERROR: Final = Status(StatusCode.ERROR)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SCOPE: Final = InstrumentationScope("kong_eventhooks_plugin", __version__)

log = structlog.get_logger()


def otlp_exporter(endpoint: str, headers: Mapping[str, str]) -> SpanExporter:
    """Return what sends to a collector; ``endpoint`` with or without the path for traces."""
    paths = ssl.get_default_verify_paths()  # as webhooks trust them
    session = requests.Session()
    session.trust_env = False  # a proxy, .netrc and REQUESTS_CA_BUNDLE, which would replace the certificates
    return OTLPSpanExporter(
        endpoint=endpoint if endpoint.endswith(TRACES_PATH) else endpoint.rstrip("/") + TRACES_PATH,
        certificate_file=paths.cafile or paths.capath,
        headers=dict(headers),
        timeout=REQUEST_SECONDS,
        session=session,
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
        self._resource = own.merge(OTELResourceDetector().detect())

    def record(self, span: EndedSpan) -> None:
        if self._recorded - self._sender.taken >= WAITING:
            self._counts.spans["dropped",] += 1
            return
        self._recorded += 1
        self._processor.on_end(_readable(span, self._resource))

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


def _readable(span: EndedSpan, resource: Resource) -> ReadableSpan:
    trace_id, parent = int(span.trace_id, 16), None
    if span.parent_id is not None:
        # The parent of an event's own span is Kong's or a client's.
        parent = SpanContext(trace_id, int(span.parent_id, 16), is_remote=span.kind == "producer")
    return ReadableSpan(
        span.name,
        SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
        parent,
        resource,
        span.attributes if span.error is None else {**span.attributes, "error.type": span.error},
        kind=_KINDS[span.kind],
        status=_UNSET if span.error is None else _ERROR,
        start_time=_nanoseconds(span.started_at),
        end_time=_nanoseconds(max(span.started_at, span.ended_at)),  # the clock may have been set back
        instrumentation_scope=_SCOPE,
    )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000) * 1_000  # a float of today has no more digits
