from pathlib import Path

from prometheus_client import generate_latest

from kong_eventhooks_plugin.telemetry.metrics import Metrics, page, rows

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_is_made_from_the_metrics() -> None:
    assert PAGE.read_text() == page()


def test_it_names_what_is_printed_and_nothing_else() -> None:
    printed = generate_latest(Metrics().registry).decode()
    named = {line.split()[2] for line in printed.splitlines() if line.startswith("# TYPE ")}
    assert {name for name in named if not name.endswith("_created")} == {name for name, *_ in rows()}
