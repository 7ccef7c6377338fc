"""What docs/delivery.md says an operator sees, when something breaks, is logged and counted by these names."""

import re
from pathlib import Path
from typing import get_args

from kong_eventhooks_plugin.kong.plugin_server.socket_errors import Reason
from kong_eventhooks_plugin.model.delivery import ErrorClass
from kong_eventhooks_plugin.telemetry.log_events import LOG_EVENTS

DOCS = Path(__file__).parents[3] / "docs"


def test_each_name_exists() -> None:
    table = (DOCS / "delivery.md").read_text().partition("## When something breaks")[2].partition("`python ")[0]
    parts = re.findall(r"Log: (.*?)(?:Metric|/readyz)", table)
    logs = [name for part in parts for name in re.findall(r"`(\w+)`", part)]
    assert len(logs) > 8
    assert not set(logs) - {*LOG_EVENTS, *get_args(Reason)}
    metrics = (DOCS / "metrics.md").read_text()
    for metric, label, value in re.findall(r"`(\w+)\{(\w+)=\"(\w+)\"\}`", table):
        assert re.search(rf"`kong_event_hooks_{metric}` .*`{label}`", metrics), metric
        if metric == "delivery_attempts_total":
            assert value in get_args(ErrorClass)
        if metric == "socket_errors_total":
            assert value in get_args(Reason)
