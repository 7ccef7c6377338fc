"""Sending an answer, as a part of its call: one whose reader does not take it in the call's time is cut off.

aiohttp would send it after the call had ended, and wait for the reader for ever, with the whole of it in memory.
"""

import asyncio

from aiohttp import web


async def send(answer: web.StreamResponse, request: web.Request) -> None:
    """Send the whole of an answer; cancelled, cut the connection. Raises ``ConnectionError`` where the reader left."""
    try:
        await answer.prepare(request)
        await answer.write_eof()
    except asyncio.CancelledError:
        cut(request)
        raise


def cut(request: web.Request) -> None:
    """End the connection at once, with what waits to be sent on it."""
    if request.transport is not None:
        request.transport.abort()
