"""A real OTLP receiver on loopback, without a collector: it parses the protobuf that an exporter posts to it."""

import ssl
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.waiting import SECONDS


class ReceivedSpan(NamedTuple):
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    started_at: float
    ended_at: float
    attributes: dict[str, Any]
    failed: bool
    remote_parent: bool
    service: str


class OtlpReceiver:
    """``with OtlpReceiver() as receiver``. It answers each status of ``statuses`` in turn, the last one for ever."""

    def __init__(self, *statuses: int, tls: ssl.SSLContext | None = None) -> None:
        self.spans: list[ReceivedSpan] = []
        self.requests: list[tuple[str, Mapping[str, str], bytes]] = []
        self._statuses = list(statuses or (200,))
        self._arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = outer._take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Keep the test's output readable."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int, seconds: float = SECONDS) -> Sequence[ReceivedSpan]:
        """Return the spans as soon as there are ``count``."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.spans) >= count, seconds), f"{self.spans} are not {count}"
            return list(self.spans)

    def _take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        with self._arrived:
            self.requests.append((path, headers, body))
            status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
            if status == 200:
                self.spans.extend(spans_of(body))
                self._arrived.notify_all()
            return status


def spans_of(body: bytes) -> list[ReceivedSpan]:
    return [
        _received(span, str(_attributes(resource.resource.attributes).get("service.name")))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _received(span: Span, service: str) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        started_at=span.start_time_unix_nano / 1e9,
        ended_at=span.end_time_unix_nano / 1e9,
        attributes=_attributes(span.attributes),
        failed=span.status.code == 2,
        remote_parent=bool(span.flags & 0x200),
        service=service,
    )


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}
