"""What ``--data-dir`` reads of a store's file: the API's answers, without a sidecar and without disturbing one.

Secrets are masked, as the API masks them for a caller without the admin token.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from kong_eventhooks_plugin.api.rest.answers import builtins
from kong_eventhooks_plugin.api.rest.queries import delivery_filter
from kong_eventhooks_plugin.api.service import paging
from kong_eventhooks_plugin.api.service.deliveries import DeliveryDetail
from kong_eventhooks_plugin.api.service.entity import hook_view
from kong_eventhooks_plugin.api.service.presenter import Presenter
from kong_eventhooks_plugin.errors import RemoteError, SettingsError
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import Queue
from kong_eventhooks_plugin.queue.sqlite.engine import DATABASE, SqliteQueue
from kong_eventhooks_plugin.suggestions import did_you_mean

T = TypeVar("T")

_ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def deliveries(
    data_dir: Path, hook: str | None, query: Mapping[str, str], size: int, offset: str | None = None
) -> dict[str, Any]:
    """Return a page of deliveries, newest first; ``hook`` is a name or an id, ``query`` as in ``GET /deliveries``."""

    async def read(queue: Queue) -> dict[str, Any]:
        definitions = await queue.definitions()
        wanted = None if hook is None else _hook_id(hook, definitions)
        where = delivery_filter(query, wanted)
        page = await paging.read_page(partial(queue.page, where), size, offset)
        present = _presenter(definitions)
        data = [builtins(present.delivery(one)) for one in page.deliveries]
        return {"data": data, "offset": page.next_offset}

    return _read(data_dir, read)


def delivery(data_dir: Path, delivery_id: str) -> dict[str, Any]:
    """Return one delivery with its event's data and attempts; raises ``UnknownDelivery``."""

    async def read(queue: Queue) -> dict[str, Any]:
        detail = DeliveryDetail(await queue.get(delivery_id), tuple(await queue.attempts(delivery_id)))
        shown: dict[str, Any] = builtins(_presenter(await queue.definitions()).delivery_detail(detail))
        return shown

    return _read(data_dir, read)


def hooks(data_dir: Path) -> list[dict[str, Any]]:
    """Return the stored hooks, with how many deliveries wait and why the endpoint switched a hook off."""

    async def read(queue: Queue) -> list[dict[str, Any]]:
        waiting = (await queue.stats()).per_hook
        off = {one.hook_id: f"endpoint_{one.disabled}" for one in await queue.endpoints() if one.disabled is not None}
        return [
            {
                **builtins(hook_view(hook, off.get(hook.id), trusted=False)),
                "waiting": waiting.get(hook.id, 0),
            }
            for hook in await queue.definitions()
        ]

    return _read(data_dir, read)


def _read(data_dir: Path, read: Callable[[Queue], Awaitable[T]]) -> T:
    path = data_dir / DATABASE
    with suppress(PermissionError):  # the queue's message says more
        if not path.exists():
            raise SettingsError(f"{path}: there is no such file; name the sidecar's data directory with --data-dir")

    async def run() -> T:
        queue = SqliteQueue(path, read_only=True)
        await queue.open()
        try:
            return await read(queue)
        finally:
            await queue.close()

    return asyncio.run(run())


def _presenter(definitions: list[Hook]) -> Presenter:
    return Presenter({hook.id: hook.given_name for hook in definitions}.get)


def _hook_id(key: str, definitions: list[Hook]) -> str:
    """Return the id of the hook with that id or name; a hook that is gone is known by its id alone."""
    found = next((hook.id for hook in definitions if key in (hook.id, hook.name)), None)
    if found is None and not _ID.fullmatch(key):
        meant = did_you_mean(key, (hook.name for hook in definitions))
        raise RemoteError(f"there is no hook '{key}'{meant}; 'kong-event-hooks hooks list' lists them")
    return found or key
