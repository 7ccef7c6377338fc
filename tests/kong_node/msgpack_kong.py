"""Kong's side of MsgPack:1, as its 3.9 does it: MessagePack-RPC over unix connections taken from a pool.

What matters of its behaviour, and is kept here:

- every call, each of an event's answers too, takes any idle connection or opens one;
- text is packed as text whatever its bytes are (surrogate escapes stand for those that are no UTF-8);
- numbers are Lua's; nil results are left out of the map;
- an error that holds "no plugin instance" makes it forget all instances of the plugin and call from the start;
- any other error is logged (``errors`` here) and the event is over;
- an idle connection that the server closes leaves the pool unharmed; one that it closes during a call is "no data", an
  error like any other: over this protocol nothing is repeated.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import msgpack

Pdk = Callable[[str, list[Any]], Any]
"""A PDK function by name, with its arguments; what it returns, or a ``PdkError``."""

_STEPS = {
    "kong.client.get_consumer": "plugin.StepConsumer",
    "kong.client.get_credential": "plugin.StepCredential",
    "kong.response.get_headers": "plugin.StepMultiMap",
}


class RpcError(Exception):
    """The server answered with an error, or not at all ("no data")."""


class PdkError(Exception):
    """What a PDK function answers as its error."""


class MsgpackKong:
    """One of Kong's workers."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._msgid = 0
        self.instances: dict[str, int] = {}
        self.asked: list[tuple[str, list[Any]]] = []
        self.errors: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.forget_connections()

    def forget_connections(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def call(self, method: str, *arguments: Any) -> Any:
        """Make one call; return its result, or raise ``RpcError``."""
        self._msgid += 1
        msgid = self._msgid
        reader, writer = await self._connection()
        writer.write(msgpack.packb([0, msgid, method, list(arguments)], unicode_errors="surrogateescape"))
        unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape")
        while True:
            try:
                data = await asyncio.wait_for(reader.read(4096), 60)
            except ConnectionError:
                data = b""
            if not data:
                writer.close()
                raise RpcError("no data")
            unpacker.feed(data)
            for kind, answered, error, result in unpacker:
                assert (kind, answered) == (1, msgid)
                self._idle.append((reader, writer))
                if error is not None:
                    raise RpcError(error)
                return result

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_unix_connection(self._path)

    async def start_instance(self, plugin: str, config: Mapping[str, Any]) -> int:
        status = await self.call("plugin.StartInstance", {"Name": plugin, "Config": json.dumps(config)})
        return int(status["Id"])

    async def run_phase(self, plugin: str, phase: str, pdk: Pdk, config: Mapping[str, Any] | None = None) -> None:
        """Run one phase of one request as Kong does: instance, event, questions."""
        try:
            if plugin not in self.instances:
                self.instances[plugin] = await self.start_instance(plugin, config or {})
            await self.bridge(self.instances[plugin], phase, pdk)
        except RpcError as error:
            if "no plugin instance" in str(error).lower():
                del self.instances[plugin]
                await self.run_phase(plugin, phase, pdk, config)
            else:
                self.errors.append(str(error))

    async def bridge(self, instance_id: int, phase: str, pdk: Pdk) -> None:
        """Call ``HandleEvent`` and answer questions until "ret"."""
        step = await self.call("plugin.HandleEvent", {"InstanceId": instance_id, "EventName": phase})
        event_id = step["EventId"]
        while step["Data"] != "ret":
            name, arguments = step["Data"]["Method"], step["Data"]["Args"]
            self.asked.append((name, arguments))
            method = _STEPS.get(name, "plugin.Step")
            answer: dict[str, Any] = {"EventId": event_id}
            try:
                result = pdk(name, arguments)
            except PdkError as error:
                method, result = "plugin.StepError", str(error)
            if result is not None:
                answer["Data"] = result
            step = await self.call(method, answer)
