"""The digest of an event's data, by which on_change and snooze tell one event from another.

It is the hash of the data's canonical JSON: keys in order at every depth, so that the same data in another
order is the same, and each value as JSON writes it, so that ``1``, ``true`` and ``"1"`` differ (Kong Enterprise
before 3.10 lost events in which only a number or a boolean changed).
"""

from hashlib import blake2b
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.model.event import Event

SIZE: Final = 16
"""Bytes; two of a hook's events do not share one by chance."""

_encoder = msgspec.json.Encoder(order="sorted")


def digest(event: Event) -> bytes:
    """Return the digest of the event's data, of its ``unique`` fields alone where it names some.

    A unique field that the data does not have is left out.
    """
    data = event.data
    hashed = {name: data[name] for name in event.unique if name in data} if event.unique else data
    if event.compared:
        hashed = hashed | {name: _part(data[name], own) for name, own in event.compared.items() if name in hashed}
    return blake2b(_encoder.encode(hashed), digest_size=SIZE).digest()


def _part(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Return what counts of an object; ``{}`` of none."""
    return {name: value.get(name) for name in names} if value else {}
