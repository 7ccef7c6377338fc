"""The small things a store keeps: who delivers, hook definitions, endpoints' health."""

from collections.abc import Sequence

from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth
from kong_eventhooks_plugin.queue.holders import exited
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.rows import encode
from kong_eventhooks_plugin.queue.sqlite.statements import SQL

MAX_LEASE_SECONDS = 120.0
"""Seconds: a lease that seems to end later was written before the clock was set back."""

_LEADER = SQL["leader"]
_TAKE_LEADERSHIP = SQL["take_leadership"]
_GIVE_LEADERSHIP = SQL["give_leadership"]
_WRITE_DEFINITION = SQL["write_definition"]
_FORGET_DEFINITION = SQL["forget_definition"]
_WRITE_ENDPOINT = SQL["write_endpoint"]


def leader(books: Counters) -> str | None:
    """Return who delivers now, None where nobody does or where that process has gone."""
    row = books.connection.execute(_LEADER).fetchone()
    if row is None or not books.now < row[1] <= books.now + MAX_LEASE_SECONDS or exited(row[0]):
        return None
    return str(row[0])


def lead(books: Counters, holder: str, ttl: float) -> bool:
    """Take or renew leadership."""
    if leader(books) not in {None, holder}:
        return False
    books.connection.execute(_TAKE_LEADERSHIP, (holder, books.now + ttl))
    return True


def resign(books: Counters, holder: str) -> None:
    """Give leadership back, if it is the holder's."""
    books.connection.execute(_GIVE_LEADERSHIP, (holder,))


def store_definitions(books: Counters, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
    """Forget the removed ids, write the hooks."""
    books.connection.executemany(_FORGET_DEFINITION, [(hook_id,) for hook_id in removed])
    books.connection.executemany(_WRITE_DEFINITION, [(hook.id, encode(hook)) for hook in hooks])


def remember_endpoint(books: Counters, health: EndpointHealth) -> None:
    """Write what is remembered of one endpoint."""
    values = (health.hook_id, health.failing_since, health.disabled, health.disabled_at)
    books.connection.execute(_WRITE_ENDPOINT, values)
