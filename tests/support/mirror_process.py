"""A process that applies what the route saw and is killed: ``python -m tests.support.mirror_process FILE COUNT``.

It prints the identity of each change behind ``apply``, and tells every other one.
"""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from tests.support.mirror_world import RULES, Request, observation


async def main(path: Path, count: int) -> None:
    """Create consumers, one after another."""
    mirror = Mirror(path, lambda: RULES)
    await mirror.open()
    for number in range(count):
        entity = {"id": str(UUID(int=number)), "username": f"c{number}", "tags": None, "custom_id": None}
        seen = observation(Request("POST", "/consumers", entity, number * 10.0, number * 10.0 + 1.0, number + 1))
        (change,) = await mirror.apply(seen)
        if number % 2:
            await mirror.mark_published([change.identity])
        print(number, change.identity, flush=True)
    print("waiting", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
