"""A payload that a file has as an object, as Kong holds it: a Lua table, which Kong hands on as JSON.

The sidecar reads in a file what Kong will hand to the plugin, so that a hook sends one thing whoever reads the file
first; ``check`` warns where that is not what is written. A payload that is a JSON text is kept by all. Seen through
Kong 3.9.1 and decK 1.62.1:

- A number has 16 digits: 9007199254740993 is 9007199254740992.
- An empty list is an empty object, since Lua has one kind of empty table; decK then always finds a difference.
- A mapping whose keys are all whole numbers from 1 is a list, with null in the gaps; decK reads texts.
- A mapping with other numbers among its keys has their texts instead.
- decK panics on a list of two or more elements with true, false or null among them.

What Kong cannot hold stays as it is, and validation refuses it: other keys that are no texts, a key that is there as a
number and as a text, a payload that is a list itself. So does what passes the limits of ``json_values``.

No warning, since it does no harm until it happens: decK does not see a change of a list's order (docs/deck.md).
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.hooks.schema import DECLARED_CONFIG
from kong_eventhooks_plugin.hooks.validation.json_values import MAX_DEPTH, MAX_VALUES, Key

Warn = Callable[[str, str], None]
"""Takes a path and a text."""

_ADVICE = "write the payload as JSON text"
_NUMBER = f"{{}} is {{}} for Kong, which keeps 16 digits of a number; {_ADVICE}"
_EMPTY_LIST = f"Kong turns this empty list into an empty object; {_ADVICE}"
_PANIC = f"decK panics on a list like this one, with true, false or null among others; {_ADVICE}"
_PLACES = "Kong reads these numbers as places in a list, decK as texts; put them in quotes, or write a list"


class _PastLimitError(Exception):
    """The payload is nested too deep or has too many values."""


def hook_as_kong_holds(hook: Any, path: str, warn: Warn) -> Any:
    """Return a hook, as a file has it at ``path``, with its payload as Kong holds it."""
    config = hook.get(DECLARED_CONFIG) if isinstance(hook, Mapping) else None
    if not isinstance(config, Mapping):
        return hook
    payload = config.get("payload")
    if not isinstance(payload, Mapping) or (payload and all(_is_whole(key) for key in payload)):
        return hook
    found: list[tuple[str, str]] = []
    try:
        held = _Reading(lambda at, text: found.append((at, text))).held(payload, f"{path}.{DECLARED_CONFIG}.payload", 0)
    except _PastLimitError:
        return hook
    for at, text in found:
        warn(at, text)
    return {**hook, DECLARED_CONFIG: {**config, "payload": held}}


def _is_whole(key: Any) -> bool:
    return isinstance(key, Key) and key.number is not None and math.isfinite(key.number) and key.number % 1 == 0


class _Reading:
    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._left = MAX_VALUES

    def held(self, value: Any, path: str, depth: int) -> Any:
        self._spend(1)
        if depth > MAX_DEPTH:
            raise _PastLimitError
        if isinstance(value, Mapping):
            return self._table(value, path, depth)
        if isinstance(value, list):
            return self._list(value, path, depth)
        return self._number(value, path) if type(value) in (int, float) else value

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _PastLimitError

    def _number(self, value: float, path: str) -> float:
        held = _sixteen_digits(value)
        if held != value and math.isfinite(held):
            self._warn(path, _NUMBER.format(value, held))
        return held

    def _list(self, values: list[Any], path: str, depth: int) -> Any:
        if not values:
            self._warn(path, _EMPTY_LIST)
            return {}
        if len(values) > 1 and any(each is None or isinstance(each, bool) for each in values):
            self._warn(path, _PANIC)
        return [self.held(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(values)]

    def _table(self, values: Mapping[Any, Any], path: str, depth: int) -> Any:
        held = {key: self.held(value, f"{path}.{key}", depth + 1) for key, value in values.items()}
        numbers = [key for key in held if isinstance(key, Key)]
        texts = {str(key): value for key, value in held.items()}
        if any(key.number is None or not math.isfinite(key.number) for key in numbers) or len(texts) < len(held):
            return held
        places = {int(key.number): value for key, value in held.items() if _is_whole(key) and key.number > 0}
        if places and len(places) == len(held) and max(places) < 1 << 31:
            self._warn(path, _PLACES)
            self._spend(max(places) - len(places))
            return [places.get(place) for place in range(1, max(places) + 1)]
        for key in numbers:
            if key.number is not None and _sixteen_digits(key.number) != key.number:
                self._warn(path, _NUMBER.format(f"the key {key.number}", key.text))
        return texts


def _sixteen_digits(value: float) -> float:
    try:
        return json.loads(f"{float(value):.16g}") if math.isfinite(value) else value
    except OverflowError:
        return value
