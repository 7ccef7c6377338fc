import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.sources.certificates.event import expiring_event
from kong_eventhooks_plugin.sources.certificates.model import Certificate

DAY = 86_400
CERTIFICATE = Certificate("c1", "certificates", "cert", 0, ("a.example",), "CN=a", "CN=b", "1f", "ab12", 100.0 * DAY)


def test_its_fields() -> None:
    event = expiring_event(CERTIFICATE, 7, 93.5 * DAY)
    assert (event.source, event.event, event.time) == ("certificate", "expiring", 93.5 * DAY)
    assert event.data == {
        "certificate_id": "c1", "kind": "certificates", "field": "cert", "position": 0, "snis": ["a.example"],
        "subject": "CN=a", "issuer": "CN=b", "serial": "1f", "fingerprint": "ab12", "not_after": 100 * DAY,
        "days_left": 6, "threshold": 7,
    }  # fmt: skip


@pytest.mark.parametrize(("at", "days"), [(99.5, 0), (100, 0), (100.1, -1), (102.5, -3)])
def test_days_left_are_whole_ones_and_negative_after_the_end(at: float, days: int) -> None:
    assert expiring_event(CERTIFICATE, 0, at * DAY).data["days_left"] == days


def test_ids_distinguish_them_and_sort_by_when_it_was_seen() -> None:
    first = expiring_event(CERTIFICATE, 7, 93 * DAY)
    assert expiring_event(CERTIFICATE, 7, 93 * DAY).id == first.id
    assert expiring_event(CERTIFICATE, 1, 93 * DAY).id != first.id
    assert expiring_event(replace(CERTIFICATE, fingerprint="cd"), 7, 93 * DAY).id != first.id
    assert expiring_event(CERTIFICATE, 7, 94 * DAY).id > first.id
