"""The field of events that are about one Kong node. It imports as little as ``entry``: Kong waits for the catalogue."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventField

NODE: Final = EventField(
    "node",
    "The Kong node: its `id` (null where it is not known) and `hostname` (where Kong does not tell it, the sidecar's).",
    {"id": "0cbb7c6e-3c8e-4d0b-9f3f-6b1f5f2f1a11", "hostname": "kong-1"},
)
