"""Kong's side of the socket in a container of its own: the demo's recording, played again and again until SIGTERM.

It runs with the sidecar's image, whose package has the player. The hooks that it hands over are those of the file.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from kong_eventhooks_plugin.cli.demo.player import Player
from kong_eventhooks_plugin.cli.demo.recording import load, renumber

PAUSE_SECONDS = 0.05
UNHEARD_SECONDS = 0.5


async def play(socket_path: str, configs: dict[str, Any]) -> None:
    calls = load()
    while True:
        player = Player(socket_path, configs=configs)
        played = await player.play(renumber(calls, time.time()), pause=PAUSE_SECONDS)
        player.close()
        print(f"played: {played.answered} answered, {len(played.lost)} lost", *played.lost[:1], flush=True)
        if played.lost:
            await asyncio.sleep(UNHEARD_SECONDS)


def configs_of(kong_yml: Path) -> dict[str, Any]:
    return {plugin["name"]: plugin["config"] for plugin in yaml.safe_load(kong_yml.read_text())["plugins"]}


async def main(socket_path: str, configs: dict[str, Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await play(socket_path, configs)
    except asyncio.CancelledError:
        print("stopped", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], configs_of(Path(sys.argv[2]))))
