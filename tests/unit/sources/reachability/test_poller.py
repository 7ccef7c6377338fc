from collections.abc import AsyncIterator

import pytest

from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.sources.reachability import poller as poller_module
from kong_eventhooks_plugin.sources.reachability.decision import public_url
from kong_eventhooks_plugin.sources.reachability.poller import (
    REACHABILITY_NOTE,
    ReachabilityPoller,
    ReachabilitySettings,
)
from tests.support.admin_node import AdminNode
from tests.support.pollers import World


class Kong(World):
    def __init__(self, node: AdminNode, client: AdminClient) -> None:
        super().__init__()
        self.node = node
        self.client = client

    def watch(self) -> ReachabilityPoller:
        url = public_url(self.node.url.replace("//", "//me:secret@"))
        return ReachabilityPoller(self.context(self.client), self.gate, ReachabilitySettings(admin_url=url))


@pytest.fixture
async def kong() -> AsyncIterator[Kong]:
    async with AdminNode() as node, AdminClient(AdminSettings(url=node.url)) as client:
        yield Kong(node, client)


async def test_away_and_back(kong: Kong) -> None:
    watch = kong.watch()
    async with kong.running(watch):
        await kong.time.pass_(20)
        await kong.node.stop()
        began = kong.time.now
        await kong.time.pass_(9)
        assert kong.dispatcher.take() == [], "two failures are not enough"
        await kong.time.pass_(6)
        (away,) = kong.dispatcher.take()
        assert began - 5 <= away.pop("since") <= began + 5
        assert away == {
            "event": "unreachable", "reason": "admin_api", "admin_url": kong.node.url, "error": "connect",
            "failures": 3, "state": "open", "state_key": away["state_key"],
            "node": {"id": kong.node.node_id, "hostname": "kong"},
        }  # fmt: skip
        assert list(watch.state()["outages"]) == ["admin_api"]
        assert watch.errors() == ["admin_api: connect"]
        await kong.time.pass_(300)
        assert kong.dispatcher.take() == []
        await kong.node.start()
        await kong.time.pass_(6)
        (back,) = kong.dispatcher.take()
        assert (back["event"], back["reason"], back["state"]) == ("recovered", "admin_api", "resolved")
        assert back["state_key"] == away["state_key"]
        assert 305 <= back["seconds"] <= 325
        assert watch.state()["outages"] == {}
        assert watch.errors() == []
        assert kong.notes.kept == {}


async def test_a_short_outage_is_no_event(kong: Kong) -> None:
    async with kong.running(kong.watch()):
        await kong.time.pass_(20)
        for _ in range(5):
            await kong.node.stop()
            await kong.time.pass_(8)
            await kong.node.start()
            await kong.time.pass_(8)
    assert kong.dispatcher.take() == []
    assert kong.counts.polls["status", "unanswered"] >= 5
    assert kong.notes.writes == 0, "a restart may forget it"


async def test_a_start_without_kong_waits_for_as_many_failures(kong: Kong) -> None:
    await kong.node.stop()
    async with kong.running(kong.watch()):
        await kong.time.pass_(9)
        assert kong.dispatcher.take() == []
        await kong.time.pass_(6)
        assert len(kong.dispatcher.take()) == 1


async def test_an_outage_over_our_restart_is_one_event_and_ends_with_its_whole_duration(kong: Kong) -> None:
    await kong.node.stop()
    began = kong.time.now
    async with kong.running(kong.watch()):
        await kong.time.pass_(30)
    assert [told["event"] for told in kong.dispatcher.take()] == ["unreachable"]
    async with kong.running(kong.watch()):
        await kong.time.pass_(60)
        assert kong.dispatcher.take() == []
        await kong.node.start()
        await kong.time.pass_(10)
        (back,) = kong.dispatcher.take()
        assert back["event"] == "recovered"
        assert back["since"] == pytest.approx(began, abs=1)
        assert 90 <= back["seconds"] <= 101


async def test_it_ended_while_we_were_away(kong: Kong) -> None:
    await kong.node.stop()
    async with kong.running(kong.watch()):
        await kong.time.pass_(30)
    kong.dispatcher.take()
    await kong.node.start()
    async with kong.running(kong.watch()):
        await kong.time.pass_(1)
        assert [told["event"] for told in kong.dispatcher.take()] == ["recovered"]


@pytest.mark.parametrize("writes", [0, 1])
async def test_killed_at_any_write_it_is_published_once(kong: Kong, writes: int) -> None:
    await kong.node.stop()
    kong.notes.die_after = writes
    await kong.dies(kong.watch())
    async with kong.running(kong.watch()):
        await kong.time.pass_(30)
    assert [told["event"] for told in kong.dispatcher.take()] == ["unreachable"]


async def test_an_answer_that_is_no_answer(kong: Kong) -> None:
    kong.node.faults.status = 503
    async with kong.running(kong.watch()):
        await kong.time.pass_(20)
        (away,) = kong.dispatcher.take()
        assert (away["event"], away["error"]) == ("unreachable", "status_503")


async def test_a_slow_answer(kong: Kong, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller_module, "ANSWER_SECONDS", 0.05)
    kong.node.faults.page_seconds = 0.5
    async with kong.running(kong.watch()):
        await kong.time.pass_(20)
        (away,) = kong.dispatcher.take()
        assert (away["event"], away["error"]) == ("unreachable", "timeout")


async def test_the_database(kong: Kong, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"database": {"reachable": True}}

    async def get(_: str) -> dict[str, object]:
        return answer  # type: ignore[return-value]

    monkeypatch.setattr(kong.client, "get", get)
    async with kong.running(kong.watch()):
        await kong.time.pass_(20)
        answer["database"] = {"reachable": False}
        await kong.time.pass_(20)
        (away,) = kong.dispatcher.take()
        assert (away["event"], away["reason"], away["error"]) == ("unreachable", "database", "not_reachable")
        assert REACHABILITY_NOTE in kong.notes.kept
        answer["database"] = {"reachable": True}
        await kong.time.pass_(6)
        (back,) = kong.dispatcher.take()
        assert (back["event"], back["reason"]) == ("recovered", "database")


async def test_no_secret_in_its_events(kong: Kong) -> None:
    await kong.node.stop()
    async with kong.running(kong.watch()):
        await kong.time.pass_(30)
    assert "secret" not in repr(kong.dispatcher.events)
    assert kong.dispatcher.take()[0]["admin_url"].startswith("http://127.0.0.1:")


async def test_at_a_closed_gate_nothing_is_polled(kong: Kong) -> None:
    kong.wanted = False
    async with kong.running(kong.watch()):
        await kong.time.pass_(60)
        assert not kong.node.requests
        kong.wanted = True
        await kong.time.pass_(6)
        assert kong.node.requests["GET /status"] >= 1
