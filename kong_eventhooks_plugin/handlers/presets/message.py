"""What every preset is given, and what they have in common: a title, facts, what an event is about.

Limits: ``MAX_FACTS`` facts of ``MAX_VALUE`` characters each.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from kong_eventhooks_plugin.model.event import Event

MAX_FACTS: Final = 40
MAX_VALUE: Final = 300
CUT: Final = "..."

_KEY: Final = re.compile("[A-Za-z0-9_:-]{1,255}")
_NAMES: Final = ("name", "username", "path", "id")
"""What stands for an entity or a request, best first."""


class Message(NamedTuple):
    """``source`` is the hook's; ``key`` is ``config.preset_key``, empty where the preset needs none."""

    event: Event
    source: str
    hook: str
    key: str = ""


class Rendered(NamedTuple):
    """``path`` is added to that of the hook's URL."""

    body: bytes
    headers: Mapping[bytes, bytes] = {b"content-type": b"application/json"}
    path: str = ""


def title(message: Message) -> str:
    return f"{message.source}: {message.event.event}"


def facts(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the fields of an event as texts, but for its key; of an entity its name."""
    for name, value in list(data.items())[:MAX_FACTS]:
        if value is not None and name != "state_key":
            yield name, cut(_shown(value), MAX_VALUE)


def summary(message: Message, most: int) -> str:
    """Return the event in one line of at most so many characters."""
    shown = ", ".join(f"{name}={value}" for name, value in facts(message.event.data))
    line = f"{title(message)}: {shown}" if shown else title(message)
    return cut(" ".join(line.split()), most)


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


def time_of(event: Event) -> str:
    """Return an event's time in RFC 3339."""
    return datetime.fromtimestamp(event.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def has_ended(event: Event) -> bool:
    """Return whether the event is the end of a state: it closes the alert of its ``group_key``."""
    return _key_of(event) is not None and event.data.get("state") == "resolved"


def group_key(event: Event) -> str:
    """Return a key that is the same for an event and its end; an event that has none is about itself alone."""
    return _key_of(event) or f"event-hooks-{blake2b(event.id.encode(), digest_size=16).hexdigest()}"


def _key_of(event: Event) -> str | None:
    """Return the ``state_key``; an event of somebody's own may have any value there, and an alias is part of a path."""
    key = event.data.get("state_key")
    return key if isinstance(key, str) and _KEY.fullmatch(key) else None


def severity(event: Event) -> str:
    """Return one of ``critical``, ``error``, ``warning``."""
    if event.source == "gateway":
        return "critical"
    return "error" if event.source in {"balancer", "upstream", "event-hooks"} else "warning"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        found = next((value[name] for name in _NAMES if isinstance(value.get(name), str)), None)
        if found is not None:
            return str(found)
    return msgspec.json.encode(value).decode()
