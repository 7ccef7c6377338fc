"""Warns of values in a payload that is written as an object: Kong and decK do not keep all of JSON.

A warning, never an error: the sidecar itself reads the object as it is written. All of them keep a payload that is
written as JSON text. Each seen with decK 1.62.1 on Kong 3.9.1:

- Kong hands an empty list to the plugin as an empty object, since Lua has one kind of empty table; decK then always
  finds a difference.
- Kong hands over whole numbers beyond 2^53 as others: Lua's numbers are doubles.
- decK panics on a list of two or more elements with true, false or null among them.

No warning, since it does no harm until it happens: decK does not see a change of a list's order (docs/deck.md).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.schema import DECLARED_CONFIG
from kong_eventhooks_plugin.hooks.validation import json_values

_EXACT = 1 << 53
_ADVICE = "write the payload as JSON text"
_EMPTY_LIST = f"Kong turns this empty list into an empty object; {_ADVICE}"
_LARGE = f"Kong turns this number into another, since it keeps 53 bits; {_ADVICE}"
_PANIC = f"decK panics on a list like this one, with true, false or null among others; {_ADVICE}"


def warnings(hook: Any, where: str, path: str) -> Iterator[DeclarationError]:
    """Yield a warning for each value of the payload that Kong or decK changes, the hook as the file has it.

    ``where`` is the file, ``path`` the hook's place in it.
    """
    config = hook.get(DECLARED_CONFIG) if isinstance(hook, Mapping) else None
    payload = config.get("payload") if isinstance(config, Mapping) else None
    if not isinstance(payload, Mapping):
        return
    for at, _, value in json_values.walk(payload, f"{path}.{DECLARED_CONFIG}.payload"):
        text = _text(value)
        if text is not None:
            yield DeclarationError(where=where, path=at, message=text)


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        if not value:
            return _EMPTY_LIST
        return _PANIC if len(value) > 1 and any(each is None or isinstance(each, bool) for each in value) else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT:
        return _LARGE
    return None
