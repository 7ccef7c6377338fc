"""docs/metrics.md, from where the metrics are defined: ``python -m kong_eventhooks_plugin.telemetry.metrics_page``."""

from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram

from kong_eventhooks_plugin.telemetry.metrics import PREFIX, Counts, Metrics

_HEAD = """# Metrics

`GET /metrics` prints these in Prometheus' text format.

Generated from the code by `make docs`; do not edit.

| metric | type | labels | description |
|---|---|---|---|
"""


def rows() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Yield name, type, labels and help of each metric."""
    for name, text, labels in Counts.FAMILIES:
        yield f"{PREFIX}_{name}_total", "counter", labels, text
    for metric in vars(Metrics()).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, tuple(metric._labelnames), family.documentation  # noqa: SLF001 - it has no public name


def page() -> str:
    """Return docs/metrics.md."""
    lines = (
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |\n"
        for name, kind, labels, text in sorted(rows())
    )
    return _HEAD + "".join(lines)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
