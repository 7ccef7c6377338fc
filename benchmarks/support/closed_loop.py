"""A client that sends the next request when the last one is answered: ``closed_loop.py URL CONNECTIONS SECONDS``.

For where there is no wrk. Prints how many answers came.
"""

import asyncio
import sys
import time
from urllib.parse import urlsplit

import uvloop


async def connection(url: str, until: float) -> int:
    """Send requests over one connection; return how many were answered."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    request = f"GET {address.path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    answered = 0
    while time.monotonic() < until:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
        answered += 1
    writer.close()
    return answered


async def main(url: str, connections: int, seconds: float) -> int:
    """Run all connections; return the answers of all."""
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*[connection(url, until) for _ in range(connections)]))


if __name__ == "__main__":
    print(uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
