"""Hook definitions for tests, and Kong's side of a plugin instance."""

import json
from typing import Any

from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.hooks.validation import Validation
from kong_eventhooks_plugin.model.observation import InstanceClosed, InstanceStarted

# What the recorded answers of a real Kong were made with; a later release knows more.
KNOWN = Known(
    sources={
        "rate-limiting": ("rate-limit-exceeded",),
        "response-ratelimiting": ("rate-limit-exceeded",),
        "rate-limiting-advanced": ("rate-limit-exceeded",),
    },
)
VALIDATION = Validation(KNOWN)

PLUGIN_ID = "d0811eb1-d922-52f8-bc59-4182e961e622"


def log_hook(name: str = "to-log", **fields: Any) -> dict[str, Any]:
    return {"name": name, "source": "rate-limiting", "handler": "log", **fields}


def webhook(name: str = "to-web", url: str = "https://example.com/hook", **config: Any) -> dict[str, Any]:
    return {"name": name, "source": "rate-limiting", "handler": "webhook", "config": {"url": url, **config}}


def started(
    *hooks: Any, plugin_id: str = PLUGIN_ID, instance_id: int = 1, seq: int | None = 12, **extra: Any
) -> InstanceStarted:
    """What Kong hands over with StartInstance."""
    config = {"hooks": list(hooks), "__plugin_id": plugin_id, "__key__": f"plugins:event-hooks:{plugin_id}", **extra}
    if seq is not None:
        config["__seq__"] = seq
    return InstanceStarted(plugin="event-hooks", instance_id=instance_id, config=json.dumps(config).encode())


def closed(instance_id: int = 1) -> InstanceClosed:
    return InstanceClosed(plugin="event-hooks", instance_id=instance_id)


def listed(*hooks: Any, plugin_id: str = PLUGIN_ID, **fields: Any) -> dict[str, Any]:
    """A plugin as Kong's Admin API lists it."""
    empty = {"service": None, "route": None, "consumer": None, "enabled": True}
    return {"id": plugin_id, "name": "event-hooks", "config": {"hooks": list(hooks)}, **empty, **fields}
