"""A Kong worker for tests: makes calls of any kind, in any order, as many at a time as wanted, over links that can
fail.

``KongNode`` builds on the demo's player: what the two do alike is written there. A test says which plugin instances
Kong's configuration has (``configure``), then makes events; instances are started when the first event needs them, as
Kong does.
"""

import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from kong_eventhooks_plugin.cli.demo.player import Played, Player
from kong_eventhooks_plugin.cli.demo.recording import RecordedCall, RecordedFrame, load
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from tests.kong_node.answers import METHOD, asked_and_answered
from tests.kong_node.links import Links

LOG, CRUD = "event-hooks", "event-hooks-crud"
READ = {METHOD: "GET"}
"""What Kong answers of a request that only reads."""


def request_log(status: int = 429, *, request_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return a recorded request's log (one that was refused by rate-limiting, or let through) as a new request's."""
    recorded = next(
        call.pdk["kong.log.serialize"] for call in load() if call.pdk.get("kong.response.get_status") == status
    )
    request = {**recorded["request"], "id": request_id or uuid.uuid4().hex}
    return {**recorded, "request": request, "started_at": int(time.time() * 1000), **changes}


class KongNode(AbstractAsyncContextManager["KongNode"]):
    """One worker. ``error_log`` is what plugins wrote into Kong's error log; ``played`` what became of its calls."""

    def __init__(self, path: str | Path) -> None:
        self.links = Links()
        self.error_log: list[tuple[str, str]] = []
        self._player = Player(path, on_log=lambda *line: self.error_log.append(line), connect=self.links.open)
        self._configured: dict[str, int] = {}

    @property
    def played(self) -> Played:
        return self._player.played

    async def __aexit__(self, *_: object) -> None:
        self._player.close()

    def configure(self, plugin: str, config: Mapping[str, Any] | bytes = b"{}") -> None:
        """Give the plugin a configuration, or a new one; Kong starts an instance at the next event."""
        raw = config if isinstance(config, bytes) else msgspec.json.encode(config)
        start = pb.RpcCall(cmd_start_instance=pb.CmdStartInstance(name=plugin, config=raw))
        number = len(self._configured) + 1
        self._configured[plugin] = number
        frames = [RecordedFrame("kong", start.SerializeToString())]
        self._player.expect(RecordedCall("cmd_start_instance", number, frames, name=plugin))

    async def log(self, status: int = 429, log: Mapping[str, Any] | bytes | None = None, plugin: str = LOG) -> bool:
        """Finish a request: run the plugin's log phase. True where Kong was answered."""
        if log is None:
            log = request_log(status)
        serialized = log if isinstance(log, bytes) else msgspec.json.encode(log)
        answers = {"kong.response.get_status": status, "kong.log.serialize": serialized}
        return await self.run(plugin, "log", answers)

    async def respond(self, answers: Mapping[str, Any] = READ, plugin: str = CRUD) -> bool:
        """Run the plugin's response phase; ``answers`` as ``tests.kong_node.answers.change`` gives them."""
        return await self.run(plugin, "response", answers)

    async def run(self, plugin: str, phase: str, answers: Mapping[str, Any]) -> bool:
        """Run a phase; ``answers`` has what each PDK function gives, a value or an ``answers.Frame``."""
        if plugin not in self._configured:
            self.configure(plugin)
        frames = [RecordedFrame("kong", b""), *asked_and_answered(answers)]
        frames += [RecordedFrame("server", b""), RecordedFrame("server", b"")]
        number = self._configured[plugin]
        return await self._player.make(RecordedCall("cmd_handle_event", number, frames, plugin=plugin, phase=phase))
