import pytest

from kong_eventhooks_plugin.sources.certificates.decision import crossed, identity, newly_crossed
from kong_eventhooks_plugin.sources.certificates.model import Certificate, Kind

DAY = 86_400.0
DAYS = (30, 7, 1)


def certificate(not_after: float, fingerprint: str = "ab", kind: Kind = "certificates") -> Certificate:
    return Certificate("id", kind, "cert", 0, (), "CN=a", "CN=b", "1", fingerprint, not_after)


@pytest.mark.parametrize(
    ("days_left", "threshold"),
    [(31, None), (30.01, None), (30, 30), (8, 30), (7, 7), (1.5, 7), (1, 1), (0.1, 1), (0, 0), (-400, 0)],
)
def test_the_smallest_threshold_that_is_crossed(days_left: float, threshold: int | None) -> None:
    assert crossed(1000 + days_left * DAY, 1000, DAYS) == threshold


def test_each_threshold_is_one_event_as_days_go_by() -> None:
    told: dict[str, int] = {}
    heard = []
    for day in range(40):
        threshold = newly_crossed(certificate(35 * DAY), told, DAYS, day * DAY)
        if threshold is not None:
            told[identity(certificate(35 * DAY))] = threshold
            heard.append((day, threshold))
    assert heard == [(5, 30), (28, 7), (34, 1), (35, 0)]


def test_a_late_first_poll_is_an_event_for_the_last_one_alone() -> None:
    assert newly_crossed(certificate(0.5 * DAY), {}, DAYS, 0) == 1


def test_without_thresholds_its_expiry_is_an_event() -> None:
    assert newly_crossed(certificate(0.5 * DAY), {}, (), 0) is None
    assert newly_crossed(certificate(-1), {}, (), 0) == 0


def test_a_renewed_one_and_a_ca_of_the_same_content_are_others() -> None:
    told = {identity(certificate(DAY)): 1}
    assert newly_crossed(certificate(DAY), told, DAYS, 0) is None
    assert newly_crossed(certificate(DAY, fingerprint="cd"), told, DAYS, 0) == 1
    assert newly_crossed(certificate(DAY, kind="ca_certificates"), told, DAYS, 0) == 1
