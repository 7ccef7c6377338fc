"""Whether a value of a declaration is JSON that can be stored, logged and sent.

YAML can express more than JSON (a value that contains itself, half a surrogate pair, NaN), and a lot in few bytes
through aliases. Limits, each an error where it is passed: 32 levels, 10,000 values a hook (a value that is reached
twice counts twice), whole numbers of 64 bits.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple, NoReturn

from msgspec import Meta

MAX_DEPTH = 32
MAX_VALUES = 10_000
MAX_SEPARATORS = 25_000
"""A text with more (``bounded_json`` says how they are counted) has more values; it is not parsed."""


class JsonError(NamedTuple):
    """``path`` is ``config.payload.list[3]``, empty for the value itself."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class Tagged(NamedTuple):
    """Replaces a YAML value with a tag that is not JSON's (``!!binary``)."""

    tag: str


class Key(NamedTuple):
    """A mapping's key that is no text: as Kong writes it where it is a number, else as the file does."""

    text: str
    number: float | None = None

    def __str__(self) -> str:
        return self.text


class Cleaned(NamedTuple):
    """A value with None in place of what JSON cannot represent, without keys that are no texts; and where these are."""

    value: Any
    errors: list[JsonError]


class PastLimitError(Exception):
    """A value is nested too deep or contains too many values."""

    def __init__(self, error: JsonError) -> None:
        self.error = error
        super().__init__(error.text)


def cleaned(value: Any, path: str = "", limit: int = MAX_VALUES) -> Cleaned:
    """Return a copy that is JSON, and everything that is none; raises ``PastLimitError``."""
    cleaning = _Cleaning(path, limit)
    return Cleaned(cleaning.clean(value, path, 0), cleaning.errors)


def json_error(value: Any, path: str = "") -> JsonError | None:
    """Return the first thing in the value that JSON cannot represent or that passes a limit, None where nothing is."""
    if _is_json(value):
        return None
    try:
        return next(iter(cleaned(value, path).errors), None)
    except PastLimitError as error:
        return error.error


_ALL_TEXT: Final = frozenset({str})
_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1

_SHALLOW: Final = 5  # levels; each doubles what msgspec keeps of the type
LONGEST_SHALLOW: Final = MAX_VALUES
"""Bytes of a text that cannot have more values than are allowed."""


def shallow_json() -> Any:
    """Return a type of nearly all that anybody sends.

    Where msgspec reads a value of it from at most ``LONGEST_SHALLOW`` bytes without an escape, ``json_error`` has no
    error: msgspec checks what it reads anyhow.
    """
    scalar = str | Annotated[int, Meta(ge=_LEAST, le=_MOST)] | float | bool | None
    value: Any = scalar
    for _ in range(_SHALLOW):
        value = scalar | list[value] | dict[str, value]
    return value


def _is_json(value: Any) -> bool:
    """Return whether there is no error, as nearly always: level by level, without the paths, which cost most."""
    level, count = [value], 1
    for _ in range(MAX_DEPTH + 1):
        inside: list[Any] = []
        for each in level:
            kind = type(each)
            if (kind is str and each.isascii() and "\0" not in each) or (kind is int and _LEAST <= each <= _MOST):
                continue
            if kind is dict and _ALL_TEXT.issuperset(map(type, each)):
                inside += each
                inside += each.values()
            elif kind is list:
                inside += each
            elif kind is dict or _scalar_error(each) is not None:
                return False
            if count + len(inside) > MAX_VALUES:
                return False
        if not inside:
            return True
        level, count = inside, count + len(inside)
    return False


class _Cleaning:
    def __init__(self, path: str, limit: int) -> None:
        self.errors: list[JsonError] = []
        self._path = path
        self._limit = limit
        self._count = 0

    def clean(self, value: Any, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise PastLimitError(JsonError(path, f"nested deeper than {MAX_DEPTH} levels"))
        self._count += 1
        if self._count > self._limit:
            raise PastLimitError(JsonError(self._path, f"contains more than {self._limit:,} values"))
        text = _scalar_error(value)
        if text is not None:
            self.errors.append(JsonError(path, text))
            return None
        if isinstance(value, Mapping):
            return self._clean_mapping(value, path, depth)
        if isinstance(value, list):
            return [self.clean(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value)]
        return value

    def _clean_mapping(self, values: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        kept = {}
        for key, each in values.items():
            if self.clean(key if isinstance(key, str | Key) else Key(str(key)), path, depth + 1) is not None:
                kept[key] = self.clean(each, f"{path}.{key}" if path else str(key), depth + 1)
        return kept


def walk(value: Any, path: str = "") -> Iterator[tuple[str, int, Any]]:
    """Yield path, depth and value of everything in it, keys too, itself first; depth first.

    The caller has to stop it: a value may contain itself.
    """
    waiting: list[Iterator[tuple[str, int, Any]]] = [iter([(path, 0, value)])]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        yield entry
        waiting.append(_inside(*entry))


def _inside(path: str, depth: int, value: Any) -> Iterator[tuple[str, int, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield path, depth + 1, key if isinstance(key, str | Key) else Key(str(key))
            yield f"{path}.{key}" if path else str(key), depth + 1, each
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield f"{path}[{index}]", depth + 1, each


def _scalar_error(value: Any) -> str | None:
    check = _SCALARS.get(type(value))
    return check(value) if check else f"a {type(value).__name__} is not allowed here"


def _text_error(value: str) -> str | None:
    if "\0" in value:
        return "may not contain a NUL character"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode text"
    return None


_SCALARS: dict[type, Callable[[Any], str | None]] = {
    str: _text_error,
    int: lambda value: None if _LEAST <= value <= _MOST else "does not fit into a signed 64-bit integer",
    float: lambda value: None if math.isfinite(value) else "is not a finite number",
    Key: lambda value: f"the key {value.text[:100]!r} is not a string; put it in quotes",
    Tagged: lambda value: f"a value with the tag {value.tag} is not allowed here",
    **dict.fromkeys((bool, type(None), dict, list), lambda _: None),
}


def parse_json(data: bytes | str) -> Any:
    """Return the value of strict JSON: no key twice, no NaN; raises ValueError and RecursionError."""
    return json.loads(data, object_pairs_hook=_no_repetition, parse_constant=_no_constant)


def _no_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key '{key[:100]}' is repeated in one object")
        values[key] = value
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
