import gc
import sys

from kong_eventhooks_plugin.interpreter import collect_seldom, take_short_turns


def test_the_collector_leaves_the_calls_of_a_flood_alone() -> None:
    thresholds = gc.get_threshold()
    collections: list[str] = []
    try:
        collect_seldom()
        gc.callbacks.append(lambda phase, _: collections.append(phase))
        waiting = [[number] for number in range(2_000)]  # what a thousand calls hold that wait for a commit
        assert len(waiting) == 2_000
        assert collections == []
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.callbacks.pop()
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def test_a_thread_that_works_lets_the_loop_in_soon() -> None:
    turn = sys.getswitchinterval()
    try:
        take_short_turns()
        assert sys.getswitchinterval() <= 0.001
    finally:
        sys.setswitchinterval(turn)
