"""Instance ids: from a random number, never given twice, never another's."""

from kong_eventhooks_plugin.kong.plugin_server.instances import ID_BITS, PluginInstances


def test_ids_count_from_a_random_base() -> None:
    firsts = {PluginInstances(lambda: 0.0).start("a")[0].id for _ in range(50)}
    assert len(firsts) > 45
    assert all(0 < first < 2**31 for first in firsts)
    instances = PluginInstances(lambda: 5.0)
    first, second = instances.start("a")[0], instances.start("b")[0]
    assert second.id in (first.id + 1, 1)
    assert (first.plugin, first.started_at) == ("a", 5.0)


def test_ids_wrap_within_31_bits_and_pass_over_0_and_the_living() -> None:
    top = (1 << ID_BITS) - 1
    instances = PluginInstances(lambda: 0.0, base=top - 1)
    ids = [instances.start("a")[0].id for _ in range(3)]
    assert ids == [top, 1, 2]
    again = PluginInstances(lambda: 0.0, base=0)
    kept = again.start("a")[0]
    again._last = top
    assert again.start("b")[0].id == kept.id + 1


def test_a_closed_id_is_unknown_and_does_not_come_back() -> None:
    instances = PluginInstances(lambda: 0.0)
    first = instances.start("a")[0]
    assert instances.get(first.id) is first
    assert first.alive
    assert instances.close(first.id) is first
    assert not first.alive
    assert instances.get(first.id) is None
    assert instances.close(first.id) is None
    assert instances.start("a")[0].id != first.id
    assert len(instances) == 1


def test_past_the_limit_the_oldest_unused_goes() -> None:
    instances = PluginInstances(lambda: 0.0, limit=3)
    a, b, c = (instances.start(name)[0] for name in "abc")
    instances.get(a.id)
    d, gone = instances.start("d")
    assert gone is b
    assert not b.alive
    assert {instance.id for instance in (a, c, d)} == {a.id, c.id, d.id}
    assert len(instances) == 3
    for instance in (a, c, d):
        instance.used = True
    _, gone = instances.start("e")
    assert gone in (a, c, d)  # all in use: one must go all the same
    assert len(instances) == 3
