"""Our plugin server; for ``durable`` with the real dispatcher and queue. ``serve_ours.py SOCKET CASE DIRECTORY``."""

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import uvloop
from script import PLUGIN

from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost, RequestObserver
from kong_eventhooks_plugin.kong.plugin_server.error_log_lines import LineBuffer
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import plugin_info
from kong_eventhooks_plugin.kong.plugin_server.server import PluginServer
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.telemetry.metrics import Metrics


class Book:
    """One hook on rate-limiting."""

    def __init__(self) -> None:
        origin = Origin("file", "bench", "bench")
        hook = Hook("bench", "bench", "rate-limiting", "webhook", {"url": "http://127.0.0.1:9"}, origin)
        self.all = {hook.id: hook}

    loaded = True

    def hooks(self) -> Mapping[str, Hook]:
        """Return it."""
        return self.all

    def get(self, hook_id: str) -> Hook | None:
        """Return it."""
        return self.all.get(hook_id)

    def on_change(self, heard: Callable[[Any], None]) -> None:
        """Nothing changes."""


class NothingFires:
    """Without (``none``) or with (``status``) a hook, where nothing fires."""

    def __init__(self, case: str) -> None:
        self.log_statuses = frozenset({429} if case == "status" else ())
        self.quiet = None

    def observe(self, seen: LogObservation) -> None:
        """Never called."""
        raise AssertionError("no hook fires")


class NoLifecycle:
    """Keeps no configuration."""

    def instance_started(self, started: object) -> None: ...

    def instance_closed(self, closed: object) -> None: ...


async def durable(directory: Path, metrics: Metrics) -> RequestObserver:
    """Return the real dispatcher over a real SQLite queue."""
    # Imported here: the other cases measure the plugin server alone.
    from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
    from kong_eventhooks_plugin.interpreter import collect_seldom, take_short_turns
    from kong_eventhooks_plugin.queue.contract import QueueLimits
    from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
    from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting

    limits = QueueLimits(deliveries_per_hook=1_000_000)
    queue = SqliteQueue(directory / "bench.db", limits, time.time)
    await queue.open()
    collect_seldom()  # as the worker does
    take_short_turns()
    return Dispatcher(Book(), queue, [RateLimiting()], metrics, time.time)


async def main(path: str, case: str, directory: Path) -> None:
    """Serve for ever."""
    metrics = Metrics()
    requests: RequestObserver = await durable(directory, metrics) if case == "durable" else NothingFires(case)
    host = PluginHost(requests=requests, lifecycle=NoLifecycle(), lines=LineBuffer(metrics.counts))
    infos = {PLUGIN: plugin_info(PLUGIN, path)["Plugins"][0]}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1024)
        await PluginServer(host, metrics, PluginInstances(time.time), infos).serve(listening)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
