"""The recorded list of requests through observer, mirror, dispatcher and queue: which request is which event."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from kong_eventhooks_plugin.model.event import Event
from tests.support.admin_node import AdminNode
from tests.support.crud import Publisher
from tests.support.crud_world import CrudWorld, recorded_requests, shown
from tests.support.declared import undeclared
from tests.support.waiting import SECONDS

# Every request that a real Kong's Admin API route saw, and what it is reported as. No arrow: nothing.
EXPECTED = """
GET /consumers 200
POST /consumers 201                               -> consumers:create Ada Lovelace
POST /consumers 201                               -> consumers:create grace
PATCH /consumers/grace 200                        -> consumers:update grace (custom_id)
PUT /consumers/grace 200                          -> consumers:update grace (custom_id, tags)
PUT /consumers/newbie 200                         -> consumers:create newbie
POST /consumers/grace/key-auth 201                -> keyauth_credentials:create 33bc34f8-e273-4b3e-907a-a56f5ffff87e
POST /consumers/grace/acls 201                    -> acls:create admins
POST /consumers/grace/basic-auth 201              -> basicauth_credentials:create u
PATCH /consumers/grace/key-auth/k1 200            -> keyauth_credentials:update 33bc34f8-e273-4b3e-907a-a56f5ffff87e (tags)
DELETE /consumers/grace/acls/admins 204           -> acls:delete admins
POST /services 201                                -> services:create svc
PATCH /services/svc 200                           -> services:update svc (retries)
POST /services/svc/routes 201                     -> routes:create rt
POST /routes/rt/plugins 201                       -> plugins:create rate-limiting
PATCH /routes/rt 200                              -> routes:update rt (paths)
PATCH /services/svc 200                           -> services:update svc ()
POST /upstreams 201                               -> upstreams:create up1
POST /upstreams/up1/targets 201                   -> targets:create 127.0.0.1:9190
PATCH /upstreams/up1/targets/127.0.0.1:9190 200   -> targets:update 127.0.0.1:9190 (weight)
PUT /upstreams/up1/targets/127.0.0.1:9190/unhealthy 400
DELETE /upstreams/up1/targets/127.0.0.1:9190 204  -> targets:delete 127.0.0.1:9190
POST /upstreams/up1/targets 201                   -> targets:create 127.0.0.1:9191
DELETE /upstreams/up1 204                         -> upstreams:delete up1
                                                  -> targets:delete 127.0.0.1:9191 < upstreams
POST /consumer_groups 404
POST /consumer_groups/gold/consumers 404
DELETE /consumer_groups/gold/consumers/grace 404
POST /key-sets 201                                -> key_sets:create ks
POST /vaults 201                                  -> vaults:create env
PUT /plugins/7e7e7e7e-7e7e-4e7e-8e7e-7e7e7e7e7e7e 200 -> plugins:create correlation-id
DELETE /plugins/7e7e7e7e-7e7e-4e7e-8e7e-7e7e7e7e7e7e 204 -> plugins:delete correlation-id
POST /schemas/plugins/validate 200
POST /consumers 409
POST /consumers 400
DELETE /consumers/grace 204                       -> consumers:delete grace
                                                  -> keyauth_credentials:delete 33bc34f8-e273-4b3e-907a-a56f5ffff87e < consumers
                                                  -> basicauth_credentials:delete u < consumers
DELETE /consumers/grace 204
DELETE /routes/rt 204                             -> routes:delete rt
                                                  -> plugins:delete rate-limiting < routes
DELETE /services/svc 204                          -> services:delete svc
GET /consumers 200
GET /endpoints 200
GET /status 200
OPTIONS /consumers 204
POST /event-hooks 404
DELETE /certificates/630188fa-d753-4058-8331-aece6ebc5408 204
"""  # noqa: E501  a table reads better in one line a row

ROWS = [row.partition("->") for row in EXPECTED.strip("\n").splitlines()]
REQUESTS = [request.strip() for request, _, _ in ROWS if request.strip()]
CHANGES = [change.strip() for _, arrow, change in ROWS if arrow]


def of(events: Iterable[Event], source: str) -> list[Event]:
    return [event for event in events if event.source == source]


async def test_the_recorded_requests_are_these_events(tmp_path: Path) -> None:
    async with AdminNode() as node, CrudWorld(tmp_path, node) as world:
        await world.reconcile()
        requests = list(recorded_requests())
        assert [str(request) for request in requests] == REQUESTS
        for request in requests:
            world.observe(request)
        events = await world.published(3 * len(CHANGES))
        # Nothing comes after them: what is reported next is what happens next.
        await world.route("POST", "/consumers", username="fence")
        await world.published(3 * len(CHANGES) + 3)
        reported, fence = events[:-3], events[-3:]
        assert shown(fence[0]) == "consumers:create fence"

        assert [shown(event) for event in of(reported, "dao:crud")] == CHANGES
        assert [event.event for event in of(reported, "dao:crud")] == [
            change.split(":")[1].split()[0] for change in CHANGES
        ]
        named = [change.split()[0] for change in CHANGES]
        assert [event.event for event in of(reported, "crud")] == [
            name for full in named for name in (full.partition(":")[0], full)
        ]
        assert [wrong for event in reported for wrong in undeclared(event)] == []
        assert [event.id for event in await world.stored()] == [event.id for event in events]
        assert world.metrics.counts.events_lost == {}
        assert world.observer.state().lost == {}


async def test_what_the_route_reported_no_reconciliation_reports_again(tmp_path: Path) -> None:
    async with AdminNode() as node, CrudWorld(tmp_path, node) as world:
        await world.reconcile()
        await world.route("POST", "/consumers", username="ada")
        await world.route("PUT", "/consumers/grace", custom_id="g1")
        await world.route("POST", "/consumers/grace/key-auth", key="k1")
        await world.route("PATCH", "/consumers/grace/key-auth/k1", tags=["t"])
        await world.route("POST", "/services", name="svc", url="http://127.0.0.1:9190")
        await world.route("POST", "/services/svc/routes", name="rt", paths=["/svc"])
        await world.route("POST", "/routes/rt/plugins", name="rate-limiting", config={"minute": 5})
        await world.route("DELETE", "/consumers/ada")
        await world.published(3 * 8)
        await world.reconcile()
        await world.reconcile()
        node.behind.change("consumers", "grace", custom_id="g2")
        await world.reconcile()
        events = of(await world.published(3 * 9), "dao:crud")
        assert [shown(event) for event in events][-2:] == ["consumers:delete ada", "consumers:update grace (custom_id)"]
        assert len(events) == 9
        last = events[-1].data
        assert (last["seen_by"], last["actor"], last["old_entity"]["custom_id"]) == ("reconciliation", None, "g1")


async def test_a_service_takes_its_routes_and_all_their_plugins_along(tmp_path: Path) -> None:
    async with AdminNode() as node:
        service = node.behind.create("services", name="svc", host="127.0.0.1")
        route = node.behind.create("routes", name="rt", paths=["/a"], service={"id": service["id"]})
        node.behind.create("plugins", name="key-auth", service={"id": service["id"]})
        node.behind.create("plugins", name="rate-limiting", route={"id": route["id"]}, config={"minute": 5})
        async with CrudWorld(tmp_path, node) as world:
            await world.reconcile()
            # Kong refuses to delete a service that has routes.
            await world.route("DELETE", "/services/svc")
            await world.route("DELETE", "/routes/rt")
            await world.route("DELETE", "/services/svc")
            events = of(await world.published(3 * 4), "dao:crud")
            await world.reconcile()
            assert [shown(event) for event in events] == [
                "routes:delete rt", "plugins:delete rate-limiting < routes",
                "services:delete svc", "plugins:delete key-auth < services",
            ]  # fmt: skip
            assert events[1].scope.route == (route["id"],)


async def test_who_did_it_and_nothing_of_the_secrets(tmp_path: Path) -> None:
    async with AdminNode() as node, CrudWorld(tmp_path, node) as world:
        await world.reconcile()
        await world.route("POST", "/consumers", username="grace")
        await world.route("POST", "/consumers/grace/key-auth", key="one-s3cr3t")
        await world.route("POST", "/consumers/grace/basic-auth", username="u", password="two-s3cr3t")
        await world.route("PATCH", "/key-auths/one-s3cr3t?x=three-s3cr3t", tags=["t"])
        events = of(await world.published(3 * 4), "dao:crud")
        assert events[-1].data["actor"] == {
            "consumer": None, "credential": None, "ip": None, "user_agent": None,
            "method": "PATCH", "path": "/key-auths/***", "request_id": None,
        }  # fmt: skip
        assert events[1].data["entity"]["key"] == "***"
    assert not [file.name for file in files_in(tmp_path) if b"s3cr3t" in file.read_bytes()]


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_killed_before_the_queue_had_it_it_is_reported_by_the_next_process_once(tmp_path: Path) -> None:
    stuck = Publisher(at_once=False)
    async with AdminNode() as node:
        async with CrudWorld(tmp_path, node, publish=stuck) as world:
            await world.reconcile()
            await world.route("POST", "/consumers", username="ada")
            await stuck.until(3)
        async with CrudWorld(tmp_path, node) as world:
            events = await world.published(3)
            assert [event.id for event in events] == [event.id for event in stuck.events]
            await world.reconcile()
        async with CrudWorld(tmp_path, node) as world:
            await world.route("POST", "/consumers", username="fence")
            assert [shown(event) for event in await world.published(3)] == ["consumers:create fence"] * 3
            assert len(await world.stored()) == 6


async def test_two_processes_side_by_side_report_it_once(tmp_path: Path) -> None:
    async with AdminNode() as node, CrudWorld(tmp_path, node) as old, CrudWorld(tmp_path, node) as new:
        await old.reconcile()
        for number in range(20):
            await (old if number % 2 else new).route("POST", "/consumers", username=f"c{number}")
            old.observer.wake()
            new.observer.wake()
        async with asyncio.timeout(SECONDS):
            while len(old.accepted) + len(new.accepted) < 60:  # noqa: ASYNC110  two worlds, each reports its own
                await asyncio.sleep(0.01)
        assert len(await new.stored()) == 60
        assert len(old.accepted) + len(new.accepted) == 60, "the queue keeps one of each"


async def test_what_a_hook_missed_while_it_was_away_for_long_is_not_reported(tmp_path: Path) -> None:
    async with AdminNode() as node:
        node.behind.create("consumers", username="ada")
        async with CrudWorld(tmp_path, node) as world:
            await world.reconcile()
            await world.mirror.forget()
            node.behind.change("consumers", "ada", custom_id="missed")
            await world.reconcile()
            node.behind.change("consumers", "ada", custom_id="heard")
            await world.reconcile()
            (event,) = of(await world.published(3), "dao:crud")
            assert event.data["old_entity"]["custom_id"] == "missed"
