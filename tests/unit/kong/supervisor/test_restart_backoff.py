from kong_eventhooks_plugin.kong.supervisor.restart_backoff import HEALTHY_SECONDS, PAUSES, RestartBackoff


def test_the_first_restart_is_at_once_and_pauses_grow_to_a_limit() -> None:
    pauses = RestartBackoff()
    seen = [pauses.delay_after(0.0) for _ in range(len(PAUSES) + 3)]
    assert seen[0] == 0.0
    assert seen == sorted(seen)
    assert seen[-3:] == [PAUSES[-1]] * 3
    assert pauses.total == len(PAUSES) + 3


def test_a_worker_that_lived_starts_the_row_anew() -> None:
    pauses = RestartBackoff()
    assert [pauses.delay_after(0.0), pauses.delay_after(0.0)] == [PAUSES[0], PAUSES[1]]
    assert pauses.delay_after(HEALTHY_SECONDS) == 0.0
    assert pauses.delay_after(HEALTHY_SECONDS - 0.1) == PAUSES[1]
