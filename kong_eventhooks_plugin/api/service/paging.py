"""Lists in pages, as Kong's Admin API has them: ``size`` 1 to 1,000, 100 by default, and an opaque ``offset``.

Kong's errors for both (kong/db/dao/init.lua, kong/db/strategies/postgres/init.lua; the texts are a real one's).
"""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from msgspec.structs import replace

from kong_eventhooks_plugin.errors import BadArgument, QueueError
from kong_eventhooks_plugin.queue.contract import DeliveryPage, EventPage

DEFAULT_SIZE: Final = 100
MAX_SIZE: Final = 1_000
MAX_OFFSET: Final = 1_024
"""Characters."""

P = TypeVar("P", DeliveryPage, EventPage)


async def read_page(read: Callable[[int, str | None], Awaitable[P]], size: float | None, offset: str | None) -> P:
    """Return a page of a store. Raises ``BadArgument``, ``StoreUnavailable``."""
    length, position = page_size(size), None if offset is None else decoded(offset)
    try:
        found = await read(length, position)
    except QueueError as error:
        # An engine raises no more than this for an offset that is not its own.
        if offset is not None and type(error) is QueueError:
            raise bad_offset(offset, "bad offset string") from error
        raise
    return found if found.next_offset is None else replace(found, next_offset=encoded(found.next_offset))


def page_size(size: float | None) -> int:
    """May raise ``BadArgument``."""
    if size is None:
        return DEFAULT_SIZE
    if size != int(size) or not 1 <= size <= MAX_SIZE:
        raise BadArgument(f"size must be an integer between 1 and {MAX_SIZE}", 9, "invalid size")
    return int(size)


def bad_offset(offset: str, why: str) -> BadArgument:
    return BadArgument(f"'{offset[:MAX_OFFSET]}' is not a valid offset: {why}", 7, "invalid offset")


def encoded(position: str) -> str:
    """Return the offset of the page after ``position``, the last entry of a page."""
    text = json.dumps([position], ensure_ascii=True)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decoded(offset: str) -> str:
    """Return the position that an offset stands for; raises ``BadArgument``."""
    if len(offset) > MAX_OFFSET:
        raise bad_offset(offset, "too long")
    try:
        text = base64.b64decode(offset + "=" * (-len(offset) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_offset(offset, "bad base64 encoding") from error
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_offset(offset, "bad json encoding") from error
    if not (isinstance(values, list) and len(values) == 1 and isinstance(values[0], str)):
        raise bad_offset(offset, "bad offset string")
    return values[0]
