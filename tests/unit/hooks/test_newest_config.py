"""Which configuration of a plugin holds while nginx workers start and close their instances."""

import pytest

from kong_eventhooks_plugin.hooks.declarations.declared import Declared
from kong_eventhooks_plugin.hooks.declarations.instance_config import InstanceConfig
from kong_eventhooks_plugin.hooks.in_force import newest_config as module
from kong_eventhooks_plugin.hooks.in_force.newest_config import LATE_SECONDS, InstanceConfigs
from kong_eventhooks_plugin.model.hook import Hook, Origin


def config(text: str, seq: int | None, plugin_id: str = "p") -> InstanceConfig:
    hook = Hook(
        id=text, name=text, source="rate-limiting", handler="log", config={}, origin=Origin("instance", "p", "")
    )
    return InstanceConfig(plugin_id, seq, Declared(hooks=(hook,)))


def names(declared: Declared | None) -> list[str] | None:
    return None if declared is None else [hook.name for hook in declared.hooks]


def test_the_last_one_started_holds() -> None:
    instances = InstanceConfigs()
    assert names(instances.started(1, config("old", 12), 0.0)) == ["old"]
    assert names(instances.started(2, config("new", 19), 60.0)) == ["new"]


def test_a_worker_that_is_late_does_not_bring_back_the_old_one() -> None:
    instances = InstanceConfigs()
    instances.started(1, config("old", 12), 0.0)
    instances.started(2, config("new", 19), 60.0)
    assert instances.started(3, config("old", 13), 61.0) is None
    assert names(instances.started(4, config("new", 20), 62.0)) == ["new"]


def test_a_restarted_kong_counts_from_the_beginning() -> None:
    instances = InstanceConfigs()
    instances.started(1, config("old", 12), 0.0)
    instances.started(2, config("new", 19), 60.0)
    assert names(instances.started(3, config("newest", 2), 61.0)) == ["newest"]


def test_a_kong_restarted_with_what_it_had_before() -> None:
    instances = InstanceConfigs()
    instances.started(1, config("old", 12), 0.0)
    instances.started(2, config("new", 19), 60.0)
    assert names(instances.started(3, config("old", 2), 60.0 + LATE_SECONDS)) == ["old"]


def test_taken_back_by_a_running_kong() -> None:
    instances = InstanceConfigs()
    instances.started(1, config("old", 12), 0.0)
    instances.started(2, config("new", 19), 60.0)
    assert names(instances.started(3, config("old", 26), 61.0)) == ["old"]


def test_without_a_count_the_last_one_holds() -> None:
    instances = InstanceConfigs()
    instances.started(1, config("old", None), 0.0)
    instances.started(2, config("new", None), 1.0)
    assert names(instances.started(3, config("old", None), 2.0)) == ["old"]


def test_only_the_last_instance_takes_the_hooks_along() -> None:
    instances = InstanceConfigs()
    instances.started(1, config("a", 1), 0.0)
    instances.started(2, config("a", 2), 0.0)
    assert instances.closed(1) is None
    assert instances.closed(1) is None, "twice"
    assert instances.closed(2) == "p"
    assert instances.closed(2) is None
    assert instances.closed(99) is None, "of another life"


def test_a_forgotten_plugin() -> None:
    instances = InstanceConfigs()
    instances.started(1, config("a", 1), 5.0)
    assert instances.started_since("p", 5.0)
    assert not instances.started_since("p", 5.1)
    instances.forget("p")
    assert not instances.started_since("p", 0.0)
    assert instances.closed(1) is None


def test_instances_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_INSTANCES", 3)
    instances = InstanceConfigs()
    for number in range(1, 6):
        instances.started(number, config("a", number), 0.0)
    assert [instances.closed(number) for number in range(1, 6)] == [None, None, None, None, "p"]
