from prometheus_client import CollectorRegistry, Histogram, generate_latest

from kong_eventhooks_plugin.telemetry.metrics import PREFIX, Latencies


def test_prints_what_prometheus_client_prints() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    latencies = Latencies()
    ours.register(latencies)
    name = f"{PREFIX}_{Latencies.NAME}"
    histogram = Histogram(name, Latencies.TEXT, [Latencies.LABEL], buckets=Latencies.BOUNDS, registry=theirs)
    assert lines(ours) == lines(theirs)
    for hook in ("a", 'b"\\'):
        for seconds in (0.0, *Latencies.BOUNDS, 0.0050001, 3.0, 1e6):
            latencies.add(hook, seconds)
            histogram.labels(hook).observe(seconds)
    assert lines(ours) == lines(theirs)


def lines(registry: CollectorRegistry) -> list[str]:
    """Without the times at which prometheus_client began to count."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]
