"""The stores of a worker: one SQLite file, or a PostgreSQL that nodes share and a spool of this node before it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from kong_eventhooks_plugin import settings_groups as groups
from kong_eventhooks_plugin.errors import MissingExtra, SettingsError
from kong_eventhooks_plugin.queue.contract import Acceptor, Definitions, Queue
from kong_eventhooks_plugin.queue.forwarding.acceptor import SpoolAcceptor
from kong_eventhooks_plugin.queue.forwarding.definitions import CopiedDefinitions
from kong_eventhooks_plugin.queue.nodes import NodeTable
from kong_eventhooks_plugin.queue.polling import SharedPolling
from kong_eventhooks_plugin.queue.sqlite.engine import DATABASE, SqliteQueue
from kong_eventhooks_plugin.settings import Settings


class StoreNews(Protocol):
    """Notifies of what has changed in the store that nodes share: hooks that the API made, changes forwarded to us."""

    listens: bool
    """Whether it is notified itself now, as far as is known."""

    def on_definitions(self, changed: Callable[[], None]) -> None: ...

    def on_forwarded(self, forwarded: Callable[[], None]) -> None: ...


class Stores(NamedTuple):
    """``acceptor`` is offered events, ``queue`` has what they led to.

    ``spool`` and what follows are there where nodes share the queue.
    """

    queue: Queue
    acceptor: Acceptor
    declared: Definitions
    """The hooks that this node declares."""
    made: Definitions
    """The hooks that the API has made."""
    spool: SpoolAcceptor | None = None
    nodes: NodeTable | None = None
    news: StoreNews | None = None
    polling: SharedPolling | None = None


def make_stores(settings: Settings, lost: Callable[[str], None]) -> Stores:
    """``lost`` is called with a reason for each accepted event that the shared store refuses.

    Raises ``SettingsError``.
    """
    data_dir, limits = Path(settings.data_dir), groups.queue_limits(settings)
    try:
        url = groups.store_url(settings)
    except MissingExtra as error:
        raise SettingsError(str(error)) from error
    if url is None:
        queue = SqliteQueue(data_dir / DATABASE, limits)
        return Stores(queue, queue, queue, queue)
    from kong_eventhooks_plugin.queue.postgresql.engine import PostgresQueue  # what it needs is there: the URL was read

    shared = PostgresQueue(url, limits)
    spool = SpoolAcceptor(data_dir, shared, lost, limits)
    shared.nodes.spooled = spool.spool.waiting
    made = CopiedDefinitions(shared, spool.spool)
    return Stores(shared, spool, spool.spool, made, spool, shared.nodes, shared.nodes, shared.polling)
