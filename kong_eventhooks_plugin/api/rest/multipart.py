"""A multipart form's bytes to its fields (RFC 7578), as curl's ``-F``, HTTPie's ``--form`` and browsers write it. Pure.

Not aiohttp's reader, which takes a turn of the loop for each line, counts neither parts without a name nor the bytes
around the parts, and waits for more. A part's file name, type and encoding are ignored; a part without a name is no
field. What is before the first part and behind the last is skipped.

Limits, each a ``BadArgument``: ``MAX_ARGUMENTS`` parts, named or not; ``MAX_HEAD`` bytes of headers a part; no form
inside another. The body's size is its reader's to bound; the work grows linearly with it.
"""

import re
from collections.abc import Iterator
from typing import Final

from kong_eventhooks_plugin.api.rest.form_names import MAX_ARGUMENTS
from kong_eventhooks_plugin.errors import BadArgument

MAX_HEAD: Final = 8_190

_LINE_END: Final = b"\r\n"
_HEAD_END: Final = b"\r\n\r\n"
_BOUNDARY: Final = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;|\Z)', re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"\r\ncontent-disposition:[ \t]*form-data([^\r\n]*)", re.IGNORECASE)
_PARAMETER: Final = re.compile(rb';[ \t]*([^=;"\s]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;"\s]*))')
_NESTED: Final = re.compile(rb"\r\ncontent-type:[ \t]*multipart/", re.IGNORECASE)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ESCAPED: Final = re.compile(rb'\\(["\\])')


def fields(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """Return names and values; ``content_type`` names the boundary. Raises ``BadArgument``."""
    found = []
    for part in _parts(body, content_type):
        head, end, value = part.partition(_HEAD_END)
        if not end or _CONTROL.search(head):
            raise _unreadable()
        if len(head) > MAX_HEAD:
            raise BadArgument(f"a part of the form has more than {MAX_HEAD:,} bytes of headers")
        if _NESTED.search(head):
            raise BadArgument("a multipart form inside another is not accepted")
        name = _name(head)
        if name is not None:
            found.append((_text(name), _text(value)))
    return found


def _parts(body: bytes, content_type: str) -> Iterator[bytes]:
    """Yield what is between the boundaries, each with the line end before its headers."""
    given = _BOUNDARY.search(content_type)
    if given is None:
        raise _unreadable()
    boundary = re.escape((given[1] or given[2]).encode("utf-8", "surrogateescape"))
    text, start = _LINE_END + body, -1
    for count, found in enumerate(re.finditer(rb"\r\n--" + boundary + rb"(--)?[ \t]*(?=\r\n|\Z)", text)):
        if start >= 0:
            yield text[start : found.start()]
        if found[1]:
            return
        if count >= MAX_ARGUMENTS:
            raise BadArgument("Too many arguments")
        start = found.end()
    raise _unreadable()


def _name(head: bytes) -> bytes | None:
    disposition = _DISPOSITION.search(head)
    for parameter in _PARAMETER.finditer(disposition[1]) if disposition else ():
        if parameter[1].lower() == b"name":
            return parameter[3] if parameter[2] is None else _ESCAPED.sub(rb"\1", parameter[2])
    return None


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadArgument("a part of the form is not UTF-8") from error


def _unreadable() -> BadArgument:
    return BadArgument("Cannot parse multipart body")
