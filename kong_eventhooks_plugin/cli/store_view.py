"""What the command line shows of a store: deliveries, attempts and hooks, read without touching the sidecar.

Secrets are masked: a literal shows as ``***``, a reference as it was written.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kong_eventhooks_plugin.cli.printing import pretty, printable, when
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.hooks.masking import masked
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery, State
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import hook_id
from kong_eventhooks_plugin.queue.contract import DeliveryFilter, DeliveryPage, EndpointHealth, Queue, Stats
from kong_eventhooks_plugin.queue.sqlite.engine import DATABASE, SqliteQueue

T = TypeVar("T")

BODY_SHOWN = 200
"""Characters of an endpoint's answer in the table; ``--output json`` has all that was kept."""


def deliveries(
    data_dir: Path, hook: str | None, state: State | None, size: int, offset: str | None, *, as_json: bool
) -> str:
    """Return a page of deliveries. ``hook`` is a name or an id."""

    async def ask(queue: Queue) -> tuple[DeliveryPage, list[Hook]]:
        definitions = await queue.definitions()
        wanted = None if hook is None else _hook_id(hook, definitions)
        return await queue.page(DeliveryFilter(hook_id=wanted, state=state), size, offset), definitions

    page, definitions = _read(data_dir, ask)
    names = {one.id: one.name for one in definitions}
    if as_json:
        return pretty({"data": [_delivery_data(one, names) for one in page.deliveries], "offset": page.next_offset})
    rows = [
        (when(one.created_at), one.state, str(one.attempts), names.get(one.hook_id, one.hook_id),
         f"{one.source}/{one.event.event}", _next(one), one.id)
        for one in page.deliveries
    ]  # fmt: skip
    more = f"\nmore: --offset {page.next_offset}" if page.next_offset else ""
    return _table(("CREATED", "STATE", "TRIES", "HOOK", "EVENT", "NEXT", "ID"), rows, "no delivery") + more


def delivery(data_dir: Path, delivery_id: str, *, as_json: bool) -> str:
    """Return one delivery with its event and attempts; raises ``UnknownDelivery``."""

    async def ask(queue: Queue) -> tuple[Delivery, list[Attempt], list[Hook]]:
        return await queue.get(delivery_id), await queue.attempts(delivery_id), await queue.definitions()

    found, attempts, definitions = _read(data_dir, ask)
    data = _delivery_data(found, {one.id: one.name for one in definitions})
    if as_json:
        return pretty(data | {"event_data": found.event.data, "tries": [_attempt_data(one) for one in attempts]})
    head = "\n".join(f"{key:<11} {'-' if value is None else value}" for key, value in data.items())
    rows = [
        (str(one.number), when(one.started_at), f"{one.seconds * 1000:.0f} ms", one.outcome, str(one.status or "-"),
         one.error or "-", one.detail or one.body[:BODY_SHOWN].decode(errors="replace"))
        for one in attempts
    ]  # fmt: skip
    table = _table(("TRY", "AT", "TOOK", "OUTCOME", "STATUS", "ERROR", "DETAIL"), rows, "no attempt yet")
    return printable(f"{head}\n\n{pretty(found.event.data)}\n\n{table}")


def hooks(data_dir: Path, *, as_json: bool) -> str:
    """Return the stored hooks, each with its place."""

    async def ask(queue: Queue) -> tuple[list[Hook], Stats, list[EndpointHealth]]:
        return await queue.definitions(), await queue.stats(), await queue.endpoints()

    found, stats, endpoints = _read(data_dir, ask)
    off = {one.hook_id: one.disabled for one in endpoints if one.disabled is not None}
    found.sort(key=lambda one: one.name)
    if as_json:
        return pretty(
            [
                msgspec.to_builtins(masked(one))
                | {"waiting": stats.per_hook.get(one.id, 0), "switched_off": off.get(one.id)}
                for one in found
            ]
        )
    rows = [
        (one.name, f"{one.source}/{one.event or '*'}", one.handler, _state(one, off),
         str(stats.per_hook.get(one.id, 0)), one.origin.place, one.origin.path)
        for one in found
    ]  # fmt: skip
    return _table(("NAME", "HEARS", "HANDLER", "STATE", "WAITING", "PLACE", "DECLARED IN"), rows, "no hook")


def _state(hook: Hook, off: Mapping[str, str]) -> str:
    """``off`` is why hooks were switched off for their endpoints, by id; ``hooks test`` switches one on again."""
    if not hook.enabled:
        return "off"
    return f"off: endpoint {off[hook.id]}" if hook.id in off else "on"


def _read(data_dir: Path, ask: Callable[[Queue], Awaitable[T]]) -> T:
    path = data_dir / DATABASE
    with suppress(PermissionError):  # the queue has the words for it
        if not path.exists():
            raise SettingsError(f"{path}: there is no such file; name the sidecar's data directory with --data-dir")

    async def run() -> T:
        queue = SqliteQueue(path, read_only=True)
        await queue.open()
        try:
            return await ask(queue)
        finally:
            await queue.close()

    return asyncio.run(run())


def _hook_id(text: str, definitions: Sequence[Hook]) -> str:
    known = {one.id for one in definitions}
    return text if text in known else hook_id(text)


def _delivery_data(one: Delivery, names: dict[str, str]) -> dict[str, Any]:
    return {
        "id": one.id, "state": one.state, "reason": one.reason, "hook": names.get(one.hook_id, one.hook_id),
        "source": one.source, "event": one.event.event, "attempts": one.attempts, "created_at": when(one.created_at),
        "due_at": when(one.due_at) if one.state == "pending" else None,
        "settled_at": when(one.settled_at) if one.settled_at else None,
    }  # fmt: skip


def _attempt_data(one: Attempt) -> dict[str, Any]:
    return msgspec.structs.asdict(one) | {"body": one.body.decode(errors="replace")}


def _next(one: Delivery) -> str:
    if one.state == "dead":
        return one.reason or "-"
    return f"in {max(0.0, one.due_at - time.time()):.0f} s" if one.state == "pending" else "-"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> str:
    if not rows:
        return nothing
    rows = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in (head, *rows))  # fmt: skip


def _printable(cell: str) -> str:
    """Return a cell without line ends and escape sequences: endpoints' answers are printed on terminals."""
    return "".join(letter if letter.isprintable() else " " for letter in cell)
