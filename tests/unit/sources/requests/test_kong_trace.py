"""The trace of a finished request: real Kong's logs with its tracing plugins, and what may be wrong in one."""

import json
from typing import Any

import pytest

from kong_eventhooks_plugin.model.trace import TraceParent
from kong_eventhooks_plugin.sources.requests.kong_trace import trace_of
from tests.support.recorded_logs import LOGS

TRACED: dict[str, Any] = json.loads((LOGS / "traced.json").read_text())
CLIENTS = "0af7651916cd43dd8448eb211c80319c"
HEADER = f"00-{CLIENTS}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "opentelemetry": TraceParent("59e717d947b51b06d96957d038d89921", "4bd3408994338159", sampled=True),
        "opentelemetry-continued": TraceParent(CLIENTS, "af93e3f40296f7f2", sampled=True),
        "opentelemetry-unsampled": TraceParent(CLIENTS, "f402c5d7af70cea3", sampled=False),
        "refused-before-opentelemetry": None,
        "client-alone": TraceParent(CLIENTS, "b7ad6b7169203331", sampled=True),
        "zipkin-refused": TraceParent("5c8ee0a13558fb8ede336bdcae4338d7"),
        "zipkin-unsampled": TraceParent(CLIENTS, "892a9eace3c5a38e", sampled=False),
        "zipkin-64-bits": TraceParent("0000000000000000279223b1ec53ac8e"),
        "jaeger": TraceParent("4690291de6b7bcde7713664d5850721d"),
        "jaeger-and-client": TraceParent(CLIENTS, "b7ad6b7169203331", sampled=True),
    }.items(),
)
def test_the_trace_of_a_real_kongs_log(name: str, expected: TraceParent | None) -> None:
    assert trace_of(json.dumps(TRACED[name]["log"])) == expected


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ({"trace_id": {"w3c": "1" * 32}, "request": {"headers": {"traceparent": HEADER}}}, TraceParent("1" * 32)),
        ({"trace_id": {"b3": "1" * 16}}, TraceParent("0" * 16 + "1" * 16)),
        ({"trace_id": {"w3c": "0" * 32}}, None),
        ({"trace_id": {"w3c": 7}}, None),
        ({"trace_id": "1" * 32}, None),
        ({"request": {"headers": {"traceparent": [HEADER, HEADER]}}}, None),
        ({"request": {"headers": []}}, None),
        ({"request": None}, None),
        ([], None),
    ],
)
def test_what_is_not_as_expected_is_no_trace(log: Any, expected: TraceParent | None) -> None:
    assert trace_of(json.dumps(log)) == expected


@pytest.mark.parametrize("text", [b"", b"{", b'{"trace_id": "\xff"}', b"[" * 100_000])
def test_what_is_no_json_is_no_trace(text: bytes) -> None:
    assert trace_of(text) is None
