"""Write dashboard.json for Grafana 10 or newer: `python deploy/monitoring/make_dashboard.py`."""

import json
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 12, 8
M = "kong_event_hooks"
BY = 'instance=~"$instance"'


def rate(by: str, metric: str) -> str:
    return f"sum by ({by}) (rate({M}_{metric}{{{BY}}}[$__rate_interval]))"


# Title, unit, and for each line its expression and legend.
PANELS: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("Sidecars that deliver", "none", [(f"max({M}_live_nodes{{{BY}}})", "delivering")]),
    ("Events lost", "ops", [(rate("reason", "events_lost_total"), "{{reason}}")]),
    ("Events accepted", "ops", [
        (rate("source, event", "events_total"), "{{source}} {{event}}"),
    ]),
    ("Hooks that did not fire", "ops", [
        (rate("hook, reason", "held_back_total"), "{{hook}} {{reason}}"),
    ]),
    ("Attempts", "ops", [
        (rate("hook, outcome", "delivery_attempts_total"), "{{hook}} {{outcome}}"),
    ]),
    ("From event to delivery", "s", [
        (
            f"histogram_quantile({q}, {rate('le', 'delivery_latency_seconds_bucket')})",
            f"p{int(float(q) * 100)}",
        )
        for q in ("0.5", "0.99")
    ]),
    ("Deliveries in the queue", "none", [(f"sum by (state) ({M}_queue_deliveries{{{BY}}})", "{{state}}")]),
    ("Oldest that waits", "s", [
        (f"max({M}_queue_oldest_unsettled_age_seconds{{{BY}}})", "delivery"),
        (f"max({M}_spooled_oldest_seconds{{{BY}}})", "event for the shared store"),
    ]),
    ("Held hooks", "none", [(f"max by (hook, reason) ({M}_hook_held{{{BY}}})", "{{hook}} {{reason}}")]),
    ("Calls of Kong", "ops", [
        (rate("call", "plugin_calls_total"), "{{call}}"),
        (rate("reason", "socket_errors_total"), "error: {{reason}}"),
    ]),
    ("Held up", "s", [(rate("instance", "stalled_seconds_total"), "{{instance}}")]),
    ("Polls of the Admin API", "ops", [
        (rate("poller, outcome", "polls_total"), "{{poller}} {{outcome}}"),
        (rate("outcome", "reconciliations_total"), "reconciliation {{outcome}}"),
    ]),
    ("User code", "ops", [
        (rate("task, outcome", "sandbox_tasks_total"), "{{task}} {{outcome}}"),
    ]),
]  # fmt: skip
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panel(number: int, title: str, unit: str, lines: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(lines)
        ],
    }


def dashboard() -> dict[str, Any]:
    return {
        "uid": "kong-event-hooks",
        "title": "Kong event hooks",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                {
                    "name": "instance",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": f"label_values({M}_hooks, instance)",
                    "includeAll": True,
                    "multi": True,
                    "refresh": 2,
                },
            ]
        },
        "panels": [panel(number, *each) for number, each in enumerate(PANELS)],
    }


if __name__ == "__main__":
    Path(__file__).with_name("dashboard.json").write_text(json.dumps(dashboard(), indent=1) + "\n")
