"""Nodes that share a store poll one after the other, and what one has reported the next one does not report again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.queue.polling import TTL
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.sources.balancer.poller import BalancerPoller
from kong_eventhooks_plugin.sources.certificates.poller import CertificatePoller
from kong_eventhooks_plugin.sources.pollers.leader_gate import LeaderGate
from kong_eventhooks_plugin.sources.pollers.poll_leases import PollLeases
from kong_eventhooks_plugin.sources.pollers.poller import Poller
from kong_eventhooks_plugin.sources.pollers.shared_notes import SharedNotes
from tests.support.admin_health import HEALTHY, UNHEALTHY
from tests.support.admin_node import AdminNode
from tests.support.certificates import key_pem, pem
from tests.support.pollers import Killed, MemoryNotes, World
from tests.support.store_backup import StoreBackup
from tests.unit.sources.balancer.test_poller import CHECKED

Kind = type[BalancerPoller] | type[CertificatePoller]

UP, DOWN = "10.0.0.1", "10.0.0.2"


class DyingNotes(SharedNotes):
    """Its process is killed after so many writes (``die_after``)."""

    die_after: int | None = None

    async def put(self, name: str, value: bytes) -> None:
        self._die()
        await super().put(name, value)

    async def drop(self, name: str) -> None:
        self._die()
        await super().drop(name)

    def _die(self) -> None:
        if self.die_after is not None:
            self.die_after -= 1
            if self.die_after < 0:
                raise Killed


class Node:
    """One of the nodes: its leases, the notes of its own file, its pollers."""

    def __init__(self, name: str, cluster: "Cluster", queue: PostgresQueue) -> None:
        self._cluster = cluster
        self._queue = queue
        self.may = True
        self.kong_id = str(uuid4())
        self.own = MemoryNotes()
        time = cluster.time
        self.leases = PollLeases(queue.polling, name, name, lambda: self.may, asyncio.Event(), time, time)
        self.terms = {lease: self.leases.add(lease, lambda: True) for lease in ("balancer", "certificate")}
        self.notes: DyingNotes

    def poller(self, kind: Kind) -> Poller:
        lease = "balancer" if kind is BalancerPoller else "certificate"
        cluster, term = self._cluster, self.terms[lease]
        self.notes = DyingNotes(self._queue.polling, lease, term, self.own)
        gate = LeaderGate(term, lambda: True, cluster.time.wait, lambda: 0.5)
        return kind(cluster.context(cluster.client)._replace(notes=self.notes), gate)


class Cluster(World):
    """Three nodes over one store and one Kong, with an upstream of two targets and a certificate that expires soon."""

    def __init__(self, kong: AdminNode, client: AdminClient) -> None:
        super().__init__()
        self.kong = kong
        self.client = client
        upstream = kong.behind.create("upstreams", name="up.local", healthchecks=CHECKED)
        for address in (UP, DOWN):
            kong.behind.create("targets", target=f"{address}:80", upstream={"id": upstream["id"]})
        cert = pem("a", self.time.now + 20 * 86_400, 1)
        self.certificate = kong.behind.create("certificates", cert=cert, key=key_pem(), snis=["a.example"])
        self.health(UNHEALTHY)

    def health(self, health: str) -> None:
        self.kong.health.set("up.local", DOWN, 80, health)

    def told(self) -> list[tuple[str, str]]:
        return [(event.event, event.data["state"]) for event in self.dispatcher.events]

    async def polls(self, node: Node, kind: Kind, seconds: float = 11.0) -> None:
        """Have a node poll for so long; nobody else does meanwhile."""
        await node.leases.renew()
        self.kong.node_id = node.kong_id
        async with self.running(node.poller(kind)):
            await self.time.pass_(seconds)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with AdminNode() as kong, AdminClient(AdminSettings(url=kong.url)) as client:
        yield Cluster(kong, client)


@pytest.fixture
async def nodes(cluster: Cluster, postgres_store: str) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        made = []
        for name in ("one", "two", "three"):
            queue = PostgresQueue(postgres_store, None, cluster.time, database_time=False, process=name)
            await queue.open()
            stack.push_async_callback(queue.close)
            made.append(Node(name, cluster, queue))
        yield made


@pytest.mark.parametrize(
    ("kind", "event"), [(BalancerPoller, "health"), (CertificatePoller, "expiring")], ids=["balancer", "certificate"]
)
class TestBoth:
    async def test_a_state_is_reported_once_whoever_polls(
        self, cluster: Cluster, nodes: list[Node], kind: Kind, event: str
    ) -> None:
        for node in (*nodes, nodes[0]):
            await cluster.polls(node, kind)
            await node.leases.close()
        assert cluster.told() == [(event, "open")]

    async def test_only_one_polls_at_a_time(self, cluster: Cluster, nodes: list[Node], kind: Kind, event: str) -> None:
        await cluster.polls(nodes[0], kind)
        await cluster.polls(nodes[1], kind, TTL - 1)
        await nodes[0].leases.renew()
        assert [bool(node.terms["balancer"]()) for node in nodes] == [False, True, False]
        assert cluster.told() == [(event, "open")]

    async def test_a_node_killed_between_the_event_and_the_note_leaves_one_event(
        self, cluster: Cluster, nodes: list[Node], kind: Kind, event: str
    ) -> None:
        one, two, _ = nodes
        await one.leases.renew()
        dying = one.poller(kind)
        one.notes.die_after = 1  # the first has state and event, the second that it is published
        await cluster.dies(dying)
        offered = list(cluster.dispatcher.offered)
        assert offered, "it had told it"
        cluster.time.advance(TTL)
        await cluster.polls(two, kind)
        assert cluster.told() == [(event, "open")]
        assert set(cluster.dispatcher.offered) == set(offered), "the same id"

    async def test_what_a_nodes_own_file_has_is_brought_along_by_the_first(
        self, cluster: Cluster, nodes: list[Node], kind: Kind, event: str
    ) -> None:
        one, two, three = nodes
        async with cluster.running(kind(cluster.context(cluster.client), cluster.gate)):
            await cluster.time.pass_(11)
        one.own = cluster.notes  # a node that was on its own until now
        three.own.kept = {name: value.replace(b"10.0.0.2", b"10.0.0.9") for name, value in cluster.notes.kept.items()}
        for node in (one, two, three):
            await cluster.polls(node, kind)
            await node.leases.close()
        assert cluster.told() == [(event, "open")]

    async def test_a_restored_backup_has_nothing_reported_again(
        self, cluster: Cluster, nodes: list[Node], kind: Kind, event: str, postgres_store: str
    ) -> None:
        """Also not by the nodes that follow on the last holder, whose copy of the notes it was."""
        one, two, _ = nodes
        await one.leases.renew()
        with StoreBackup(postgres_store) as backup:
            async with cluster.running(one.poller(kind)):
                await cluster.time.pass_(5)
                assert cluster.told() == [(event, "open")]
                backup.restore()
                cluster.time.advance(TTL)  # longer than it may believe that it leads
                await one.leases.renew()
                await cluster.time.pass_(11)
            backup.restore()
            await cluster.polls(one, kind)
        await one.leases.close()
        await cluster.polls(two, kind)
        assert cluster.told() == [(event, "open")]

    async def test_what_has_ended_since_a_restored_backup_does_not_end_again(
        self, cluster: Cluster, nodes: list[Node], kind: Kind, event: str, postgres_store: str
    ) -> None:
        one, two, _ = nodes
        await cluster.polls(one, kind)
        with StoreBackup(postgres_store) as backup:
            cluster.time.advance(TTL)
            cluster.health(HEALTHY)
            cluster.kong.behind.delete("certificates", cluster.certificate["id"])
            await cluster.polls(two, kind)
            backup.restore()
            cluster.time.advance(TTL)
            await cluster.polls(two, kind)
        assert cluster.told() == [(event, "open"), (event if event == "health" else "resolved", "resolved")]


async def test_a_note_that_the_store_lost_within_a_term_comes_back_with_the_next_term(
    cluster: Cluster, nodes: list[Node], postgres_store: str
) -> None:
    one, two, _ = nodes
    await one.leases.renew()
    notes = SharedNotes(one._queue.polling, "balancer", one.terms["balancer"], one.own)
    await notes.names("health/")
    with StoreBackup(postgres_store) as backup:
        await notes.put("health/u", b"1")
        backup.restore()
    await one.leases.close()
    await one.leases.renew()
    assert await notes.names("health/") == ["health/u"]
    await one.leases.close()
    await two.leases.renew()
    theirs = SharedNotes(two._queue.polling, "balancer", two.terms["balancer"], two.own)
    assert await theirs.get("health/u") == b"1"
    await theirs.drop("health/u")
    await two.leases.close()
    await one.leases.renew()
    assert await notes.names("health/") == [], "its copy is the older one now"
    assert await one.own.names("health/") == []


async def test_who_held_a_lease_before_the_store_was_away_is_asked_first(cluster: Cluster, nodes: list[Node]) -> None:
    one, two, _ = nodes
    await one.leases.renew()
    for node in (one, two):
        await node._queue.close()
        await node.leases.renew()
    cluster.time.advance(TTL)
    for node in (two, one):
        await node._queue.open()
        await node.leases.renew()
    await two.leases.renew()
    assert [bool(node.terms["balancer"]()) for node in (one, two)] == [True, False]


async def test_a_node_that_stood_still_writes_and_reports_nothing_old(cluster: Cluster, nodes: list[Node]) -> None:
    one, two, _ = nodes
    await cluster.polls(one, BalancerPoller)
    await one.leases.renew()
    notes = one.notes  # as it read them, in that term
    cluster.time.advance(TTL)
    cluster.health(HEALTHY)
    await cluster.polls(two, BalancerPoller)
    assert cluster.told() == [("health", "open"), ("health", "resolved")]
    await two.leases.close()
    await one.leases.renew()
    assert one.terms["balancer"](), "it has the lease again"
    (name,) = [f"health/{upstream['id']}" for upstream in cluster.kong.behind.store().all("upstreams")]
    with pytest.raises(StoreUnavailable, match="another node polls now"):
        await notes.put(name, b"old")
    assert await notes.get(name) != b"old"


async def test_a_poller_reads_its_notes_again_in_a_new_term(cluster: Cluster, nodes: list[Node]) -> None:
    one, two, _ = nodes
    await one.leases.renew()
    async with cluster.running(one.poller(BalancerPoller)):
        await cluster.time.pass_(5)
        assert cluster.told() == [("health", "open")]
        # It stands still; another node sees the end, and goes.
        cluster.time.advance(TTL)
        await two.leases.renew()
        kept = SharedNotes(two._queue.polling, "balancer", two.terms["balancer"], MemoryNotes())
        (name,) = await kept.names("health/")
        await kept.drop(name)
        await two.leases.close()
        await one.leases.renew()
        await cluster.time.pass_(11)
        assert cluster.told() == [("health", "open"), ("health", "open")], "it begins with what the store has"


async def test_without_an_answer_of_the_store_a_lease_ends_by_itself(cluster: Cluster, nodes: list[Node]) -> None:
    one = nodes[0]
    await one.leases.renew()
    assert one.terms["balancer"]()
    await one._queue.close()
    cluster.time.advance(TTL - 0.5)
    await one.leases.renew()
    assert one.terms["balancer"]()
    cluster.time.advance(0.5)
    assert not one.terms["balancer"]()


async def test_a_process_that_may_not_poll_any_more_leaves_its_leases(cluster: Cluster, nodes: list[Node]) -> None:
    one, two, _ = nodes
    await one.leases.renew()
    one.may = False
    assert not one.terms["balancer"](), "at once"
    await one.leases.renew()
    await two.leases.renew()
    assert two.terms["balancer"]()
