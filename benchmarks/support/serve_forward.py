"""The yardstick: the least that takes events over HTTP and posts them on, in Python. ``serve_forward.py URL``.

aiohttp as it is, on uvloop: it answers 201 at once, posts with 8 in flight, and keeps, checks, signs and repeats
nothing.
"""

import asyncio
import json
import sys

import aiohttp
import uvloop
from aiohttp import web

IN_FLIGHT = 8


async def main(url: str) -> None:
    """Serve until killed; prints the port."""
    waiting: asyncio.Queue[bytes] = asyncio.Queue()

    async def publish(request: web.Request) -> web.Response:
        event = await request.json()
        waiting.put_nowait(json.dumps({"source": "custom", "event": event["event"], **event["data"]}).encode())
        return web.json_response({"event": event["event"]}, status=201)

    async def deliver(session: aiohttp.ClientSession) -> None:
        while True:
            body = await waiting.get()
            async with session.post(url, data=body, headers={"content-type": "application/json"}) as answer:
                await answer.read()

    app = web.Application()
    app.router.add_post("/events", publish)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as session:
        delivering = [asyncio.create_task(deliver(session)) for _ in range(IN_FLIGHT)]
        print(runner.addresses[0][1], flush=True)
        await asyncio.gather(*delivering)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
