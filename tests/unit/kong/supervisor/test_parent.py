from kong_eventhooks_plugin.kong.supervisor.parent import ParentMonitor


def test_a_parent_is_gone_when_another_one_has_taken_its_place() -> None:
    parents = iter([40, 40, 40, 1])
    watch = ParentMonitor(lambda: next(parents))
    assert watch.pid == 40
    assert [watch.exited(), watch.exited(), watch.exited()] == [False, False, True]


def test_process_one_as_the_parent_from_the_start_is_a_parent_like_any_other() -> None:
    assert not ParentMonitor(lambda: 1).exited()


def test_a_parent_outside_of_our_container_cannot_be_seen_to_go() -> None:
    assert not ParentMonitor(lambda: 0).exited()
