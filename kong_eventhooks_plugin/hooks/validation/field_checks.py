"""Checks one value against its field's attributes: Kong's ``Schema.validators``, those that our schema uses.

A validator takes the value and the attribute's argument and returns an error's text or None. Lengths are in bytes, as
Lua counts them.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from kong_eventhooks_plugin.hooks.validation import kong_texts as texts

Validator = Callable[[Any, Any], str | None]


def length(value: Any) -> int:
    """Return the length as Lua counts it: a string's bytes, a list's elements, a map's entries."""
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else len(value)


@cache
def pattern(source: str) -> Callable[[str], re.Match[str] | None]:
    """Return the search for a pattern of the schema, which Lua and Python read alike (``hooks.patterns`` says how)."""
    compiled = re.compile(source[:-1] + r"\Z" if source.endswith("$") else source)
    # To `search` an anchor is one more thing to try at every place of the value.
    return compiled.match if source.startswith("^") else compiled.search


def compile_patterns(field: Any) -> None:
    """Compile every pattern below a field of the schema: hundreds, which would stop the first call that needs them."""
    if isinstance(field, Mapping):
        for name, each in field.items():
            if name in ("pattern", "match") and isinstance(each, str):
                pattern(each)
            compile_patterns(each)
    elif isinstance(field, list):
        for each in field:
            compile_patterns(each)


def _eq(value: Any, wanted: Any) -> str | None:
    return None if value == wanted else texts.EQ.format(json.dumps(wanted))


def _ne(value: Any, other: Any) -> str | None:
    return None if value != other else texts.NE.format(json.dumps(other))


def _one_of(value: Any, options: list[str]) -> str | None:
    return None if value in options else texts.ONE_OF.format(", ".join(options))


def _between(value: float, limits: list[float]) -> str | None:
    low, high = limits
    return None if low <= value <= high else texts.BETWEEN.format(low, high)


def _len_min(value: Any, limit: int) -> str | None:
    return None if length(value) >= limit else texts.LEN_MIN.format(limit)


def _len_max(value: Any, limit: int) -> str | None:
    return None if length(value) <= limit else texts.LEN_MAX.format(limit)


def _match(value: str, source: str) -> str | None:
    return None if pattern(source)(value) else texts.MATCH.format(value)


def _match_none(value: str, rules: list[Mapping[str, str]]) -> str | None:
    return next((rule["err"] for rule in rules if pattern(rule["pattern"])(value)), None)


def _match_all(value: str, rules: list[Mapping[str, str]]) -> str | None:
    return next((rule["err"] for rule in rules if not pattern(rule["pattern"])(value)), None)


IN_KONGS_ORDER: tuple[tuple[str, Validator], ...] = (
    ("eq", _eq),
    ("ne", _ne),
    ("one_of", _one_of),
    ("between", _between),
    ("len_min", _len_min),
    ("len_max", _len_max),
    ("match_none", _match_none),
    ("match", _match),
    ("match_all", _match_all),
)
"""``Schema.validators_order`` of kong/db/schema/init.lua: the first that fails is the one that is reported."""


def field_error(value: Any, field: Mapping[str, Any]) -> str | None:
    """Return the error of a value of the right type; a field's ``err`` replaces every validator's text."""
    for name, validator in IN_KONGS_ORDER:
        if name in field:
            text = validator(value, field[name])
            if text is not None:
                return str(field.get("err", text))
    return None
