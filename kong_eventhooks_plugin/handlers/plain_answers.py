"""Answers that need no parser of their own: whole in one read, with a head that is plain and mostly was seen before.

Most receivers answer in few ways, and a parser with its stream costs more than all that is read of such an answer. A
head is read by aiohttp's parser, once; anything else than what is plain is left to aiohttp.

Limits: ``HEADS`` heads are kept, of ``LONGEST_HEAD`` bytes each; an answer of over ``LONGEST`` bytes is not looked at.
"""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpResponseParser, RawResponseMessage

from kong_eventhooks_plugin.http_heads import HEAD_END, plain_message
from kong_eventhooks_plugin.http_protocol import PIECE

HEADS: Final = 256
LONGEST_HEAD: Final = 2_048
LONGEST: Final = PIECE

_LENGTH_DIGITS: Final = len(str(LONGEST))
_NO_CONTENT: Final = 204
_FINAL: Final = 200
_NOT_MODIFIED: Final = 304


class PlainHead(NamedTuple):
    """Named as aiohttp's. ``length`` of the body, in bytes."""

    code: int
    raw_headers: tuple[tuple[bytes, bytes], ...]
    length: int


def plain_answer(data: bytes) -> tuple[PlainHead, bytes] | None:
    """Return head and body where ``data`` is one whole answer that is plain, else None."""
    if len(data) > LONGEST:
        return None
    head, end, body = data.partition(HEAD_END)
    if not end or len(head) > LONGEST_HEAD:
        return None
    plain = plain_head(head)
    return None if plain is None or plain.length != len(body) else (plain, body)


@lru_cache(HEADS)
def plain_head(head: bytes) -> PlainHead | None:
    """Return what a head without its end says; None where aiohttp has to decide what follows it.

    Plain is the final head of an answer whose length is known, on a connection that stays open.
    """
    if b"\r" in (lines := head.replace(b"\r\n", b"")) or b"\n" in lines:
        return None  # it may end where the parser is lenient
    loop = asyncio.get_running_loop()
    message = plain_message(HttpResponseParser(BaseProtocol(loop), loop, LONGEST), head)
    length = None if message is None else _length(message)
    return None if message is None or length is None else PlainHead(message.code, message.raw_headers, length)


def _length(message: RawResponseMessage) -> int | None:
    lengths: Sequence[str] = message.headers.getall("content-length", ())
    if message.code == _NO_CONTENT and not lengths:
        return 0
    if message.code < _FINAL or message.code in {_NO_CONTENT, _NOT_MODIFIED} or len(lengths) != 1:
        return None
    return int(lengths[0]) if lengths[0].isdecimal() and len(lengths[0]) <= _LENGTH_DIGITS else None
