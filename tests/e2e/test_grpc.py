"""The gRPC API on a real channel, over the real use cases and a real SQLite store."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from grpc import StatusCode

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import deliveries_pb2, events_pb2, hooks_pb2, sources_pb2
from kong_eventhooks_plugin.api.grpc.structs import from_struct, to_struct, to_timestamp
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.errors import QueueFull, StoreUnavailable
from kong_eventhooks_plugin.kong.wire.fields import encode_varint
from kong_eventhooks_plugin.model.delivery import Answer, Attempt, Discard, SentRequest
from kong_eventhooks_plugin.model.ids import hook_id
from kong_eventhooks_plugin.queue.contract import Settlement
from tests.support.api import Api
from tests.support.grpc_server import Client, open_server, refused

TOKEN = "a-token-of-some-length"
BEARER = (("authorization", f"Bearer {TOKEN}"),)
WEBHOOK = {"url": "https://hooks.example.com/T1/secret-path", "secret": "s3cret", "headers": {"x-key": "k"}}


@pytest.fixture
async def client(api: Api) -> AsyncIterator[Client]:
    async with open_server(api) as opened:
        yield opened


@pytest.fixture
async def guarded(api: Api) -> AsyncIterator[Client]:
    async with open_server(api, TOKEN) as opened:
        yield opened


def webhook(**fields: Any) -> hooks_pb2.CreateHookRequest:
    fields = {"name": "desk", "source": "custom", "handler": "webhook", "config": WEBHOOK} | fields
    fields["config"] = to_struct(fields["config"])
    return hooks_pb2.CreateHookRequest(definition=hooks_pb2.Hook(**fields))


async def make(client: Client, **fields: Any) -> hooks_pb2.Hook:
    made: hooks_pb2.Hook = (await client.hooks.CreateHook(webhook(**fields))).hook
    return made


def violated(detail: BadRequest) -> dict[str, str]:
    return {one.field: one.description for one in detail.field_violations}


class TestHooks:
    async def test_one_is_made_read_listed_and_removed(self, api: Api, client: Client) -> None:
        made = await make(client, event="deploy", snooze=60, on_change=True, tags=["a", "b"])
        assert (made.event, made.snooze, made.on_change, list(made.tags), made.enabled) == (
            "deploy", 60, True, ["a", "b"], True,
        )  # fmt: skip
        assert from_struct(made.config)["headers"] == {"x-key": "k"}
        assert [hook.id for hook in await api.queue.definitions()] == [made.id]
        for key in (made.id, "desk"):
            assert (await client.hooks.GetHook(hooks_pb2.GetHookRequest(hook=key))).hook == made
        assert list((await client.hooks.ListHooks(hooks_pb2.ListHooksRequest())).hooks) == [made]
        await client.hooks.DeleteHook(hooks_pb2.DeleteHookRequest(hook="desk"))
        gone = await refused(client.hooks.GetHook(hooks_pb2.GetHookRequest(hook="desk")))
        assert (gone.code, gone.text) == (StatusCode.NOT_FOUND, "no hook has the id or name 'desk'")
        assert not await api.queue.definitions()

    async def test_rest_shows_the_same_hook(self, api: Api, client: Client) -> None:
        made = await make(client, event="deploy", filter="data.n > 1", tags=["t"], created_at=Timestamp(seconds=1_000))
        async with api.served() as rest:
            shown = (await rest.get(f"/event-hooks/{made.id}")).json()
        received = MessageToDict(made, preserving_proto_field_name=True)
        assert (received.pop("created_at"), shown.pop("created_at")) == ("1970-01-01T00:16:40Z", 1_000)
        assert made.updated_at.seconds == shown.pop("updated_at")
        del received["updated_at"]
        assert (received.pop("state"), shown.pop("state")) == ("HOOK_STATE_ON", "on")
        assert received == {name: value for name, value in shown.items() if value is not None}

    async def test_pages(self, client: Client) -> None:
        made = sorted([(await make(client, name=f"h{number}")).id for number in range(5)])
        found, token = [], ""
        for expected in (2, 2, 1):
            page = await client.hooks.ListHooks(hooks_pb2.ListHooksRequest(page_size=2, page_token=token))
            assert len(page.hooks) == expected
            found += [hook.id for hook in page.hooks]
            token = page.next_page_token
        assert (found, token) == (made, "")

    async def test_what_is_no_page(self, client: Client) -> None:
        bad = await refused(client.hooks.ListHooks(hooks_pb2.ListHooksRequest(page_token="x")))
        assert (bad.code, list(violated(bad.detail(BadRequest)))) == (StatusCode.INVALID_ARGUMENT, ["page_token"])
        bad = await refused(client.hooks.ListHooks(hooks_pb2.ListHooksRequest(page_size=-1)))
        assert violated(bad.detail(BadRequest)) == {"page_size": "must not be negative"}
        bad = await refused(client.hooks.ListHooks(hooks_pb2.ListHooksRequest(tags="a,b/c")))
        assert list(violated(bad.detail(BadRequest))) == ["tags"]

    async def test_tags_are_a_filter(self, client: Client) -> None:
        await make(client, name="one", tags=["a"])
        await make(client, name="both", tags=["a", "b"])
        found = await client.hooks.ListHooks(hooks_pb2.ListHooksRequest(tags="a,b"))
        assert [hook.name for hook in found.hooks] == ["both"]

    async def test_faulty_fields_are_named_as_the_request_has_them(self, client: Client) -> None:
        bad = await refused(make(client, snooze=-1, config={"url": 7}))
        assert bad.code is StatusCode.INVALID_ARGUMENT
        assert set(violated(bad.detail(BadRequest))) == {"definition.snooze", "definition.config.url"}
        bad = await refused(client.hooks.CreateHook(hooks_pb2.CreateHookRequest()))
        assert violated(bad.detail(BadRequest)) == {"definition": "required field missing"}

    async def test_a_name_in_use(self, client: Client) -> None:
        await make(client)
        assert (await refused(make(client))).code is StatusCode.ALREADY_EXISTS

    async def test_an_id_in_use(self, client: Client) -> None:
        made = await make(client)
        assert (await refused(make(client, name="other", id=made.id))).code is StatusCode.ALREADY_EXISTS

    async def test_a_change_gives_some_fields(self, client: Client) -> None:
        await make(client, event="deploy", tags=["a"])
        request = hooks_pb2.UpdateHookRequest(
            hook="desk", definition=hooks_pb2.Hook(snooze=5, config=to_struct({"secret": "new"}))
        )
        changed = (await client.hooks.UpdateHook(request)).hook
        config = from_struct(changed.config)
        assert (changed.event, changed.snooze, list(changed.tags)) == ("deploy", 5, ["a"])
        assert (config["url"], config["secret"]) == (WEBHOOK["url"], "new")

    async def test_a_mask_unsets(self, client: Client) -> None:
        await make(client, event="deploy", tags=["a"], snooze=5)
        request = hooks_pb2.UpdateHookRequest(hook="desk", definition=hooks_pb2.Hook(snooze=7, name="not-asked"))
        request.update_mask.paths.extend(["event", "tags", "config.secret"])
        changed = (await client.hooks.UpdateHook(request)).hook
        assert (changed.name, changed.HasField("event"), list(changed.tags), changed.snooze) == ("desk", False, [], 5)
        assert from_struct(changed.config)["secret"] is None

    async def test_allow_missing_makes_and_replaces(self, client: Client) -> None:
        request = hooks_pb2.UpdateHookRequest(hook="desk", definition=webhook().definition, allow_missing=True)
        request.definition.snooze = 5
        made = (await client.hooks.UpdateHook(request)).hook
        request.definition.ClearField("snooze")
        replaced = (await client.hooks.UpdateHook(request)).hook
        assert (made.snooze, replaced.HasField("snooze"), replaced.id) == (5, False, made.id)
        request.update_mask.paths.append("event")
        bad = await refused(client.hooks.UpdateHook(request))
        assert list(violated(bad.detail(BadRequest))) == ["update_mask"]

    async def test_an_unknown_hook_cannot_be_changed(self, client: Client) -> None:
        request = hooks_pb2.UpdateHookRequest(hook="none", definition=hooks_pb2.Hook(snooze=5))
        assert (await refused(client.hooks.UpdateHook(request))).code is StatusCode.NOT_FOUND
        bad = await refused(client.hooks.DeleteHook(hooks_pb2.DeleteHookRequest()))
        assert violated(bad.detail(BadRequest)) == {"hook": "required field missing"}

    async def test_a_declared_hook_is_changed_where_it_is_declared(self, api: Api, client: Client) -> None:
        api.declare({"name": "declared", "source": "custom", "handler": "log"})
        hook = (await client.hooks.GetHook(hooks_pb2.GetHookRequest(hook="declared"))).hook
        place = "/etc/kong/kong.yml: plugins[0].config.hooks[0]"
        assert hook.declared_in == place
        for call in (
            client.hooks.DeleteHook(hooks_pb2.DeleteHookRequest(hook="declared")),
            client.hooks.UpdateHook(hooks_pb2.UpdateHookRequest(hook="declared", definition=hooks_pb2.Hook(snooze=5))),
        ):
            no = await refused(call)
            (violation,) = no.detail(PreconditionFailure).violations
            assert (no.code, violation.subject) == (StatusCode.FAILED_PRECONDITION, place)
            assert place in no.text

    async def test_a_ping(self, api: Api, client: Client) -> None:
        await make(client)
        sent = from_struct((await client.hooks.PingHook(hooks_pb2.PingHookRequest(hook="desk"))).sent)
        assert api.recorders["webhook"].pinged == [("desk", None)]
        assert sent["source"] == "kong:event_hooks"

    async def test_a_handler_without_a_ping(self, client: Client) -> None:
        await make(client, handler="log", config={})
        no = await refused(client.hooks.PingHook(hooks_pb2.PingHookRequest(hook="desk")))
        assert (no.code, no.text) == (StatusCode.FAILED_PRECONDITION, "handler 'log' does not support 'ping'")

    async def test_a_test(self, api: Api, client: Client) -> None:
        await make(client)
        request = hooks_pb2.TestHookRequest(hook="desk", data=to_struct({"n": 1, "list": [{}]}))
        received = await client.hooks.TestHook(request)
        assert api.recorders["webhook"].jobs[0].event.data == {"n": 1, "list": [{}]}
        assert received.data == request.data
        assert (received.result.status, received.result.body, dict(received.result.headers)) == (
            200, b"ok", {"Content-Type": "text/plain", "X-A": "1, 2"},
        )  # fmt: skip

    async def test_a_failed_test_shows_the_answer(self, api: Api, client: Client) -> None:
        await make(client)
        api.recorders["webhook"].outcome = Discard("status", "answered 404", Answer(404, b"no such hook"))
        no = await refused(client.hooks.TestHook(hooks_pb2.TestHookRequest(hook="desk")))
        info = no.detail(ErrorInfo)
        assert (no.code, no.text) == (StatusCode.FAILED_PRECONDITION, "answered 404")
        assert (info.reason, dict(info.metadata)) == ("STATUS", {"status": "404", "body": "no such hook"})


class TestAccess:
    async def test_hooks_are_shown_masked_without_the_token(self, api: Api, guarded: Client) -> None:
        await guarded.hooks.CreateHook(webhook(), metadata=BEARER)
        for call in (
            lambda **how: guarded.hooks.GetHook(hooks_pb2.GetHookRequest(hook="desk"), **how),
            lambda **how: guarded.hooks.ListHooks(hooks_pb2.ListHooksRequest(), **how),
        ):
            masked, shown = str(await call()), str(await call(metadata=BEARER))
            for secret in ("s3cret", "secret-path"):
                assert secret not in masked
                assert secret in shown
            assert "hooks.example.com" in masked

    @pytest.mark.parametrize(
        "metadata",
        [BEARER, (("authorization", f"bearer  {TOKEN}"),), (("kong-admin-token", TOKEN),)],
        ids=["bearer", "small letters", "Kong's"],
    )
    async def test_with_the_token_everything_may_be_done(self, guarded: Client, metadata: Any) -> None:
        await guarded.hooks.CreateHook(webhook(), metadata=metadata)
        await guarded.deliveries.ListDeliveries(deliveries_pb2.ListDeliveriesRequest(), metadata=metadata)

    @pytest.mark.parametrize(
        "metadata",
        [
            (),
            (("authorization", "Bearer wrong"),),
            (("authorization", f"Basic {TOKEN}"),),
            (("authorization", "Bearer wrong"), ("kong-admin-token", TOKEN)),
            (("kong-admin-token", TOKEN[:-1]),),
            (("kong-admin-token-bin", TOKEN.encode()),),
        ],
    )
    async def test_without_it_nothing_changes_and_no_delivery_is_shown(
        self, api: Api, guarded: Client, metadata: Any
    ) -> None:
        how = {"metadata": metadata}
        hook, delivery = "desk", deliveries_pb2
        for call in (
            guarded.hooks.CreateHook(webhook(), **how),
            guarded.hooks.UpdateHook(hooks_pb2.UpdateHookRequest(hook=hook), **how),
            guarded.hooks.DeleteHook(hooks_pb2.DeleteHookRequest(hook=hook), **how),
            guarded.hooks.PingHook(hooks_pb2.PingHookRequest(hook=hook), **how),
            guarded.hooks.TestHook(hooks_pb2.TestHookRequest(hook=hook), **how),
            guarded.deliveries.ListDeliveries(delivery.ListDeliveriesRequest(), **how),
            guarded.deliveries.GetDelivery(delivery.GetDeliveryRequest(id="d"), **how),
            guarded.deliveries.ReplayDelivery(delivery.ReplayDeliveryRequest(id="d"), **how),
            guarded.deliveries.ReplayDeliveries(delivery.ReplayDeliveriesRequest(hook=hook), **how),
            guarded.events.Publish(events_pb2.PublishRequest(event="e"), **how),
            guarded.events.ListEvents(events_pb2.ListEventsRequest(), **how),
            guarded.events.Watch(events_pb2.WatchRequest(), **how).read(),
        ):
            no = await refused(call)
            assert no.code is StatusCode.UNAUTHENTICATED
            assert "Authorization: Bearer" in no.text
            assert TOKEN not in no.text
        assert not await api.queue.definitions()

    async def test_the_catalogue_is_everybodys(self, guarded: Client) -> None:
        assert (await guarded.sources.ListSources(sources_pb2.ListSourcesRequest())).sources

    @pytest.mark.parametrize("metadata", [(("origin", "http://evil.example"),), (("sec-fetch-site", "cross-site"),)])
    async def test_a_web_page_behind_a_gateway_changes_nothing(self, client: Client, metadata: Any) -> None:
        no = await refused(client.hooks.CreateHook(webhook(), metadata=metadata))
        assert no.code is StatusCode.PERMISSION_DENIED

    async def test_rest_and_grpc_accept_the_same_token(self, api: Api, guarded: Client) -> None:
        await guarded.hooks.CreateHook(webhook(), metadata=BEARER)
        async with api.served(access=Access(TOKEN)) as rest:
            assert "s3cret" not in (await rest.get("/event-hooks/desk")).text
            assert "s3cret" in (await rest.get("/event-hooks/desk", headers={"Kong-Admin-Token": TOKEN})).text


class TestSources:
    async def test_all(self, client: Client) -> None:
        found = {one.name: one for one in (await client.sources.ListSources(sources_pb2.ListSourcesRequest())).sources}
        assert {"custom", "rate-limiting", "rate-limiting-advanced"} <= set(found)
        (event,) = found["rate-limiting"].events
        assert event.name == "rate-limit-exceeded"
        assert event.description
        assert {"rate", "limit"} <= set(event.fields)
        assert set(event.unique) <= set(event.fields)

    async def test_one(self, client: Client) -> None:
        found = (await client.sources.ListSources(sources_pb2.ListSourcesRequest(source="custom"))).sources
        assert [one.name for one in found] == ["custom"]
        no = await refused(client.sources.ListSources(sources_pb2.ListSourcesRequest(source="nothing")))
        assert no.code is StatusCode.NOT_FOUND


async def publish(client: Client, event: str = "deploy", key: str = "", **data: Any) -> events_pb2.PublishResponse:
    request = events_pb2.PublishRequest(event=event, data=to_struct(data), key=key)
    received: events_pb2.PublishResponse = await client.events.Publish(request)
    return received


class TestEvents:
    async def test_what_is_published_is_committed_and_fires(self, api: Api, client: Client) -> None:
        hook = await make(client, event="deploy")
        received = await publish(client, n=1, share=0.5, list=[None, True, {"a": "b"}])
        (fired,) = received.fired
        assert (fired.hook.id, fired.hook.name, received.duplicate) == (hook.id, "desk", False)
        kept = await api.queue.get(fired.delivery_id)
        assert kept.event.data == {"n": 1, "share": 0.5, "list": [None, True, {"a": "b"}]}
        assert (kept.event.source, kept.event.event, kept.event.id) == ("custom", "deploy", received.event_id)

    async def test_a_hook_without_a_name_is_shown_without_one(self, api: Api, client: Client) -> None:
        hook = await api.service.hooks.create({"source": "custom", "handler": "log"})
        (fired,) = (await publish(client)).fired
        assert (fired.hook.id, fired.hook.HasField("name")) == (hook.id, False)
        await client.hooks.DeleteHook(hooks_pb2.DeleteHookRequest(hook=hook.id))
        (event,) = (await client.events.ListEvents(events_pb2.ListEventsRequest(hook=hook.id))).events
        assert (event.fired[0].hook.id, event.fired[0].hook.HasField("name")) == (hook.id, False)

    async def test_a_key_makes_it_the_same_event(self, client: Client) -> None:
        await make(client)
        first, again = await publish(client, key="k"), await publish(client, key="k")
        assert (again.event_id, again.duplicate, list(again.fired)) == (first.event_id, True, [])

    async def test_what_is_held_back_has_a_reason(self, client: Client) -> None:
        await make(client, snooze=60)
        await publish(client)
        (held_back,) = (await publish(client)).held_back
        assert (held_back.hook.name, held_back.reason) == ("desk", events_pb2.HELD_BACK_REASON_SNOOZED)

    async def test_what_cannot_be_published(self, client: Client) -> None:
        bad = await refused(client.events.Publish(events_pb2.PublishRequest(key="k" * 129)))
        assert set(violated(bad.detail(BadRequest))) == {"event", "key"}
        bad = await refused(publish(client, n=float("nan")))
        assert list(violated(bad.detail(BadRequest))) == ["data"]

    async def test_a_full_queue_and_a_store_that_is_away(self, api: Api, client: Client, monkeypatch: Any) -> None:
        await make(client)

        def full(_: Any) -> Any:
            raise QueueFull("buffer", "too many offers wait")

        monkeypatch.setattr(api.queue, "offer", full)
        no = await refused(publish(client))
        assert (no.code, no.text) == (StatusCode.RESOURCE_EXHAUSTED, "too many offers wait")
        assert (no.detail(RetryInfo).retry_delay.seconds, no.detail(ErrorInfo).reason) == (1, "BUFFER")

        def away(_: Any) -> Any:
            raise StoreUnavailable("/var/lib/events.db: disk full")

        monkeypatch.setattr(api.queue, "offer", away)
        no = await refused(publish(client))
        assert no.code is StatusCode.UNAVAILABLE
        assert "events.db" not in no.text

    async def test_a_bug_reveals_nothing(self, api: Api, client: Client, monkeypatch: Any) -> None:
        def broken(*_: Any) -> Any:
            raise ValueError("with a secret")

        monkeypatch.setattr(api.queue, "page", broken)
        no = await refused(client.deliveries.ListDeliveries(deliveries_pb2.ListDeliveriesRequest()))
        assert (no.code, no.text) == (StatusCode.INTERNAL, "An unexpected error occurred")

    async def test_recent_ones_are_listed_with_what_they_led_to(self, client: Client) -> None:
        hook = await make(client, snooze=60)
        ids = [(await publish(client, event="e", n=number)).event_id for number in range(3)]
        found = (await client.events.ListEvents(events_pb2.ListEventsRequest(hook="desk"))).events
        assert [one.event.id for one in found] == ids[::-1]
        assert [from_struct(one.event.data)["n"] for one in found] == [2, 1, 0]
        assert [(one.hook.id, one.state) for one in found[2].fired] == [
            (hook.id, deliveries_pb2.DELIVERY_STATE_PENDING)
        ]
        assert [one.reason for one in found[0].held_back] == [events_pb2.HELD_BACK_REASON_SNOOZED]
        page = await client.events.ListEvents(events_pb2.ListEventsRequest(page_size=2))
        rest = await client.events.ListEvents(
            events_pb2.ListEventsRequest(page_size=2, page_token=page.next_page_token)
        )
        assert [one.event.id for one in (*page.events, *rest.events)] == ids[::-1]
        for request, count in (
            (events_pb2.ListEventsRequest(source="crud"), 0),
            (events_pb2.ListEventsRequest(event="e", since=found[1].accepted_at), 2),
            (events_pb2.ListEventsRequest(until=found[1].accepted_at), 1),
        ):
            assert len((await client.events.ListEvents(request)).events) == count

    async def test_a_range_that_ends_before_it_begins(self, client: Client) -> None:
        request = events_pb2.ListEventsRequest(since=Timestamp(seconds=2), until=Timestamp(seconds=1))
        bad = await refused(client.events.ListEvents(request))
        assert violated(bad.detail(BadRequest)) == {"until": "must not be before since"}

    async def test_large_events_make_smaller_pages_not_broken_ones(self, client: Client) -> None:
        await make(client)
        ids = [(await publish(client, text="x" * 900_000)).event_id for _ in range(6)]
        found, request = [], events_pb2.ListEventsRequest()
        while True:
            page = await client.events.ListEvents(request)
            found += [one.event.id for one in page.events]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert found == ids[::-1]


async def kill(api: Api, hook_id: str, count: int = 1) -> list[str]:
    """Have deliveries of a hook tried once and die."""
    claimed = await api.queue.claim(hook_id, count, 60.0)
    sent = SentRequest("PUT", "http://x/***", (("x-a", "1"),), b"{}", 2)
    attempt = Attempt(1, 1_700_000_000.25, 0.125, "discard", "status", "answered 400", 400, b"no", (("x", "y"),), sent)
    await api.queue.settle([Settlement(one.id, "dead", attempt, reason="discarded") for one in claimed])
    return [one.id for one in claimed]


class TestDeliveries:
    async def test_one_with_its_attempts(self, api: Api, client: Client) -> None:
        hook = await make(client)
        received = await publish(client, n=1)
        (delivery_id,) = await kill(api, hook.id)
        found = await client.deliveries.GetDelivery(deliveries_pb2.GetDeliveryRequest(id=delivery_id))
        delivery = found.delivery
        assert (delivery.hook.name, delivery.source, delivery.event, delivery.event_id) == (
            "desk", "custom", "deploy", received.event_id,
        )  # fmt: skip
        assert (delivery.state, delivery.reason) == (deliveries_pb2.DELIVERY_STATE_DEAD, "discarded")
        assert (delivery.HasField("due_at"), delivery.HasField("settled_at")) == (False, True)
        assert from_struct(found.data) == {"n": 1}
        (attempt,) = found.attempts
        assert (attempt.outcome, attempt.status, attempt.body) == (deliveries_pb2.ATTEMPT_OUTCOME_DISCARD, 400, b"no")
        assert attempt.started_at == to_timestamp(1_700_000_000.25)
        assert attempt.duration.ToMilliseconds() == 125
        assert dict(attempt.headers) == {"x": "y"}
        sent = attempt.request
        assert (sent.method, sent.url, dict(sent.headers), sent.body, sent.size) == (
            "PUT", "http://x/***", {"x-a": "1"}, b"{}", 2,
        )  # fmt: skip

    async def test_a_list_with_filters(self, api: Api, client: Client) -> None:
        one, other = await make(client), await make(client, name="other", event="deploy")
        for _ in range(2):
            await publish(client)
        dead = await kill(api, one.id)
        await api.queue.fail_pending(other.id, "gone")

        async def ids(**where: Any) -> list[str]:
            found = await client.deliveries.ListDeliveries(deliveries_pb2.ListDeliveriesRequest(**where))
            return [each.id for each in found.deliveries]

        assert len(await ids()) == 4
        assert len(await ids(hook="other")) == len(await ids(hook=other.id)) == 2
        assert await ids(hook="desk", state=deliveries_pb2.DELIVERY_STATE_DEAD) == dead
        assert await ids(source="crud") == await ids(hook=hook_id("nobody")) == []
        no = await refused(client.deliveries.ListDeliveries(deliveries_pb2.ListDeliveriesRequest(hook="nobody")))
        assert violated(no.detail(BadRequest)) == {"hook": "no hook has the id or name 'nobody'"}
        newest = (await ids())[0]
        assert newest in await ids(event_id=newest[:23])
        assert await ids(event_id="x") == []
        assert await ids(until=Timestamp(seconds=5)) == []
        page = await client.deliveries.ListDeliveries(deliveries_pb2.ListDeliveriesRequest(page_size=3))
        rest = await ids(page_size=3, page_token=page.next_page_token)
        assert [each.id for each in page.deliveries] + rest == await ids()
        bad = await refused(ids(state=17))
        assert violated(bad.detail(BadRequest)) == {"state": "no such state"}

    async def test_a_replay(self, api: Api, client: Client) -> None:
        hook = await make(client)
        await publish(client)
        (delivery_id,) = await kill(api, hook.id)
        request = deliveries_pb2.ReplayDeliveryRequest(id=delivery_id)
        assert (await client.deliveries.ReplayDelivery(request)).delivery.state == deliveries_pb2.DELIVERY_STATE_PENDING
        assert (await api.queue.get(delivery_id)).state == "pending"

    async def test_a_replay_that_cannot_be(self, api: Api, client: Client) -> None:
        hook = await make(client)
        await publish(client)
        (delivery_id,) = await kill(api, hook.id)
        await client.hooks.DeleteHook(hooks_pb2.DeleteHookRequest(hook="desk"))
        no = await refused(client.deliveries.ReplayDelivery(deliveries_pb2.ReplayDeliveryRequest(id=delivery_id)))
        assert no.code is StatusCode.FAILED_PRECONDITION
        for call in (
            client.deliveries.ReplayDelivery(deliveries_pb2.ReplayDeliveryRequest(id="none")),
            client.deliveries.GetDelivery(deliveries_pb2.GetDeliveryRequest(id="none")),
            client.deliveries.ReplayDeliveries(deliveries_pb2.ReplayDeliveriesRequest(hook="desk")),
        ):
            assert (await refused(call)).code is StatusCode.NOT_FOUND

    async def test_a_replay_of_a_range(self, api: Api, client: Client) -> None:
        hook = await make(client)
        for _ in range(3):
            await publish(client)
        dead = await kill(api, hook.id, 3)
        made = [(await api.queue.get(each)).created_at for each in dead]
        request = deliveries_pb2.ReplayDeliveriesRequest(
            hook="desk", since=to_timestamp(made[1]), until=to_timestamp(made[2])
        )
        received = await client.deliveries.ReplayDeliveries(request)
        assert (received.replayed, received.HasField("refused"), received.more) == (1, False, False)
        assert [(await api.queue.get(each)).state for each in dead] == ["dead", "pending", "dead"]
        bad = await refused(
            client.deliveries.ReplayDeliveries(
                deliveries_pb2.ReplayDeliveriesRequest(hook="desk", state=deliveries_pb2.DELIVERY_STATE_PENDING)
            )
        )
        assert list(violated(bad.detail(BadRequest))) == ["state"]


class TestWhatIsNoCall:
    async def test_bytes_that_are_no_message(self, client: Client) -> None:
        call = client.channel.unary_unary("/eventhooks.v1.EventService/Publish")
        no = await refused(call(b"\xff\xff\xff"))
        assert no.code is StatusCode.INVALID_ARGUMENT
        assert no.text.startswith("the request is no eventhooks.v1.PublishRequest")

    async def test_they_are_not_even_read_without_the_token(self, guarded: Client) -> None:
        call = guarded.channel.unary_unary("/eventhooks.v1.EventService/Publish")
        assert (await refused(call(b"\xff\xff\xff"))).code is StatusCode.UNAUTHENTICATED

    async def test_a_request_that_is_too_large(self, client: Client) -> None:
        no = await refused(publish(client, text="x" * (1 << 20)))
        assert no.code is StatusCode.RESOURCE_EXHAUSTED

    async def test_a_request_that_is_too_large_once_unpacked(self, client: Client) -> None:
        request = events_pb2.PublishRequest(event="e", data=to_struct({"text": "x" * (1 << 22)}))
        no = await refused(client.events.Publish(request, compression=grpc.Compression.Gzip))
        assert no.code is StatusCode.RESOURCE_EXHAUSTED

    async def test_a_method_that_is_not_there(self, client: Client) -> None:
        call = client.channel.unary_unary("/eventhooks.v1.EventService/Nothing")
        assert (await refused(call(b""))).code is StatusCode.UNIMPLEMENTED

    async def test_data_that_is_too_deep_for_any_reader(self, client: Client) -> None:
        # By hand: protobuf does not write what it cannot read. true, then {"a": ...} around it, again and again.
        value = b"\x20\x01"
        for _ in range(200):
            struct = field(1, field(1, b"a") + field(2, value))
            value = field(5, struct)
        call = client.channel.unary_unary("/eventhooks.v1.EventService/Publish")
        assert (await refused(call(field(1, b"e") + field(2, struct)))).code is StatusCode.INVALID_ARGUMENT


def field(number: int, data: bytes) -> bytes:
    """Return a field of protobuf's wire format that has a length."""
    return bytes([number << 3 | 2]) + encode_varint(len(data)) + data
