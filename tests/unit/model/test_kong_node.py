import pytest

from kong_eventhooks_plugin.model.kong_node import LONGEST, NodeIdentity


@pytest.mark.parametrize("said", [None, 5, "", "a\0b", "a\nb", "\ud800", "x" * (LONGEST + 1)])
def test_what_is_no_word_says_nothing(said: object) -> None:
    """A NUL in it would fail every heartbeat of a node that shares a PostgreSQL."""
    identity = NodeIdentity()
    identity.learn("one", "host.example.com")
    known = identity.node
    identity.learn(said, said)
    assert identity.node == known


def test_what_it_says_is_kept() -> None:
    identity = NodeIdentity()
    identity.learn("x" * LONGEST)
    identity.learn(None, "h\u00f6st")
    assert identity.node.data() == {"id": "x" * LONGEST, "hostname": "h\u00f6st"}
