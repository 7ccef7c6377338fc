"""What /readyz and the listings say of the nodes that share the store."""

from typing import NamedTuple

from msgspec.structs import replace

from kong_eventhooks_plugin.api.service.nodes import NODES, deliverer, node_shares
from kong_eventhooks_plugin.delivery.rendezvous import Distribution
from kong_eventhooks_plugin.queue.nodes import Node
from tests.support.events import make_hook

MADE, ONLY, AWAITED = make_hook("made"), make_hook("only"), make_hook("awaited")
HOOKS = {hook.id: hook for hook in (MADE, ONLY, AWAITED)}
US = Node("p", "1", "first", "1.0", started_at=1.0, seen_at=9.0)
OTHER = Node("q", "2", "second", "1.0", frozenset({ONLY.id}), started_at=2.0, seen_at=8.0)
GONE = Node("r", "3", "third", "0.9", frozenset({AWAITED.id}), state="gone", started_at=3.0, seen_at=7.0)


class Members(NamedTuple):
    process: str
    distribution: Distribution


def test_each_node_and_what_it_delivers() -> None:
    members = Members("p", Distribution([GONE, OTHER, US]))
    shares = node_shares(members, HOOKS)
    assert [(one.name, one.state, one.ours, one.seen_at) for one in shares] == [
        ("first", "live", True, 9.0), ("second", "live", False, 8.0), ("third", "gone", False, 7.0),
    ]  # fmt: skip
    assert sorted(name for one in shares for name in one.hooks) == ["made", "only"]
    assert "only" in shares[1].hooks
    assert deliverer(members, ONLY.id) == "second"
    assert deliverer(members, AWAITED.id) is None, "the only node that declares it is gone"


def test_a_process_alone_has_none() -> None:
    assert node_shares(None, HOOKS) == ()
    assert deliverer(None, ONLY.id) is None


def test_not_more_than_so_many_are_shown() -> None:
    nodes = [replace(US, process=str(number)) for number in range(NODES + 1)]
    assert len(node_shares(Members("p", Distribution(nodes)), HOOKS)) == NODES
