"""The value of an unquoted YAML scalar, as Kong reads it.

Kong reads YAML with lyaml, whose rules (lyaml/implicit.lua of 6.2.8) are neither those of YAML 1.1 nor of 1.2:
``12:30`` is 750, ``1e3`` a number, ``0o17`` and ``y`` are texts. decK uses Go's yaml.v2, which differs in some
(``deck_value_of``). Lua has one kind of number, so ``1.0`` is 1; one beyond 2^53 is exact here, and another number in
Kong (``kong_payloads``).
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


_NUMBERS: Final[tuple[tuple[re.Pattern[str], Callable[[str], float]], ...]] = (
    (re.compile("([+-]?)0_*([0-7][0-7_]*)"), _base(8)),
    (re.compile("([+-]?)_*([0-9][0-9_]*)"), int),
    (re.compile("([+-]?)0x_*([0-9a-fA-F][0-9a-fA-F_]*)"), _base(16)),
    (re.compile("([+-]?)0b_*([01][01_]+)"), _base(2)),
    (re.compile(r"([+-]?)([0-9]+:[0-5]?[0-9][:0-9]*(?:\.[0-9]+)?)"), _sixties),
)
"""Each kind with the function from its digits to a value; what the first two match, the first has."""

_FLOATS: Final[tuple[tuple[re.Pattern[str], Callable[[str], float]], ...]] = (
    (re.compile(r"([+-]?)((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"), float),
    (re.compile(r"([+-]?)(0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?)"), float.fromhex),
)
"""What else Lua itself takes for a number. lyaml asks it where a text has a point or an E, without its underscores."""

_HAS_LEFT_OVER: Final = re.compile("[+-]?(?:0_*[0-7][0-7_]*|0b_*[01][01_]*)_")
"""lyaml fails on the last underscore of such a number, and Kong on the whole file."""

_MAY_BE_A_NUMBER: Final = re.compile(r"[+_-]*[0-9.][0-9a-fA-FxXpPbEoO._:+-]*")
_MAX_DIGITS: Final = 400
"""More than any 64-bit number or double has: a longer scalar stays a text, so that no conversion takes long."""
_DECK_BOOLEANS: Final = {"y": True, "Y": True, "n": False, "N": False}
_DECK_INTEGERS: Final = (
    (re.compile("([+-]?)0[xX]([0-9a-fA-F]+)"), _base(16)),
    (re.compile("([+-]?)0[bB]([01]+)"), _base(2)),
    (re.compile("([+-]?)0[oO]?([0-7]+)"), _base(8)),
    (re.compile("([+-]?)(0|[1-9][0-9]*)"), int),
)
_DECK_FLOATS: Final = ((re.compile(r"([+-]?)((?:\.[0-9]+|[0-9]+\.?[0-9]*)(?:[eE][+-]?[0-9]+)?)"), float),)


def value_of(text: str) -> Any:
    """Return the value of an unquoted scalar: None, a boolean, a number or the text itself.

    Raises ValueError where Kong cannot read it.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _MAX_DIGITS or not _MAY_BE_A_NUMBER.fullmatch(text):
        return text
    if _HAS_LEFT_OVER.fullmatch(text):
        raise ValueError("Kong cannot read this number, which ends with an underscore")
    value = _number(text, _NUMBERS)
    if value is None and re.search("[.eE]", text):
        value = _number(text.replace("_", ""), _FLOATS)
    if value is None:
        return text
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53 else value


def _number(text: str, kinds: tuple[tuple[re.Pattern[str], Callable[[str], float]], ...]) -> float | None:
    for pattern, convert in kinds:
        found = pattern.fullmatch(text)
        if found:
            try:
                value = convert(found[2].replace("_", ""))
                float(value)
            except OverflowError:
                value = math.inf
            return -value if found[1] == "-" else value
    return None


def deck_value_of(text: str) -> Any:
    """Return what decK reads, in the same form. A date is a text for both."""
    if text in _DECK_BOOLEANS:
        return _DECK_BOOLEANS[text]
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _MAX_DIGITS or not _MAY_BE_A_NUMBER.fullmatch(text) or text[0] == "_":
        return text
    digits = re.sub("(?<=[0-9])_(?=[0-9])", "", text) if text[0] == "." else text.replace("_", "")
    value = _number(digits, _DECK_INTEGERS)
    if value is None or not -(1 << 63) <= value < (1 << 64):
        value = _number(digits, _DECK_FLOATS)
    return text if value is None or math.isinf(value) else value


def is_the_same(value: Any, other: Any) -> bool:
    """Return whether two scalars are one value for Lua, where 1.0 is 1 and neither is true."""
    if type(value) in (int, float) and type(other) in (int, float):
        return float(value) == float(other) or (math.isnan(value) and math.isnan(other))
    return type(value) is type(other) and bool(value == other)
