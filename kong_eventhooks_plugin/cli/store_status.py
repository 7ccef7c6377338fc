"""What ``store status`` shows of a store that nodes share: nodes, hooks with who delivers them, what waits.

A node whose heartbeat is older than ``SILENT`` seconds is shown as ``silent``, and owns nothing.
"""

from collections import Counter
from typing import Any, Final

from msgspec.structs import replace

from kong_eventhooks_plugin.api.durations import span
from kong_eventhooks_plugin.cli.printing import printable, table, when
from kong_eventhooks_plugin.delivery.membership import GONE
from kong_eventhooks_plugin.delivery.rendezvous import Distribution
from kong_eventhooks_plugin.queue.nodes import NOTHING_SPOOLED, Node
from kong_eventhooks_plugin.queue.postgresql.status import StoreStatus

SILENT: Final = GONE


def as_data(status: StoreStatus) -> dict[str, Any]:
    """Return it as ``--output json`` prints it."""
    stats = status.stats
    hooks = _hooks(status)
    owned = Counter(hook["owner_process"] for hook in hooks)
    return {
        "store": {
            "name": status.name,
            "schema": status.schema,
            "bytes": status.bytes,
            "deliveries": dict(stats.depth),
            "unsettled_bytes": stats.unsettled_bytes,
            "oldest_seconds": _age(status, stats.oldest_pending),
        },
        "nodes": [_node(status, node, owned[node.process]) for node in status.nodes],
        "hooks": hooks,
    }


def as_text(status: StoreStatus) -> str:
    data = as_data(status)
    store = data["store"]
    nodes = [
        (node["name"], node["id"], node["kong"] or "-", node["version"], node["state"], _seconds(node["seen_seconds"]),
         str(node["spooled"]), _seconds(node["spooled_seconds"]), str(node["owns"]))
        for node in data["nodes"]
    ]  # fmt: skip
    hooks = [
        (hook["name"] or hook["id"], hook["owner"] or "-", str(hook["waiting"]), _seconds(hook["lag_seconds"]),
         hook["disabled"] or "")
        for hook in data["hooks"]
    ]  # fmt: skip
    heads = ("NODE", "ID", "KONG", "VERSION", "STATE", "SEEN", "SPOOLED", "OLDEST", "HOOKS")
    depth = ", ".join(f"{count:,} {state}" for state, count in store["deliveries"].items())
    lines = [
        f"{store['name']}, schema {store['schema']}, {store['bytes'] / (1 << 20):,.1f} MiB, at {when(status.at)}",
        f"deliveries: {depth}; the oldest unsettled one is from {_seconds(store['oldest_seconds'])} ago"
        if store["oldest_seconds"] is not None
        else f"deliveries: {depth}",
        "",
        table(heads, nodes, "no node", shrink=("KONG", "ID", "NODE"), drop=("KONG", "ID")),
        "",
        table(("HOOK", "DELIVERED BY", "WAITING", "LAG", "DISABLED"), hooks, "no hook", ("DELIVERED BY", "HOOK")),
    ]
    return printable("\n".join(lines))


def _node(status: StoreStatus, node: Node, owned: int) -> dict[str, Any]:
    spooled = status.spools.get(node.process, NOTHING_SPOOLED)
    return {
        "id": node.id,
        "name": node.name,
        "process": node.process,
        "kong": node.kong,
        "version": node.version,
        "state": "silent" if _is_silent(status, node) else node.state,
        "started_at": node.started_at,
        "seen_at": node.seen_at,
        "seen_seconds": _age(status, node.seen_at),
        "spooled": spooled.offers,
        "spooled_bytes": spooled.bytes,
        "spooled_seconds": _age(status, spooled.oldest),
        "declares": len(node.hooks),
        "owns": owned,
    }


def _hooks(status: StoreStatus) -> list[dict[str, Any]]:
    """Return every hook that is declared, made by the API or has deliveries that wait."""
    made = {hook.id: hook for hook in status.made}
    declared = {hook_id for node in status.nodes for hook_id in node.hooks}
    waiting = status.stats.per_hook
    due = {one.hook_id: one.due_at for one in status.work}
    off = {one.hook_id: one.disabled for one in status.endpoints}
    nodes = [replace(node, state="gone") if _is_silent(status, node) else node for node in status.nodes]
    distribution = Distribution(nodes)
    hooks = []
    for hook_id in {*made, *declared, *waiting}:
        owner = distribution.owner(hook_id)
        hooks.append({
            "id": hook_id,
            "name": made[hook_id].given_name if hook_id in made else None,
            "owner": None if owner is None else owner.name,
            "owner_id": None if owner is None else owner.id,
            "owner_process": None if owner is None else owner.process,
            "waiting": waiting.get(hook_id, 0),
            "lag_seconds": _age(status, due.get(hook_id)),
            "disabled": off.get(hook_id),
        })  # fmt: skip
    return sorted(hooks, key=lambda hook: (-hook["waiting"], hook["name"] or hook["id"]))


def _is_silent(status: StoreStatus, node: Node) -> bool:
    return node.state != "gone" and status.at - node.seen_at >= SILENT


def _age(status: StoreStatus, since: float | None) -> float | None:
    return None if since is None else round(max(0.0, status.at - since), 3)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s" if seconds < 100 else span(seconds)
