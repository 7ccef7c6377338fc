"""Kong's own trace goes on in the sidecar's: both export to one collector, and the receiver gets the trace's id."""

import socket
from typing import Any

import pytest

from tests.integration.conftest import HttpServer, Kong, Sidecar
from tests.support.hooks import plugin_config
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

CLIENTS = "0af7651916cd43dd8448eb211c80319c"


def service(name: str, url: str, *plugins: dict[str, Any]) -> dict[str, Any]:
    route = {"name": name, "paths": [f"/{name}"]}
    return {"name": name, "url": url, "retries": 1, "routes": [route], "plugins": list(plugins)}


def test_an_event_is_in_kongs_own_trace(
    kong: Kong, sidecar: Sidecar, receiver: HttpServer, upstream: HttpServer
) -> None:
    hooks = [
        {
            "name": source,
            "source": source,
            "handler": "webhook",
            "config": {"url": f"http://127.0.0.1:{receiver.port}/"},
        }
        for source in ("upstream", "rate-limiting")
    ]
    with OtlpReceiver() as collector, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: refused
        queue = {"max_coalescing_delay": 0.1}
        opentelemetry = {"traces_endpoint": f"{collector.url}/v1/traces", "queue": queue}
        zipkin = {"http_endpoint": f"http://127.0.0.1:{upstream.port}/", "sample_ratio": 1, "queue": queue}
        limiting = {"name": "rate-limiting", "config": {"hour": 1, "policy": "local"}}
        kong.extra_conf |= {"tracing_instrumentations": "request", "tracing_sampling_rate": "1"}
        kong.declare({
            "services": [
                service("refused", f"http://127.0.0.1:{nobody.getsockname()[1]}",
                        {"name": "opentelemetry", "config": opentelemetry}),
                service("limited", f"http://127.0.0.1:{upstream.port}", {"name": "zipkin", "config": zipkin}, limiting),
            ],
            "plugins": [{"name": "event-hooks", "config": plugin_config(*hooks)}],
        })  # fmt: skip
        sidecar.options = ["--otlp-endpoint", collector.url]
        sidecar.start()
        kong.start()
        continued = {"traceparent": f"00-{CLIENTS}-b7ad6b7169203331-01"}
        assert [kong.get("/refused")[0], kong.get("/refused", continued)[0]] == [502, 502]
        until(lambda: kong.get("/limited", {"traceparent": continued["traceparent"][:-1] + "0"})[0] == 429, "the limit")

        def ours() -> list[str]:
            return [span.name for span in collector.spans if span.service == "kong-event-hooks"]

        until(lambda: ours().count("deliver upstream") == 2, "both events are traced")
        until(lambda: len([span for span in collector.spans if span.name == "kong"]) >= 2, "Kong's own spans")
        traces = {
            name: {span.trace_id for span in collector.spans if span.name == name}
            for name in ("kong", "publish upstream", "deliver upstream", "POST")
        }
        assert traces["publish upstream"] == traces["deliver upstream"] == traces["POST"] == traces["kong"]
        assert CLIENTS in traces["kong"]
        assert "publish rate-limiting" not in ours(), "zipkin had the client's word that it is not recorded"
        assert until(
            lambda: {flags for trace_id, flags in sent(receiver) if trace_id == CLIENTS} == {"00", "01"}, "both"
        )
        assert {trace_id for trace_id, _ in sent(receiver)} == traces["kong"]


def sent(receiver: HttpServer) -> list[tuple[str, str]]:
    """Return the trace's id and the flags of each request that continues a trace; a ping does not."""
    headers = [{name.lower(): value for name, value in request["headers"].items()} for request in receiver.requests]
    parts = [found["traceparent"].split("-") for found in headers if "traceparent" in found]
    return [(trace_id, flags) for _, trace_id, _, flags in parts]
