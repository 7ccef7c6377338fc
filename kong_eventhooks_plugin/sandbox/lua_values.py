"""JSON values as bytes for LuaJIT's own deserialiser, which returns pure Lua tables, never a Python object. Pure.

The format is LuaJIT's ``string.buffer`` serialisation (its manual has the grammar).

===================  =========================================================================
JSON                 Lua
===================  =========================================================================
object               a table; a field that is null is absent, as in the events that Kong makes
array                a table with the mark ``ARRAY``, so that an empty one stays an array
null in an array     ``ngx.null``: a hole would end the array
number               a number: a double, exact up to 2**53, as in Kong
===================  =========================================================================

Two differences by who reads them. For lambdas null fields are ``ngx.null`` as well; ``prelude.lua`` removes and
remembers them. For templates a whole number beyond 2**53 is an integer of 64 bits, written with all its digits.
"""

import struct
from typing import Any

MAX_DEPTH = 90
"""Levels of nesting; the deserialiser refuses more than 100."""

_NIL, _FALSE, _TRUE, _NULL, _EMPTY = b"\x00", b"\x01", b"\x02", b"\x03", b"\x08"
_HASH, _ARRAY, _STRING = b"\x09", b"\x0e\x00\x0c", 0x20
_EMPTY_ARRAY = b"\x0e\x00\x08"
_pack_number, _pack_int64, _pack_uint64 = (struct.Struct(form).pack for form in ("<cd", "<cq", "<cQ"))


def encode(value: Any, *, for_lambda: bool = False) -> bytes:
    """Return the bytes of a JSON-ready value.

    Raises ``ValueError`` where it is nested too deep, ``OverflowError`` for a whole number that is too large for a
    double, ``TypeError`` for what JSON does not have.
    """
    parts: list[bytes] = []
    _put(value, parts.append, for_lambda, MAX_DEPTH)
    return b"".join(parts)


def _put(value: Any, add: Any, for_lambda: bool, depth: int) -> None:
    kind = type(value)
    if kind is str:
        add(_text(value))
    elif kind is dict:
        _put_object(value, add, for_lambda, depth)
    elif value is None or kind is bool:
        add(_NULL if value is None else _TRUE if value else _FALSE)
    elif kind is int or kind is float:
        add(_number(value) if for_lambda or kind is float else _exact_number(value))
    elif kind is list or kind is tuple:
        _put_array(value, add, for_lambda, depth)
    else:
        raise TypeError(f"JSON has no {kind.__name__}")


def _number(value: float) -> bytes:
    return _pack_number(b"\x07", float(value))


def _exact_number(value: int) -> bytes:
    if abs(value) <= 1 << 53:
        return _number(value)
    if -(1 << 63) <= value < 1 << 63:
        return _pack_int64(b"\x10", value)
    return _pack_uint64(b"\x11", value) if 0 < value < 1 << 64 else _number(value)


def _put_object(fields: dict[str, Any], add: Any, for_lambda: bool, depth: int) -> None:
    if not depth:
        raise ValueError("nested too deep")
    if not for_lambda:
        fields = {name: value for name, value in fields.items() if value is not None}
    if not fields:
        add(_EMPTY)
        return
    add(_HASH + _size(len(fields)))
    for name, value in fields.items():
        add(_text(name))
        _put(value, add, for_lambda, depth - 1)


def _put_array(values: list[Any] | tuple[Any, ...], add: Any, for_lambda: bool, depth: int) -> None:
    if not depth:
        raise ValueError("nested too deep")
    if not values:
        add(_EMPTY_ARRAY)
        return
    add(_ARRAY + _size(len(values) + 1))
    for value in values:
        _put(value, add, for_lambda, depth - 1)


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return _size(_STRING + len(raw)) + raw


def _size(number: int) -> bytes:
    """Return the manual's U124: one, two or five bytes."""
    if number < 0xE0:
        return bytes((number,))
    if number < 0x1FE0:
        number -= 0xE0
        return bytes((0xE0 | number >> 8, number & 0xFF))
    return b"\xff" + number.to_bytes(4, "little")
