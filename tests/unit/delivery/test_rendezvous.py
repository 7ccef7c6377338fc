"""Each hook has one node, and moves only where it must."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.delivery.rendezvous import owner
from kong_eventhooks_plugin.queue.nodes import Node

HOOKS = [f"hook-{number}" for number in range(300)]


def node(identity: str, process: str = "p", started_at: float = 0.0) -> Node:
    return Node(process, identity, "host", "1", started_at=started_at)


def owners(nodes: list[Node]) -> dict[str, str]:
    return {hook: found.id for hook in HOOKS if (found := owner(hook, nodes)) is not None}


@given(st.sets(st.text(max_size=40), min_size=2, max_size=12), st.data())
def test_a_node_that_goes_moves_only_its_own_hooks(ids: set[str], data: st.DataObject) -> None:
    nodes = [node(identity) for identity in sorted(ids)]
    goes = data.draw(st.sampled_from(nodes))
    before, after = owners(nodes), owners([each for each in nodes if each is not goes])
    assert set(after) == set(HOOKS)
    assert {hook for hook in HOOKS if before[hook] != after[hook]} == {
        hook for hook in HOOKS if before[hook] == goes.id
    }


@given(st.permutations([node(identity) for identity in ("a", "b", "c", "d")]))
def test_the_order_of_the_rows_is_nothing(nodes: list[Node]) -> None:
    assert owners(nodes) == owners(sorted(nodes, key=lambda each: each.id))


def test_hooks_are_spread() -> None:
    counts = Counter(owners([node(identity) for identity in ("a", "b", "c")]).values())
    assert min(counts.values()) > len(HOOKS) / 5


def test_of_two_processes_of_a_node_the_newer_delivers() -> None:
    old, new = node("a", "old", 1.0), node("a", "new", 2.0)
    assert owner("hook", [new, old]) is new
    assert owner("hook", []) is None
