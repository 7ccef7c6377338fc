"""The metrics and the registry that /metrics prints; docs/metrics.md is generated from here (``make docs``).

What the hot path counts is plain numbers in ``Counts`` and ``Latencies`` (an increment of a prometheus counter takes a
lock); the collectors read them on each scrape.
"""

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

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


class CellTally(Tally[tuple[str]]):
    """What every call of Kong's increments: ``cell(label)[0] += 1``, without a look-up. ``fold`` before reading."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        super().__init__()
        self._cells: dict[str, list[int]] = {}

    def cell(self, label: str) -> list[int]:
        return self._cells.setdefault(label, [0])

    def fold(self) -> "CellTally":
        """Add what is in the cells; return this."""
        for label, cell in self._cells.items():
            if cell[0]:
                self[label,] += cell[0]
                cell[0] = 0
        return self


class Counts(Collector):
    """Counters, incremented by ``counts.x[labels] += 1``. ``FAMILIES`` documents them and names their labels."""

    def __init__(self) -> None:
        self._plugin_calls = CellTally()
        self._pdk_calls = CellTally()
        self.socket_errors: Tally[tuple[str]] = Tally()
        self.events: Tally[tuple[str, str]] = Tally()
        self.events_lost: Tally[tuple[str]] = Tally()
        self.held_back: Tally[tuple[str, str]] = Tally()
        self.unread_logs: Tally[tuple[str]] = Tally()
        self.delivery_attempts: Tally[tuple[str, str, str]] = Tally()
        self.http_connections: Tally[tuple[str]] = Tally()
        self.sandbox_tasks: Tally[tuple[str, str]] = Tally()
        self.polls: Tally[tuple[str, str]] = Tally()
        self.reconciliations: Tally[tuple[str]] = Tally()
        self.reconciled_changes: Tally[tuple[str]] = Tally()
        self.spans: Tally[tuple[str]] = Tally()
        self.worker_restarts: Tally[tuple[str]] = Tally()
        self.stalled_seconds: dict[tuple[()], float] = {(): 0.0}

    FAMILIES = (
        ("plugin_calls", "Calls of Kong's on the plugin socket, by call.", ("call",)),
        ("pdk_calls", "PDK functions called in Kong, by function.", ("function",)),
        ("socket_errors", "Errors on the plugin socket, by reason.", ("reason",)),
        (
            "events",
            "Events committed to the queue, by source and event; those of `custom` are all `(other)`.",
            ("source", "event"),
        ),
        ("events_lost", "Events that could not be accepted, by reason.", ("reason",)),
        ("held_back", "Matching hooks that did not fire, by hook and reason.", ("hook", "reason")),
        (
            "unread_logs",
            "Requests of which only the status is known (setting `snoozed_logs_per_second`), by status.",
            ("status",),
        ),
        (
            "delivery_attempts",
            "Delivery attempts, by hook, outcome and error class.",
            ("hook", "outcome", "error"),
        ),
        ("http_connections", "HTTP connections for deliveries: new or reused.", ("kind",)),
        ("sandbox_tasks", "Tasks of user code, by task and outcome.", ("task", "outcome")),
        ("polls", "Polls of Kong's Admin API, by poller and outcome.", ("poller", "outcome")),
        ("reconciliations", "Reconciliations of the mirror with the Admin API, by outcome.", ("outcome",)),
        ("reconciled_changes", "Changes found by reconciliations, by operation.", ("operation",)),
        (
            "spans",
            "Spans for the collector: `exported`, `failed` (not taken) or `dropped` (queue full).",
            ("outcome",),
        ),
        ("stalled_seconds", "Seconds in which the worker was held up, and Kong's calls waited unread.", ()),
        ("worker_restarts", "Workers replaced since the supervisor's start: crashed, or unresponsive.", ("reason",)),
    )

    @property
    def plugin_calls(self) -> CellTally:
        return self._plugin_calls.fold()

    @property
    def pdk_calls(self) -> CellTally:
        return self._pdk_calls.fold()

    def collect(self) -> Iterator[Metric]:
        for name, text, labels in self.FAMILIES:
            family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
            for key, value in dict(getattr(self, name)).items():
                family.add_metric(key, value)
            yield family


class Latencies(Collector):
    """Histograms of how long after its event a delivery was made, one for each hook of which any was."""

    NAME, LABEL = "delivery_latency_seconds", "hook"
    TEXT = "Seconds from an event's time to its delivery, by hook."
    BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)

    def __init__(self) -> None:
        self._hooks: dict[str, list[float]] = {}  # how many up to each bound, how many beyond, and the sum of all

    def add(self, hook: str, seconds: float) -> None:
        numbers = self._hooks.get(hook)
        if numbers is None:
            numbers = self._hooks[hook] = [0.0] * (len(self.BOUNDS) + 2)
        numbers[bisect_left(self.BOUNDS, seconds)] += 1
        numbers[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(f"{PREFIX}_{self.NAME}", self.TEXT, labels=[self.LABEL])
        bounds = [*map(floatToGoString, self.BOUNDS), "+Inf"]
        for hook, (*counts, seconds) in list(self._hooks.items()):
            family.add_metric([hook], list(zip(bounds, accumulate(counts), strict=True)), seconds)
        yield family


class Metrics:
    """Everything that /metrics prints."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.counts = Counts()
        self.registry.register(self.counts)
        gauge = partial(Gauge, namespace=PREFIX, registry=self.registry)
        self.latencies = Latencies()
        self.registry.register(self.latencies)
        self.depth = gauge("queue_deliveries", "Deliveries in the queue.", ["state"])
        self.spooled_events = gauge("spooled_events", "Events of this node that wait for the shared store.")
        self.spooled_age = gauge("spooled_oldest_seconds", "Age of the oldest of them.")
        self.unsettled_bytes = gauge("queue_unsettled_bytes", "Bytes of unsettled deliveries.")
        self.oldest_unsettled_age = gauge("queue_oldest_unsettled_age_seconds", "Age of the oldest unsettled delivery.")
        self.hook_held = gauge(
            "hook_held", "1 where a hook is held or cannot fire, as /readyz says.", ["hook", "reason"]
        )
        self.delivery_leader = gauge("delivery_leader", "1 where this process leads: it delivers, or polls for all.")
        self.live_nodes = gauge("live_nodes", "Nodes that deliver, as this one sees it; 0: it does not deliver.")
        self.delivered_hooks = gauge("delivered_hooks", "Active hooks that this process delivers.")
        self.socket_unserved = gauge(
            "socket_unserved_seconds",
            "Seconds before this start in which nobody listened on the plugin socket, by how the last listener ended.",
            ["ended"],
        )
        self.errors = gauge("errors", "Errors that /readyz lists: invalid declarations, a Kong that does not connect.")
        self.hooks = gauge("hooks", "Active hooks, by origin.", ["origin"])


_HEAD = """# Metrics

`GET /metrics` prints these in Prometheus' text format.

Generated from the code by `make docs`; do not edit.

| metric | type | labels | description |
|---|---|---|---|
"""


def rows() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    for name, text, labels in Counts.FAMILIES:
        yield f"{PREFIX}_{name}_total", "counter", labels, text
    yield f"{PREFIX}_{Latencies.NAME}", "histogram", (Latencies.LABEL,), Latencies.TEXT
    for metric in vars(Metrics()).values():
        if isinstance(metric, Counter | Gauge):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, tuple(metric._labelnames), family.documentation  # noqa: SLF001 - it has no public name


def page() -> str:
    lines = (
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |\n"
        for name, kind, labels, text in sorted(rows())
    )
    return _HEAD + "".join(lines)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
