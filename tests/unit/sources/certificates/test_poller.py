from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.sources.certificates.poller import CertificatePoller, CertificateSettings
from tests.support.admin_node import AdminNode
from tests.support.certificates import key_pem, pem
from tests.support.pollers import World

DAY = 86_400.0


class Kong(World):
    def __init__(self, node: AdminNode, client: AdminClient) -> None:
        super().__init__()
        self.node = node
        self.client = client

    def watch(self, **pace: Any) -> CertificatePoller:
        return CertificatePoller(self.context(self.client), self.gate, CertificateSettings(**pace))

    def pem(self, name: str, days: float, serial: int = 1) -> str:
        return pem(name, self.time.now + days * DAY, serial)

    def make(self, name: str, days: float, **fields: Any) -> dict[str, Any]:
        return self.node.behind.create(
            "certificates", **{"cert": self.pem(name, days), "key": key_pem(), "snis": [f"{name}.example"], **fields}
        )

    def published(self) -> list[tuple[str, int, int]]:
        """Return what was published since; with a minus before its subject what is resolved."""
        return [
            ("-" * (told["state"] == "resolved") + told["subject"], told["days_left"], told["threshold"])
            for told in self.dispatcher.take()
        ]


@pytest.fixture
async def kong() -> AsyncIterator[Kong]:
    async with AdminNode() as node, AdminClient(AdminSettings(url=node.url)) as client:
        yield Kong(node, client)


async def test_one_that_expires_soon_is_an_event_with_all_that_is_known(kong: Kong) -> None:
    made = kong.make("a", 20.5)
    kong.make("b", 200)
    async with kong.running(kong.watch()):
        await kong.time.pass_(10)
        (told,) = kong.dispatcher.take()
        assert told["certificate_id"] == made["id"]
        assert told["snis"] == ["a.example"]
        assert (told["kind"], told["field"], told["position"]) == ("certificates", "cert", 0)
        assert (told["days_left"], told["threshold"]) == (20, 30)
        assert len(told["fingerprint"]) == 64
    assert "PRIVATE" not in repr(kong.dispatcher.events)
    assert b"PRIVATE" not in b"".join(kong.notes.kept.values())


async def test_each_threshold_once_as_days_go_by_over_restarts(kong: Kong) -> None:
    kong.make("a", 9.5)
    told = []
    for _ in range(14):
        async with kong.running(kong.watch()):
            await kong.time.pass_(10)
        kong.time.advance(DAY - 10)
        told += kong.published()
    assert [(days, threshold) for _, days, threshold in told] == [(9, 30), (6, 7), (0, 1), (-1, 0)]


async def test_it_is_polled_as_often_as_set(kong: Kong) -> None:
    assert CertificateSettings().poll_seconds == DAY
    async with kong.running(kong.watch(poll_seconds=600)):
        await kong.time.pass_(10)
        assert kong.node.requests["GET /certificates"] == 1
        await kong.time.pass_(1800)
        assert kong.node.requests["GET /certificates"] == 4


async def test_a_renewed_one_has_events_anew_and_the_old_one_is_dropped(kong: Kong) -> None:
    made = kong.make("a", 5)
    watch = kong.watch(poll_seconds=60)
    async with kong.running(watch):
        await kong.time.pass_(10)
        assert len(kong.published()) == 1
        kong.node.behind.change("certificates", made["id"], cert=kong.pem("a", 6, serial=2))
        await kong.time.pass_(90)
        assert kong.published() == [("CN=a", 5, 7), ("-CN=a", 4, 7)]
        assert len(kong.notes.kept) == 1
        kong.node.behind.change("certificates", made["id"], cert=kong.pem("a", 300, serial=3))
        await kong.time.pass_(90)
        assert kong.published() == [("-CN=a", 5, 7)]
        assert kong.notes.kept == {}
        await kong.time.pass_(90)
        assert kong.published() == []


async def test_ca_certificates_and_alternatives(kong: Kong) -> None:
    kong.node.behind.create("ca_certificates", cert=kong.pem("ca", 3))
    kong.make("a", 300, cert_alt=kong.pem("alt", 0.5), key_alt=key_pem())
    async with kong.running(kong.watch()):
        await kong.time.pass_(10)
        told = {each["subject"]: (each["kind"], each["field"], each["threshold"]) for each in kong.dispatcher.take()}
    assert told == {"CN=ca": ("ca_certificates", "cert", 7), "CN=alt": ("certificates", "cert_alt", 1)}


async def test_one_that_has_ended(kong: Kong) -> None:
    kong.make("a", -3.5)
    async with kong.running(kong.watch()):
        await kong.time.pass_(10)
        assert kong.published() == [("CN=a", -4, 0)]


async def test_the_same_certificate_in_two_entities_is_one_event(kong: Kong) -> None:
    text = kong.pem("a", 3)
    kong.make("a", 0, cert=text)
    kong.make("b", 0, cert=text)
    async with kong.running(kong.watch()):
        await kong.time.pass_(10)
        assert len(kong.published()) == 1


async def test_what_cannot_be_read_is_counted_and_logged_once_and_a_reference_left_alone(kong: Kong) -> None:
    broken = kong.make("broken", 0, cert="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
    kong.make("kept", 0, cert="{vault://env/cert}")
    kong.make("good", 3)
    watch = kong.watch(poll_seconds=60)
    with capture_logs() as logs:
        async with kong.running(watch):
            await kong.time.pass_(150)
    assert [line["name"] for line in logs if line["event"] == "certificate_unreadable"] == [f"{broken['id']}.cert"]
    assert kong.counts.polls["certificates", "unreadable"] == 3
    assert (watch.state()["unreadable"], watch.state()["references"], watch.state()["certificates"]) == (1, 1, 1)
    assert [subject for subject, _, _ in kong.published()] == ["CN=good"]


async def test_an_unreachable_admin_api_is_retried_and_loses_nothing(kong: Kong) -> None:
    kong.make("a", 3)
    watch = kong.watch(poll_seconds=60)
    async with kong.running(watch):
        await kong.time.pass_(10)
        kong.published()
        kong.node.faults.only, kong.node.faults.status = "/ca_certificates", 500
        await kong.time.pass_(300)
        assert watch.state()["error"]
        assert kong.notes.kept
        kong.node.faults.status = None
        await kong.time.pass_(120)
        assert watch.state()["error"] is None
        assert kong.published() == []


@pytest.mark.parametrize("writes", [0, 1])
async def test_killed_at_any_write_it_is_published_once(kong: Kong, writes: int) -> None:
    kong.make("a", 3)
    kong.notes.die_after = writes
    await kong.dies(kong.watch())
    async with kong.running(kong.watch()):
        await kong.time.pass_(30)
    assert len(kong.published()) == 1


async def test_its_end_has_what_was_known_and_the_same_key(kong: Kong) -> None:
    made = kong.make("a", 3)
    async with kong.running(kong.watch(poll_seconds=60)):
        await kong.time.pass_(10)
        (opened,) = kong.dispatcher.take()
        kong.node.behind.delete("certificates", made["id"])
        await kong.time.pass_(90)
        (resolved,) = kong.dispatcher.take()
    assert resolved == opened | {"event": "resolved", "state": "resolved", "days_left": 2}


@pytest.mark.parametrize("writes", [0, 1])
async def test_killed_at_any_write_its_end_is_published_once(kong: Kong, writes: int) -> None:
    made = kong.make("a", 3)
    async with kong.running(kong.watch()):
        await kong.time.pass_(10)
    assert len(kong.published()) == 1
    kong.node.behind.delete("certificates", made["id"])
    kong.notes.die_after = writes
    await kong.dies(kong.watch())
    for _ in range(2):
        async with kong.running(kong.watch()):
            await kong.time.pass_(30)
    assert [subject for subject, _, _ in kong.published()] == ["-CN=a"]


async def test_one_that_stands_elsewhere_too_or_in_a_poll_that_breaks_off_has_not_ended(kong: Kong) -> None:
    text = kong.pem("a", 3)
    first, second = kong.make("a", 0, cert=text), kong.make("b", 0, cert=text)
    async with kong.running(kong.watch(poll_seconds=60)):
        await kong.time.pass_(10)
        kong.node.behind.delete("certificates", first["id"])
        await kong.time.pass_(90)
        assert len(kong.published()) == 1
        kong.node.faults.only, kong.node.faults.status = "/ca_certificates", 500
        kong.node.behind.delete("certificates", second["id"])
        await kong.time.pass_(90)
        assert kong.published() == []
        kong.node.faults.status = None
        await kong.time.pass_(300)
        assert [subject for subject, _, _ in kong.published()] == ["-CN=a"]


async def test_many_pages(kong: Kong) -> None:
    for number in range(150):
        kong.make(f"n{number}", 300)
    kong.make("last", 3)
    watch = kong.watch()
    async with kong.running(watch):
        await kong.time.pass_(20)
        assert [subject for subject, _, _ in kong.published()] == ["CN=last"]
        assert watch.state()["certificates"] == 151


async def test_thresholds_are_a_setting(kong: Kong) -> None:
    kong.make("a", 50)
    async with kong.running(kong.watch(days=(60,))):
        await kong.time.pass_(10)
        assert [threshold for _, _, threshold in kong.published()] == [60]


async def test_at_a_closed_gate_nothing_is_polled(kong: Kong) -> None:
    kong.leads = False
    async with kong.running(kong.watch()):
        await kong.time.pass_(60)
    assert not kong.node.requests
