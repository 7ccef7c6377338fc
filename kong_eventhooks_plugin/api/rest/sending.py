"""Sending an answer as a part of its call: a reader that does not read it in the call's time is disconnected.

aiohttp would send it after the call had ended, and wait for the reader for ever, with all of it in memory.
"""

import asyncio

from aiohttp import web


async def send(answer: web.StreamResponse, request: web.Request) -> None:
    """Send an answer; cancelled, cut the connection. Raises ``ConnectionError``."""
    try:
        await answer.prepare(request)
        await answer.write_eof()
    except asyncio.CancelledError:
        cut(request)
        raise


def cut(request: web.Request) -> None:
    """Close the connection at once; unsent data is dropped."""
    if request.transport is not None:
        request.transport.abort()
