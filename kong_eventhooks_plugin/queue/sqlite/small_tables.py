"""The small tables: who delivers, hook definitions, endpoints' health."""

from collections.abc import Sequence

from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth
from kong_eventhooks_plugin.queue.holders import exited
from kong_eventhooks_plugin.queue.limits import LONGEST_LEADERSHIP
from kong_eventhooks_plugin.queue.rows import encode
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.statements import SQL


def leader(counters: Counters) -> str | None:
    """Return who delivers now, None where nobody does or that process has exited."""
    row = counters.cursor.execute(SQL.leader).fetchone()
    if row is None or not counters.now < row[1] <= counters.now + LONGEST_LEADERSHIP or exited(row[0]):
        return None
    return str(row[0])


def lead(counters: Counters, holder: str, ttl: float) -> bool:
    if leader(counters) not in {None, holder}:
        return False
    counters.cursor.execute(SQL.acquire_leadership, (holder, counters.now + ttl))
    return True


def resign(counters: Counters, holder: str) -> None:
    counters.cursor.execute(SQL.release_leadership, (holder,))


def store_definitions(counters: Counters, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
    counters.cursor.executemany(SQL.delete_definition, [(hook_id,) for hook_id in removed])
    counters.cursor.executemany(SQL.write_definition, [(hook.id, encode(hook)) for hook in hooks])


def save_endpoint(counters: Counters, health: EndpointHealth) -> None:
    values = (health.hook_id, health.failing_since, health.disabled, health.disabled_at)
    counters.cursor.execute(SQL.write_endpoint, values)
