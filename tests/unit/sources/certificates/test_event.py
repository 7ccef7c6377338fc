import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.sources.certificates.catalogue import EXPIRING, RESOLVED
from kong_eventhooks_plugin.sources.certificates.event import certificate_event
from kong_eventhooks_plugin.sources.certificates.model import Certificate
from tests.support.declared import undeclared

DAY = 86_400
CERTIFICATE = Certificate("c1", "certificates", "cert", 0, ("a.example",), "CN=a", "CN=b", "1f", "ab12", 100.0 * DAY)


def test_its_fields() -> None:
    event = certificate_event(EXPIRING, CERTIFICATE, 7, 93.5 * DAY)
    assert (event.source, event.event, event.time) == ("certificate", "expiring", 93.5 * DAY)
    assert event.data == {
        "certificate_id": "c1", "kind": "certificates", "field": "cert", "position": 0, "snis": ["a.example"],
        "subject": "CN=a", "issuer": "CN=b", "serial": "1f", "fingerprint": "ab12", "not_after": 100 * DAY,
        "days_left": 6, "threshold": 7, "state": "open", "state_key": event.data["state_key"],
    }  # fmt: skip
    ended = certificate_event(RESOLVED, CERTIFICATE, 0, 93.5 * DAY)
    assert undeclared(event) == undeclared(ended) == []


@pytest.mark.parametrize(("at", "days"), [(99.5, 0), (100, 0), (100.1, -1), (102.5, -3)])
def test_days_left_are_whole_ones_and_negative_after_the_end(at: float, days: int) -> None:
    assert certificate_event(EXPIRING, CERTIFICATE, 0, at * DAY).data["days_left"] == days


def test_ids_distinguish_them_and_sort_by_when_it_was_seen() -> None:
    first = certificate_event(EXPIRING, CERTIFICATE, 7, 93 * DAY)
    assert certificate_event(EXPIRING, CERTIFICATE, 7, 93 * DAY).id == first.id
    assert certificate_event(EXPIRING, CERTIFICATE, 1, 93 * DAY).id != first.id
    assert certificate_event(EXPIRING, replace(CERTIFICATE, fingerprint="cd"), 7, 93 * DAY).id != first.id
    assert certificate_event(EXPIRING, CERTIFICATE, 7, 94 * DAY).id > first.id
    assert certificate_event(RESOLVED, CERTIFICATE, 7, 93 * DAY).id != first.id


def test_each_of_its_events_has_the_key_of_its_end_and_another_certificate_has_another() -> None:
    opened = [certificate_event(EXPIRING, CERTIFICATE, threshold, 93 * DAY).data for threshold in (7, 1, 0)]
    elsewhere = replace(CERTIFICATE, certificate_id="c2", position=1)
    end = certificate_event(RESOLVED, elsewhere, 0, 101 * DAY).data
    assert {data["state_key"] for data in opened} == {end["state_key"]}
    assert (opened[0]["state"], end["state"]) == ("open", "resolved")
    for other in (replace(CERTIFICATE, fingerprint="cd"), replace(CERTIFICATE, kind="ca_certificates")):
        assert certificate_event(EXPIRING, other, 7, 93 * DAY).data["state_key"] != end["state_key"]
