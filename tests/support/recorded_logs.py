"""Requests that a real Kong finished or refused, and the plugins that it had (tests/captures/logs)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from kong_eventhooks_plugin.kong.admin_api.active_plugins import ActivePlugins
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.requests.plugin_answers import Answers, read_plugin
from tests.support.events import SEEN_AT

LOGS = Path(__file__).resolve().parents[1] / "captures" / "logs"
GROUPS = ("upstream", "auth", "limits", "near")
UNKNOWN_PLUGINS: ActivePlugins[Answers] = ActivePlugins(read_plugin)


@cache
def recorded_logs() -> dict[str, LogObservation]:
    """Every recorded request by its name."""
    return {
        name: LogObservation("event-hooks", row["status"], json.dumps(row["log"]), SEEN_AT)
        for group in GROUPS
        for name, row in json.loads((LOGS / f"{group}.json").read_text()).items()
    }


@cache
def edited_logs() -> dict[str, LogObservation]:
    """The recorded requests whose rate-limit headers others edited, forged or sent, by name."""
    rows = json.loads((LOGS / "edited.json").read_text())
    return {
        name: LogObservation("event-hooks", row["status"], json.dumps(row["log"]), SEEN_AT)
        for name, row in rows.items()
    }


def plugin_list(file: str = "plugins.json") -> list[dict[str, Any]]:
    """What the Admin API of that Kong listed under /plugins."""
    data: list[dict[str, Any]] = json.loads((LOGS / file).read_text())["data"]
    return data


def plugins_of(*plugins: dict[str, Any]) -> ActivePlugins[Answers]:
    """An index of these plugins; of the recorded ones where none is named."""
    index: ActivePlugins[Answers] = ActivePlugins(read_plugin)
    index.replace_list(index.listed(plugins or plugin_list()))
    return index


def plugin(name: str, **fields: Any) -> dict[str, Any]:
    """A plugin as the Admin API lists it; ``route``, ``service``, ``consumer`` and ``consumer_group`` are ids (None:
    any), ``enabled`` is itself, all others are its config."""
    ids = {scope: fields.pop(scope, None) for scope in ("route", "service", "consumer", "consumer_group")}
    on = {scope: None if key is None else {"id": key} for scope, key in ids.items()}
    enabled = fields.pop("enabled", True)
    return {"id": f"plugin-{name}", "name": name, "enabled": enabled, "config": fields, "tags": None, **on}
