"""deploy/monitoring against the metrics that exist, and each alert against its section in docs/operations.md."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kong_eventhooks_plugin.telemetry.metrics import PREFIX, rows

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
METRIC = re.compile(rf"{PREFIX}_[a-z_]+(?:{{[^}}]*}})?")
SERIES = re.compile(r"_(bucket|sum|count)$")
KONGS_OWN = re.compile(r"kong_nginx_[a-z_]+{[^}]*}")
LABEL = re.compile(r"([a-z_]+)\s*[=!]~?")


def metrics() -> dict[str, set[str]]:
    return {name: set(labels) for name, _, labels, _ in rows()}


def expressions(name: str) -> list[str]:
    text = (MONITORING / name).read_text()
    found: Any = yaml.safe_load(text) if name.endswith(".yml") else json.loads(text)
    if name.endswith(".yml"):
        return [rule["expr"] for group in found["groups"] for rule in group["rules"]]
    return [target["expr"] for panel in found["panels"] for target in panel.get("targets", ())]


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_every_metric_and_label_exists(name: str) -> None:
    known = metrics()
    used = [found for expression in expressions(name) for found in METRIC.findall(expression)]
    assert used
    for found in used:
        metric, _, selector = found.partition("{")
        metric = metric if metric in known else SERIES.sub("", metric)
        assert metric in known, found
        assert set(LABEL.findall(re.sub(r'"[^"]*"', "", selector))) <= known[metric] | {"job", "instance"}, found


def test_every_value_in_an_alert_is_one_that_the_package_counts() -> None:
    source = "".join(path.read_text() for path in (ROOT / "kong_eventhooks_plugin").rglob("*.py"))
    for expression in expressions("alerts.yml"):
        for value in re.findall(r'[=!]~?"([^"]*)"', KONGS_OWN.sub("", expression)):
            for each in value.split("|"):
                assert f'"{each}"' in source, expression


def test_every_alert_has_its_section() -> None:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    sections = re.findall(r"^### (\w+)$", (ROOT / "docs" / "operations.md").read_text(), flags=re.MULTILINE)
    assert [rule["alert"] for rule in rules] == sections
    for rule in rules:
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}


def promtool(*arguments: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool (Debian's package prometheus has it)")
    checked = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", str(MONITORING / "alerts.yml"))


LOST = "kong_event_hooks_events_lost_total"


@pytest.mark.parametrize(
    ("values", "minute", "fires"),
    [
        ("_x3 5x20", 5, True),  # the first loss makes the series
        ("5x15 6x20", 18, True),
        ("_x3 5x30", 20, False),
    ],
)
def test_a_single_burst_of_losses_calls(tmp_path: Path, values: str, minute: int, fires: bool) -> None:
    labels = {"instance": "a", "reason": "queue_full"}
    alert = ("EventHooksEventsLost", {**labels, "severity": "page"}, annotations("EventHooksEventsLost", **labels))
    evaluate(tmp_path, f'{LOST}{{instance="a",reason="queue_full"}}', values, minute, alert, fires=fires)


@pytest.mark.parametrize("reason", ["endpoint_gone", "disabled"])
def test_a_hook_that_somebody_disabled_is_nobody_s_ticket(tmp_path: Path, reason: str) -> None:
    labels = {"instance": "a", "hook": "h", "reason": reason}
    alert = ("EventHooksHookHeld", {**labels, "severity": "ticket"}, annotations("EventHooksHookHeld", **labels))
    series = f'kong_event_hooks_hook_held{{instance="a",hook="h",reason="{reason}"}}'
    evaluate(tmp_path, series, "1x30", 20, alert, fires=reason != "disabled")


def evaluate(
    folder: Path,
    series: str,
    values: str,
    minute: int,
    alert: tuple[str, dict[str, str], dict[str, str]],
    *,
    fires: bool,
) -> None:
    """See that the alert (its name, labels and annotations) fires after so many minutes of the series, or does not."""
    name, labels, texts = alert
    seen = {"exp_labels": labels, "exp_annotations": texts}
    case = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values}],
        "alert_rule_test": [{"eval_time": f"{minute}m", "alertname": name, "exp_alerts": [seen] if fires else []}],
    }
    file = folder / "case.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(MONITORING / "alerts.yml")], "tests": [case]}))
    promtool("test", "rules", str(file))


def annotations(alert: str, **labels: str) -> dict[str, str]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    [rule] = [each for group in groups for each in group["rules"] if each["alert"] == alert]
    found = {}
    for key, text in rule["annotations"].items():
        found[key] = re.sub(r"{{ \$labels\.(\w+) }}", lambda label: labels[label[1]], text)
    return found
