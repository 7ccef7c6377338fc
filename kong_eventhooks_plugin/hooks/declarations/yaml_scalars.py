"""The value of an unquoted YAML scalar, as Kong reads it.

Kong reads YAML with lyaml, whose rules (lyaml/implicit.lua of 6.2.8) are neither those of YAML 1.1 nor of 1.2:
``12:30`` is 750, ``1e3`` a number, ``0o17`` and ``y`` are texts. decK uses Go's yaml.v2, which differs in some
(``differs_in_deck``). Lua has one kind of number, so ``1.0`` is 1.
"""

import math
import re
from collections.abc import Callable
from typing import Any, Final

_CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{each: value for word, value in (("true", True), ("yes", True), ("on", True), ("false", False), ("no", False),
                                       ("off", False))
       for each in (word, word.capitalize(), word.upper())},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{f"{sign}{word}": value for sign, value in (("", math.inf), ("+", math.inf), ("-", -math.inf))
       for word in (".inf", ".Inf", ".INF")},
}  # fmt: skip


def _base(base: int) -> Callable[[str], int]:
    return lambda digits: int(digits, base)


def _sixties(text: str) -> float:
    whole, dot, fraction = text.partition(".")
    value = 0
    for digits in re.findall("[0-9]+", whole):
        value = value * 60 + int(digits)
    return value + float(f"0.{fraction}") if dot else value


def _float(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


_NUMBERS: Final[tuple[tuple[re.Pattern[str], Callable[[str], float]], ...]] = (
    (re.compile("([+-]?)0([0-7]+)"), _base(8)),
    (re.compile("([+-]?)([0-9]+)"), int),
    (re.compile(r"([+-]?)((?=[^eE.]*[eE.])(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"), _float),
    (re.compile("([+-]?)0x([0-9a-fA-F]+)"), _base(16)),
    (re.compile("([+-]?)0b([01]{2,})"), _base(2)),
    (re.compile(r"([+-]?)([0-9]+:[0-5]?[0-9][:0-9]*(?:\.[0-9]+)?)"), _sixties),
)
"""Each kind with the function from its digits to a value, in lyaml's order. Underscores are removed before."""

_MAY_BE_A_NUMBER: Final = re.compile(r"[+-]?[0-9._][0-9a-fA-FxbE._:+-]*")
_MAX_DIGITS: Final = 400
"""More than any 64-bit number or double has: a longer scalar stays a text, so that no conversion takes long."""

_DECK_DIFFERS: Final = (
    (re.compile("[yYnN]"), "true or false"),
    (re.compile("[+-]?0o[0-7_]+|[+-]?0b[01]"), "a number"),
    (re.compile(r"[+-]?[0-9]+:[0-5]?[0-9][:0-9]*(?:\.[0-9]+)?"), "a text"),
)


def value_of(text: str) -> Any:
    """Return the value of an unquoted scalar: None, a boolean, a number or the text itself."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _MAX_DIGITS or not _MAY_BE_A_NUMBER.fullmatch(text):
        return text
    digits = text.replace("_", "")
    for pattern, convert in _NUMBERS:
        found = pattern.fullmatch(digits)
        if found:
            return -convert(found[2]) if found[1] == "-" else convert(found[2])
    return text


def differs_in_deck(text: str) -> str | None:
    """Return what decK reads in an unquoted scalar that Kong reads differently; None where they agree."""
    return next((what for pattern, what in _DECK_DIFFERS if pattern.fullmatch(text)), None)
