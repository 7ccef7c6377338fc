"""Heads of HTTP messages that mean nothing but what their lines say: for lanes that do without a parser of their own.

aiohttp's parser reads a head, so what is plain is its opinion. Whoever calls bounds the head, and keeps the result.
"""

from typing import Final, TypeVar

from aiohttp import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpParser, RawRequestMessage, RawResponseMessage

Message = TypeVar("Message", RawRequestMessage, RawResponseMessage)

HEAD_END: Final = b"\r\n\r\n"


def plain_message(parser: HttpParser[Message], head: bytes) -> Message | None:
    """Return the message of a head without its end, read by a new ``parser``, None unless it is plain.

    That is one of HTTP/1.1, on a connection that stays open as it is, without chunks.
    """
    try:
        messages, upgraded, rest = parser.feed_data(head + HEAD_END)
    except HttpProcessingError:
        return None
    if len(messages) != 1 or upgraded or rest:
        return None
    message = messages[0][0]
    changes = message.should_close or message.upgrade or message.chunked
    return None if changes or message.version != HttpVersion11 else message
