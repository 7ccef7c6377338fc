from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.sources.balancer import decision
from kong_eventhooks_plugin.sources.balancer.poller import NOTES, BalancerPoller, BalancerSettings
from tests.support.admin_health import HEALTHY, UNHEALTHY
from tests.support.admin_node import AdminNode
from tests.support.pollers import World

CHECKED = {"active": {"healthy": {"interval": 1, "successes": 1}, "unhealthy": {"interval": 1, "tcp_failures": 1}}}


class Kong(World):
    """A Kong with an upstream ``up.local`` of two targets, and the poller of its health."""

    def __init__(self, node: AdminNode, client: AdminClient) -> None:
        super().__init__()
        self.node = node
        self.client = client
        self.upstream = self.make("up.local", "10.0.0.1:80", "10.0.0.2:80")

    def make(self, name: str, *targets: str, healthchecks: Any = CHECKED) -> dict[str, Any]:
        upstream = self.node.behind.create("upstreams", name=name, healthchecks=healthchecks)
        for target in targets:
            self.node.behind.create("targets", target=target, upstream={"id": upstream["id"]})
        return upstream

    def watch(self, **pace: float) -> BalancerPoller:
        return BalancerPoller(self.context(self.client), self.gate, BalancerSettings(**pace))

    def set(self, ip: str, health: str, upstream: str = "up.local") -> None:
        self.node.health.set(upstream, ip, 80, health)

    def published(self) -> list[tuple[str, str, str | None]]:
        return [(told["target"], told["old_health"], told["health"]) for told in self.dispatcher.take()]

    def polls(self, upstream: dict[str, Any] | None = None) -> int:
        return self.node.requests[f"GET /upstreams/{(upstream or self.upstream)['id']}/health"]


@pytest.fixture
async def kong() -> AsyncIterator[Kong]:
    async with AdminNode() as node, AdminClient(AdminSettings(url=node.url)) as client:
        yield Kong(node, client)


async def test_a_target_becomes_unhealthy_and_recovers(kong: Kong) -> None:
    async with kong.running(kong.watch()):
        await kong.time.pass_(15)
        assert kong.published() == []
        kong.set("10.0.0.2", UNHEALTHY)
        await kong.time.pass_(11)
        (down,) = kong.dispatcher.take()
        assert down == {
            "event": "health", "upstream_id": kong.upstream["id"], "ip": "10.0.0.2", "port": 80, "hostname": "10.0.0.2",
            "health": "unhealthy", "upstream": "up.local", "target": "10.0.0.2:80", "old_health": "healthy",
            "node_id": kong.node.node_id, "state": "open", "state_key": down["state_key"],
        }  # fmt: skip
        kong.set("10.0.0.2", HEALTHY)
        await kong.time.pass_(3)
        assert kong.published() == [("10.0.0.2:80", "unhealthy", "healthy")], "trouble is looked at every 2 s"


async def test_health_is_polled_every_10_s_and_faster_while_unhealthy(kong: Kong) -> None:
    async with kong.running(kong.watch()):
        await kong.time.pass_(100.5)
        assert kong.polls() in (10, 11)
        kong.set("10.0.0.1", UNHEALTHY)
        await kong.time.pass_(11)
        before = kong.polls()
        await kong.time.pass_(20)
        assert 9 <= kong.polls() - before <= 10


async def test_upstreams_without_checks_are_not_polled(kong: Kong) -> None:
    off = kong.make("off.local", "10.0.1.1:80", healthchecks={"threshold": 50})
    passive = kong.make("passive.local", "10.0.1.1:80", healthchecks={"passive": {"unhealthy": {"tcp_failures": 1}}})
    watch = kong.watch()
    async with kong.running(watch):
        await kong.time.pass_(5)
        assert kong.polls(off) == 0
        assert kong.polls(passive) == 1
        assert watch.state()["upstreams"] == 2


async def test_of_a_name_with_several_addresses_the_one_that_changed_is_an_event(kong: Kong) -> None:
    kong.make("many.local", "many.example:80")
    kong.node.health.resolve("many.local", "many.example:80", ("10.1.0.1", 80), ("10.1.0.2", 80))
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        kong.set("10.1.0.2", UNHEALTHY, "many.local")
        await kong.time.pass_(11)
        (told,) = kong.dispatcher.take()
        assert (told["hostname"], told["ip"], told["target"]) == ("many.example", "10.1.0.2", "many.example:80")


async def test_a_name_that_does_not_resolve_and_does_again(kong: Kong) -> None:
    kong.make("name.local", "name.example:80")
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        kong.node.health.resolve("name.local", "name.example:80")
        await kong.time.pass_(13)
        (lost,) = kong.dispatcher.take()
        assert (lost["ip"], lost["port"], lost["health"]) == (None, 80, "dns_error")
        kong.node.health.resolve("name.local", "name.example:80", ("10.1.0.1", 80))
        await kong.time.pass_(5)
        (back,) = kong.dispatcher.take()
        assert (back["ip"], back["old_health"], back["health"]) == (None, "dns_error", "healthy")


async def test_a_balancer_that_is_not_ready_is_no_event(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        assert len(kong.published()) == 1
        kong.node.health.unbalanced.add("up.local")
        await kong.time.pass_(30)
        kong.node.health.unbalanced.clear()
        await kong.time.pass_(30)
        assert kong.published() == []


async def test_targets_added_and_removed(kong: Kong) -> None:
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        added = kong.node.behind.create("targets", target="10.0.0.3:80", upstream={"id": kong.upstream["id"]})
        await kong.time.pass_(12)
        assert kong.published() == [], "begins healthy"
        kong.set("10.0.0.3", UNHEALTHY)
        await kong.time.pass_(12)
        assert kong.published() == [("10.0.0.3:80", "healthy", "unhealthy")]
        kong.node.behind.delete("targets", added["id"])
        await kong.time.pass_(12)
        assert kong.published() == [("10.0.0.3:80", "unhealthy", None)]
        await kong.time.pass_(12)
        assert kong.published() == []
        assert kong.notes.kept == {}


async def test_checks_switched_off_end_what_was_unhealthy_once(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        assert len(kong.published()) == 1
        kong.node.behind.change("upstreams", "up.local", healthchecks={"active": {"healthy": {"interval": 0},
                                "unhealthy": {"interval": 0}}})  # fmt: skip
        await kong.time.pass_(25)
        assert kong.published() == [("10.0.0.1:80", "unhealthy", None)]
        assert kong.notes.kept == {}
        asked = kong.polls()
        await kong.time.pass_(25)
        assert kong.polls() == asked


async def test_an_upstream_removed_between_list_and_poll_is_no_error(kong: Kong) -> None:
    gone = kong.make("gone.local", "10.0.2.1:80")
    kong.set("10.0.2.1", UNHEALTHY, "gone.local")  # looked at more often than the list
    watch = kong.watch()
    async with kong.running(watch):
        await kong.time.pass_(5)
        assert len(kong.published()) == 1
        looks = kong.polls(gone)
        kong.node.behind.delete("upstreams", gone["id"])
        await kong.time.pass_(30)
        assert kong.polls(gone) > looks
        assert kong.published() == [("10.0.2.1:80", "unhealthy", None)]
        assert kong.notes.kept == {}
        assert watch.state()["error"] is None
        assert set(kong.counts.polls) == {("health", "ok")}


async def test_an_unreachable_admin_api_is_no_event_and_polled_less_and_less(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    watch = kong.watch()
    async with kong.running(watch):
        await kong.time.pass_(5)
        kong.published()
        await kong.node.stop()
        await kong.time.pass_(15)
        assert watch.state()["error"]
        await kong.time.pass_(585)
        assert kong.published() == []
        assert watch.state()["error"]
        assert 10 <= kong.counts.polls["health", "unanswered"] <= 20
        await kong.node.start()
        await kong.time.pass_(120)
        assert kong.published() == []
        kong.set("10.0.0.1", HEALTHY)
        await kong.time.pass_(12)
        assert kong.published() == [("10.0.0.1:80", "unhealthy", "healthy")]
        assert watch.state()["error"] is None


async def test_answers_that_break_off_are_an_error_also_while_there_is_nothing_to_do(kong: Kong) -> None:
    kong.node.faults.only, kong.node.faults.cut_bytes = f"/upstreams/{kong.upstream['id']}", 5
    watch = kong.watch()
    async with kong.running(watch):
        await kong.time.pass_(5)
        assert "the answer is not HTTP" in watch.state()["error"]
        kong.node.faults.cut_bytes = None
        await kong.time.pass_(12)
        assert watch.state()["error"] is None


async def test_one_upstream_that_cannot_be_read_does_not_hold_the_others_up(kong: Kong) -> None:
    other = kong.make("other.local", "10.0.3.1:80")
    kong.node.faults.only = f"/upstreams/{kong.upstream['id']}"
    kong.node.faults.status = 500
    async with kong.running(kong.watch()):
        await kong.time.pass_(1)
        kong.set("10.0.3.1", UNHEALTHY, "other.local")
        await kong.time.pass_(40)
        assert [told[0] for told in kong.published()] == ["10.0.3.1:80"]
        assert kong.polls(other) >= 4
        assert kong.counts.polls["health", "failed"] >= 4


async def test_upstreams_that_cannot_be_read_are_an_error_and_logged_once(kong: Kong) -> None:
    other = kong.make("other.local", "10.0.2.1:80")
    watch = kong.watch(poll_seconds=10)
    async with kong.running(watch):
        await kong.time.pass_(15)
        assert watch.errors() == []
        with structlog.testing.capture_logs() as lines:
            kong.node.faults.only = "/upstreams/"
            kong.node.faults.status = 500
            await kong.time.pass_(100)
        assert len(lines) == 2, "one for each"
        (trouble,) = watch.errors()
        assert trouble.startswith("the health of 2 upstreams is unreadable: /upstreams/")
        assert trouble.endswith("/health: answered 500")
        assert watch.state()["unreadable"] == 2
        kong.node.behind.delete("upstreams", other["id"])
        await kong.time.pass_(25)
        assert watch.state()["unreadable"] == 1
        kong.node.faults.status = None
        await kong.time.pass_(25)
        assert watch.errors() == []


async def test_after_a_start_only_differences_are_events(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    kong.set("10.0.0.2", UNHEALTHY)
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        assert len(kong.published()) == 2
    kong.set("10.0.0.1", HEALTHY)
    async with kong.running(kong.watch()):
        await kong.time.pass_(25)
        assert kong.published() == [("10.0.0.1:80", "unhealthy", "healthy")]


async def test_at_a_closed_gate_kong_is_not_polled_and_another_leaders_notes_are_read_afterwards(kong: Kong) -> None:
    watch = kong.watch()
    kong.wanted = False
    async with kong.running(watch):
        await kong.time.pass_(60)
        assert not kong.node.requests
        assert watch.state()["idle_reason"] == "no hook subscribes to it"
        kong.wanted = True
        kong.set("10.0.0.1", UNHEALTHY)
        await kong.time.pass_(5)
        assert len(kong.published()) == 1
        kong.leads = False
        await kong.time.pass_(5)
        asked = kong.node.requests.total()
        assert watch.state()["idle_reason"] == "another process polls"
        kong.notes.kept.clear()  # what the other leader knows
        await kong.time.pass_(60)
        assert kong.node.requests.total() == asked
        kong.leads = True
        await kong.time.pass_(5)
        assert len(kong.published()) == 1


@pytest.mark.parametrize("writes", [0, 1])
async def test_killed_at_any_write_it_is_published_once(kong: Kong, writes: int) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    kong.notes.die_after = writes
    await kong.dies(kong.watch())
    async with kong.running(kong.watch()):
        await kong.time.pass_(30)
    assert kong.published() == [("10.0.0.1:80", "healthy", "unhealthy")]
    assert len(kong.dispatcher.offered) == (1 if writes == 0 else 2), "told again with the same id"


async def test_it_is_removed_while_we_are_dead_and_its_last_change_is_still_published(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    kong.dispatcher.full = 10_000
    async with kong.running(kong.watch()):
        await kong.time.pass_(10)
    kong.dispatcher.full = 0
    kong.set("10.0.0.1", HEALTHY)
    async with kong.running(kong.watch()):
        await kong.time.pass_(30)
    assert kong.published() == [("10.0.0.1:80", "healthy", "unhealthy"), ("10.0.0.1:80", "unhealthy", "healthy")]


async def test_what_was_pending_when_its_upstream_was_removed_is_still_published(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    kong.dispatcher.full = 10_000
    async with kong.running(kong.watch()):
        await kong.time.pass_(10)
    kong.dispatcher.full = 0
    kong.node.behind.delete("upstreams", "up.local")
    async with kong.running(kong.watch()):
        await kong.time.pass_(10)
    assert kong.published() == [("10.0.0.1:80", "healthy", "unhealthy"), ("10.0.0.1:80", "unhealthy", None)]
    assert kong.notes.kept == {}


async def test_a_bug_in_publishing_ends_neither_the_loop_nor_the_event(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    kong.dispatcher.bug = True
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        assert kong.counts.polls["health", "bug"] == 1
        kong.dispatcher.bug = False
        await kong.time.pass_(20)
    assert kong.published() == [("10.0.0.1:80", "healthy", "unhealthy")]


async def test_with_notes_that_cannot_be_written_it_is_published_later(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    kong.notes.refuse = 3
    watch = kong.watch()
    async with kong.running(watch):
        await kong.time.pass_(60)
        assert kong.published() == [("10.0.0.1:80", "healthy", "unhealthy")]
        assert kong.counts.polls["health", "failed"] == 3
        assert watch.state()["error"] is None


async def test_an_upstream_deleted_while_we_were_dead_is_ended_and_leaves_no_note(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        (began,) = kong.dispatcher.take()
        assert list(kong.notes.kept) == [NOTES + kong.upstream["id"]]
    kong.node.behind.delete("upstreams", "up.local")
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        assert kong.notes.kept == {}
        (ended,) = kong.dispatcher.take()
        assert ended == began | {"event": "resolved", "health": None, "old_health": "unhealthy", "state": "resolved"}
        await kong.time.pass_(25)
        assert kong.published() == []


@pytest.mark.parametrize("entity", ["targets", "upstreams"])
@pytest.mark.parametrize("writes", [0, 1])
async def test_killed_at_any_write_an_end_is_published_once(kong: Kong, writes: int, entity: str) -> None:
    sick = kong.node.behind.create("targets", target="10.0.0.3:80", upstream={"id": kong.upstream["id"]})
    kong.set("10.0.0.3", UNHEALTHY)
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        assert len(kong.published()) == 1
    kong.node.behind.delete(entity, sick["id"] if entity == "targets" else kong.upstream["id"])
    kong.notes.die_after = writes
    await kong.dies(kong.watch())
    async with kong.running(kong.watch()):
        await kong.time.pass_(30)
    assert kong.published() == [("10.0.0.3:80", "unhealthy", None)]
    assert len(kong.dispatcher.offered) == (2 if writes == 0 else 3), "told again with the same id"


async def test_the_rest_of_a_large_upstream_is_ended_at_the_next_list(
    kong: Kong, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision, "CHANGES", 1)
    kong.set("10.0.0.1", UNHEALTHY)
    kong.set("10.0.0.2", UNHEALTHY)
    async with kong.running(kong.watch()):
        await kong.time.pass_(8)
        assert len(kong.published()) == 2
        kong.node.behind.delete("upstreams", "up.local")
        await kong.time.pass_(25)
        assert sorted(kong.published()) == [("10.0.0.1:80", "unhealthy", None), ("10.0.0.2:80", "unhealthy", None)]
        assert kong.notes.kept == {}


async def test_an_end_that_no_queue_takes_is_published_later(kong: Kong) -> None:
    kong.set("10.0.0.1", UNHEALTHY)
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        assert len(kong.published()) == 1
        kong.dispatcher.full = 10_000
        kong.node.behind.delete("upstreams", "up.local")
        await kong.time.pass_(30)
        kong.leads = False
        kong.dispatcher.full = 0
        await kong.time.pass_(30)
        assert kong.published() == []
        kong.leads = True
        await kong.time.pass_(30)
        assert kong.published() == [("10.0.0.1:80", "unhealthy", None)]
        assert kong.notes.kept == {}


async def test_many_upstreams_are_paced_and_none_starves(kong: Kong) -> None:
    made = [kong.make(f"u{number}.local", f"10.9.0.{number}:80") for number in range(39)]
    for number in range(20):
        kong.set(f"10.9.0.{number}", UNHEALTHY, f"u{number}.local")
    watch = kong.watch(per_second=2.0)
    async with kong.running(watch):
        await kong.time.pass_(100)
        looks = sum(kong.polls(upstream) for upstream in [*made, kong.upstream])
        assert 190 <= looks <= 202
        assert min(kong.polls(upstream) for upstream in made) >= 3
        assert watch.state()["lag_seconds"] > 5


async def test_less_than_one_poll_a_second_is_respected(kong: Kong) -> None:
    made = [kong.make(f"u{number}.local", f"10.9.0.{number}:80") for number in range(5)]
    async with kong.running(kong.watch(per_second=0.25)):
        await kong.time.pass_(100)
        assert 24 <= sum(kong.polls(upstream) for upstream in [*made, kong.upstream]) <= 26


async def test_targets_of_several_pages(kong: Kong) -> None:
    kong.make("wide.local", *(f"10.8.{number // 200}.{number % 200}:80" for number in range(250)))
    for number in range(250):
        kong.set(f"10.8.{number // 200}.{number % 200}", UNHEALTHY, "wide.local")
    async with kong.running(kong.watch()):
        await kong.time.pass_(5)
        assert len(kong.published()) == 250
