"""Null in a JSON document that a template writes: ``null`` where a value is expected, nothing inside a string. Pure.

A template does not know where its tags are, so both dialects write ``MARK`` for null, and ``with_nulls`` replaces it.
"""

import re

MARK = b"\0null\0"
"""No JSON text contains it: a NUL is written as an escape."""

_STRING_OR_MARK = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|' + MARK, re.DOTALL)


def with_nulls(text: bytes) -> bytes:
    if MARK not in text:
        return text
    return _STRING_OR_MARK.sub(lambda found: b"null" if found[0] == MARK else found[0].replace(MARK, b""), text)
