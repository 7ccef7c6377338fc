"""The metrics and the registry that /metrics prints; docs/metrics.md is generated from here.

Hot-path counters are plain integers in ``Counts`` (an increment of a prometheus counter takes a lock);
the collector reads them on each scrape.
"""

from collections.abc import Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "kong_event_hooks"

Labels = TypeVar("Labels")


class Tally(dict[Labels, int]):
    """Counts by label values; a missing one is 0.

    The standard library's Counter takes twice as long for ``+= 1``: its ``__delitem__`` makes every store a lookup of a
    Python method, and an event increments two of these.
    """

    __slots__ = ()

    def __missing__(self, labels: Labels) -> int:
        return 0


class Counts(Collector):
    """Counters, incremented by ``counts.x[labels] += 1``. ``FAMILIES`` documents them and names their labels."""

    def __init__(self) -> None:
        self.plugin_calls: Tally[tuple[str]] = Tally()
        self.pdk_calls: Tally[tuple[str]] = Tally()
        self.socket_errors: Tally[tuple[str]] = Tally()
        self.events: Tally[tuple[str, str]] = Tally()
        self.events_lost: Tally[tuple[str]] = Tally()
        self.held_back: Tally[tuple[str, str]] = Tally()
        self.sandbox_tasks: Tally[tuple[str, str]] = Tally()
        self.polls: Tally[tuple[str, str]] = Tally()
        self.reconciliations: Tally[tuple[str]] = Tally()
        self.reconciled_changes: Tally[tuple[str]] = Tally()

    FAMILIES = (
        ("plugin_calls", "Calls of Kong's on the plugin socket, by call.", ("call",)),
        ("pdk_calls", "PDK functions called in Kong, by function.", ("function",)),
        ("socket_errors", "Errors on the plugin socket, by reason.", ("reason",)),
        ("events", "Events committed to the queue, by source and event.", ("source", "event")),
        ("events_lost", "Events that could not be accepted, by reason.", ("reason",)),
        ("held_back", "Matching hooks that did not fire, by hook and reason.", ("hook", "reason")),
        ("sandbox_tasks", "Tasks of user code, by task and outcome.", ("task", "outcome")),
        ("polls", "Polls of Kong's Admin API, by poller and outcome.", ("poller", "outcome")),
        ("reconciliations", "Reconciliations of the mirror with the Admin API, by outcome.", ("outcome",)),
        ("reconciled_changes", "Changes found by reconciliations, by operation.", ("operation",)),
    )

    def collect(self) -> Iterator[Metric]:
        """Yield the families for prometheus-client's registry."""
        for name, text, labels in self.FAMILIES:
            family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
            for key, value in dict(getattr(self, name)).items():
                family.add_metric(key, value)
            yield family


class Metrics:
    """Everything that /metrics prints."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.counts = Counts()
        self.registry.register(self.counts)
        self.delivery_attempts = Counter(
            f"{PREFIX}_delivery_attempts", "Delivery attempts, by hook, outcome and error class.",
            ["hook", "outcome", "error"], registry=self.registry,
        )  # fmt: skip
        self.delivery_latency = Histogram(
            f"{PREFIX}_delivery_latency_seconds", "Seconds from an event's time to its delivery, by hook.", ["hook"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400),
            registry=self.registry,
        )  # fmt: skip
        self.depth = Gauge(f"{PREFIX}_queue_deliveries", "Deliveries in the queue.", ["state"], registry=self.registry)
        self.unsettled_bytes = Gauge(
            f"{PREFIX}_queue_unsettled_bytes", "Bytes of unsettled deliveries.", registry=self.registry
        )
        self.oldest_unsettled_age = Gauge(
            f"{PREFIX}_queue_oldest_unsettled_age_seconds",
            "Age of the oldest unsettled delivery.",
            registry=self.registry,
        )
        self.hook_held = Gauge(
            f"{PREFIX}_hook_held", "1 where deliveries to a hook are paused.", ["hook", "reason"],
            registry=self.registry,
        )  # fmt: skip
        self.delivery_leader = Gauge(
            f"{PREFIX}_delivery_leader", "1 where this process holds the delivery lease.", registry=self.registry
        )
        self.socket_unserved = Gauge(
            f"{PREFIX}_socket_unserved_seconds",
            "Seconds before this start in which nobody listened on the plugin socket, by how the last listener ended.",
            ["ended"], registry=self.registry,
        )  # fmt: skip
        self.hooks = Gauge(f"{PREFIX}_hooks", "Active hooks, by origin.", ["origin"], registry=self.registry)
        self.http_connections = Counter(
            f"{PREFIX}_http_connections", "HTTP connections for deliveries: new or reused.", ["kind"],
            registry=self.registry,
        )  # fmt: skip
