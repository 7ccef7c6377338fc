"""The console's pages over a running API: what they say, what their forms do."""

import json
import re
import socket
import time
from pathlib import Path
from typing import NamedTuple, get_args

from kong_eventhooks_plugin.api import advice
from kong_eventhooks_plugin.api.console import replays
from kong_eventhooks_plugin.api.service import hook_states
from kong_eventhooks_plugin.delivery import hook_readiness
from kong_eventhooks_plugin.delivery.activity import PastAttempt
from kong_eventhooks_plugin.delivery.hook_readiness import EndpointStanding
from kong_eventhooks_plugin.delivery.rendezvous import Distribution
from kong_eventhooks_plugin.dispatch import dispatcher
from kong_eventhooks_plugin.model.delivery import Answer, Retry, SentRequest
from kong_eventhooks_plugin.queue.contract import LOSSES, Candidate, HeldBack, Offer, QueueLimits, Settlement
from kong_eventhooks_plugin.queue.forwarding.acceptor import SpoolAcceptor
from kong_eventhooks_plugin.queue.nodes import Node
from kong_eventhooks_plugin.sources.changes import observer
from tests.support.api import Api
from tests.support.clock import START
from tests.support.console import Browser, console_of, visible
from tests.support.events import make_event
from tests.support.queue import attempt, dead, delivered
from tests.support.shared_queue import SharedSqliteQueue

EVIL = '"><script>alert(1)</script><a href="javascript:alert(1)">\'{{7*7}}'


async def three(api: Api, name: str = "h") -> list[str]:
    """A hook with three deliveries: dead, delivered, pending; their ids."""
    hook = await api.service.hooks.create({"name": name, "source": "custom", "handler": "log"})
    ids = [f"{(await api.service.events.publish('deploy', {'n': n})).event_id}_{hook.id}" for n in range(3)]
    await api.queue.claim(hook.id, 2, 60)
    sent = SentRequest("POST", "http://x/***", (("x-a", "1"),), b'{"n":1}', 7)
    await api.queue.settle([dead(ids[0]), delivered(ids[1], headers=(("x-b", "2"),), request=sent, body=b"fine")])
    return ids


async def opened(browser: Browser, path: str) -> str:
    answer = await browser.get(path)
    assert answer.status_code == 200, answer.text
    return visible(answer.text)


async def test_the_first_page_says_that_all_is_well(api: Api) -> None:
    async with console_of(api) as browser:
        page = visible((await browser.log_in()).text)
        assert "All is well 0 hooks, delivering" in page


async def test_the_first_page_says_what_is_wrong_since_when_and_what_to_do(api: Api) -> None:
    await three(api)
    hook = await api.service.hooks.create({"name": "pager", "source": "custom", "handler": "log"})
    api.held[hook.id] = "endpoint_failing"
    async with console_of(api) as browser:
        browser.delivering.standings[hook.id] = EndpointStanding(1_000.0, time.time() - 7_200, None)
        page = visible((await browser.log_in()).text)
        assert "1 thing needs you for 2 h, since" in page
        known = advice.HELD["endpoint_failing"]
        assert f"pager {known.title} for 2 h, since" in page
        assert f"What to do: {known.action}" in page
        assert f"{advice.DEAD.title} for 0 ms, since" in page
        browser.metrics.counts.events_lost["queue_full",] += 3
        page = await opened(browser, "/")
        assert "Events are being lost" in page
        assert "3 lost since the start (queue_full)" in page
        assert page.index(advice.LOSSES["queue_full"].title) < page.index(known.title)


async def test_the_first_page_names_a_hook_that_fails_and_a_queue_that_fills(api: Api) -> None:
    await three(api)
    hook = api.service.hooks.get("h")
    async with console_of(api, limits=QueueLimits(deliveries=1)) as browser:
        for second in range(3):
            browser.delivering.activity.record(hook.id, PastAttempt(time.time() - second, "retry", "status", 503, "d"))
        page = visible((await browser.log_in()).text)
        assert "h fails: its last attempts did not arrive" in page
        assert "The last one: status, 503".lower() in page.lower()
        assert advice.FULL.title in page


async def test_without_its_store_the_first_page_says_so(api: Api) -> None:
    async with console_of(api) as browser:
        await browser.log_in()
        await api.queue.close()
        page = visible((await browser.get("/")).text)
        assert advice.STORE.title in page
        assert (await browser.get("/console/deliveries")).status_code == 503


async def test_a_node_without_others_says_what_it_is(api: Api) -> None:
    async with console_of(api) as browser:
        page = visible((await browser.log_in()).text)
        assert "This node delivers" in page
        assert "In the spool" not in page
        page = await opened(browser, "/console/node")
        assert socket.gethostname() in page
        assert "Delivers yes Store a file of this node, which no other node has" in page


async def test_a_node_says_what_waits_for_the_shared_store_and_what_to_do(api: Api, tmp_path: Path) -> None:
    hook = await api.service.hooks.create({"name": "h", "source": "custom", "handler": "log"})
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    shared = SharedSqliteQueue(folder / "shared.db", time.time)
    shared.away = True
    spool = SpoolAcceptor(folder, shared, lambda reason: None)
    await spool.open()
    spool.forward()
    try:
        await spool.offer(Offer(make_event(), (Candidate(hook.id, "custom"),)))
        assert spool.forwarding_error() is not None
        async with console_of(api, spool=spool, limits=QueueLimits(deliveries=2)) as browser:
            page = visible((await browser.log_in()).text)
            assert f"{advice.SHARED_STORE.title} for" in page
            assert "the shared store is away; 1 event waits on this node, the oldest for" in page
            assert f"What to do: {advice.SHARED_STORE.action}" in page
            assert advice.ERROR.title not in page
            assert advice.SPOOL_FULL.title in page
            assert "In the spool 1 the oldest for" in page
            page = await opened(browser, "/console/node")
            assert "Shared store cannot be reached" in page
            assert "Events that wait 1 of at most 2" in page
            assert f"What to do: {advice.SHARED_STORE.action}" in page
    finally:
        await spool.close()


class Members(NamedTuple):
    process: str
    distribution: Distribution


async def test_a_node_says_which_nodes_share_the_store_and_what_they_deliver(api: Api) -> None:
    await api.service.hooks.create({"name": "h", "source": "custom", "handler": "log"})
    ours = Node("p", "id-1", "gateway-1", "1.0", started_at=START, seen_at=START)
    gone = Node("q", "id-2", "gateway-2", "0.9", state="gone", started_at=START, seen_at=START - 7)
    async with console_of(api, members=Members("p", Distribution([gone, ours]))) as browser:
        await browser.log_in()
        page = await opened(browser, "/console/node")
        assert "gateway-1 (this one) id-1 live 1.0" in page
        assert "ago h gateway-2 id-2 gone 0.9" in page


async def test_hooks_with_their_states(api: Api) -> None:
    await three(api)
    off = await api.service.hooks.create({"name": "off-one", "source": "custom", "handler": "log", "enabled": False})
    held = await api.service.hooks.create({"name": "held-one", "source": "custom", "handler": "log", "tags": ["ci"]})
    api.held[held.id] = "breaker_open"
    async with console_of(api) as browser:
        await browser.log_in()
        browser.delivering.activity.record(held.id, PastAttempt(time.time(), "retry", "status", 500, "d"))
        page = await opened(browser, "/console/hooks")
        assert f"held held-one {advice.HELD['breaker_open'].title} ci" in page
        assert page.index("held-one") < page.index("on h") < page.index("off off-one")
        assert "off-one" not in await opened(browser, "/console/hooks?state=on")
        assert "held-one" in await opened(browser, "/console/hooks?q=CI")
        assert "No hooks match" in await opened(browser, "/console/hooks?q=nobody")
        assert f"It {advice.HELD['breaker_open'].title}." in await opened(browser, f"/console/hooks/{held.id}")
        assert "Enable" in await opened(browser, f"/console/hooks/{off.id}")


async def test_a_hook_is_made_changed_switched_and_removed(api: Api) -> None:
    form = {
        "handler": "webhook-custom", "name": "chat", "source": "custom", "event": "", "snooze": "60", "enabled": "true",
        "filter": "data.n > 1", "tags": "a\r\nb c\r\n", "config.url": "http://127.0.0.1:1/x", "config.method": "POST",
        "config.headers": "x-key: secret-value\r\ncontent-type: application/json", "config.secret": "hunter2hunter2",
        "config.payload": '{"text": "{{ event }}"}', "config.payload_format": "true", "config.ssl_verify": "true",
        "config.body_format": "true", "config.retry.attempts": "3", "config.retry.schedule": "[1, 2]",
    }  # fmt: skip
    async with console_of(api) as browser:
        await browser.log_in()
        made = await browser.post("/console/hooks/new", form, page="/console/hooks/new?handler=webhook-custom")
        assert "chat on" in visible(made.text)
        hook = api.service.hooks.get("chat")
        assert (hook.snooze, hook.filter, hook.tags) == (60, "data.n > 1", ("a", "b c"))
        assert hook.config["headers"] == {"x-key": "secret-value", "content-type": "application/json"}
        assert (hook.config["payload"], hook.config["secret"]) == ({"text": "{{ event }}"}, "hunter2hunter2")
        assert hook.config["retry"] == {"attempts": 3, "schedule": [1, 2]}
        edit = f"/console/hooks/{hook.id}/edit"
        page = (await browser.get(edit)).text
        assert "hunter2" not in page + made.text
        assert "secret-value" not in page + made.text
        changed = {
            **form, "snooze": "", "config.secret": "", "config.retry.attempts": "", "config.retry.schedule": "",
            "config.headers": "x-key: ***\nx-new: 1",
        }  # fmt: skip
        await browser.post(edit, changed)
        hook = api.service.hooks.get("chat")
        assert (hook.snooze, hook.config["secret"]) == (None, "hunter2hunter2")
        assert hook.config.get("retry") is None
        assert hook.config["headers"] == {"x-key": "secret-value", "x-new": "1"}
        refused = await browser.post(edit, {**changed, "config.headers": "a: b\n" * 1_001})
        assert "expected at most 1000 lines" in visible(refused.text)
        await browser.post(edit, {**changed, "remove": "secret"})
        assert api.service.hooks.get("chat").config.get("secret") is None
        await browser.post(f"/console/hooks/{hook.id}/switch", {"enabled": "false"}, page=edit)
        assert not api.service.hooks.get("chat").enabled
        assert "chat" not in visible((await browser.post(f"/console/hooks/{hook.id}/delete", {})).text)


async def test_a_wrong_form_is_shown_again_with_its_errors(api: Api) -> None:
    form = {"handler": "webhook", "name": "no good", "source": "custom", "config.url": "x", "snooze": "soon",
            "config.headers": "no colon"}  # fmt: skip
    async with console_of(api) as browser:
        await browser.log_in()
        answer = await browser.post("/console/hooks/new", form, page="/console/hooks/new?handler=webhook")
        assert answer.status_code == 400
        assert "expected a number" in answer.text
        assert "expected lines of the form name: value" in answer.text
        answer = await browser.post("/console/hooks/new", {**form, "snooze": "", "config.headers": ""},
                                    page="/console/hooks/new?handler=webhook")  # fmt: skip
        assert 'value="no good"' in answer.text
        assert re.search(r'id="f-config-url-error">[^<]*http', answer.text)
        assert re.search(r'id="f-name-error">expected 1 to 128', answer.text)
        await three(api)
        form |= {"name": "h", "snooze": "", "config.headers": "", "config.url": "http://127.0.0.1:1/"}
        answer = await browser.post("/console/hooks/new", form, page="/console/hooks/new?handler=webhook")
        assert (answer.status_code, 'id="f-name-error"' in answer.text) == (400, True)


async def test_a_declared_hook_is_changed_where_it_is_declared(api: Api) -> None:
    api.declare({"name": "filed", "source": "custom", "handler": "log"})
    async with console_of(api) as browser:
        await browser.log_in()
        page = await opened(browser, "/console/hooks/filed")
        assert "Declared in /etc/kong/kong.yml" in page
        assert "Delete" not in page
        answer = await browser.post("/console/hooks/filed/delete", {})
        assert answer.status_code == 405


async def test_a_test_shows_what_was_answered(api: Api) -> None:
    await three(api)
    async with console_of(api) as browser:
        await browser.log_in()
        page = "/console/hooks/h"
        sent = await browser.post(f"{page}/test", {"data": '{"n": 5}'}, page=page)
        assert "It arrived. The endpoint answered 200." in visible(sent.text)
        assert api.recorders["log"].jobs[-1].event.data == {"n": 5}
        assert "That is not JSON" in (await browser.post(f"{page}/test", {"data": "{"}, page=page)).text
        assert "expected a JSON object" in (await browser.post(f"{page}/test", {"data": "[]"}, page=page)).text
        api.recorders["log"].outcome = Retry("status", "answered 503", Answer(503, b"so sorry"))
        failed = visible((await browser.post(f"{page}/test", {"data": "{}"}, page=page)).text)
        assert "status: answered 503" in failed
        assert "so sorry" in failed


async def test_a_delivery_that_is_due_says_what_it_waits_for(api: Api) -> None:
    ordered = {"url": "http://127.0.0.1:1/x", "ordered": True}
    hooks = [
        await api.service.hooks.create({"name": "due", "source": "custom", "handler": "log"}),
        await api.service.hooks.create({"name": "off", "source": "custom", "handler": "log"}),
        await api.service.hooks.create({"name": "row", "source": "custom", "handler": "webhook", "config": ordered}),
    ]
    api.held[hooks[1].id] = "breaker_open"
    await api.service.events.publish("deploy", {})
    async with console_of(api) as browser:
        await browser.log_in()
        page = await opened(browser, "/console/deliveries")
        for name, waits in (("due", "due"), ("off", "held: breaker_open"), ("row", "in its turn")):
            assert re.search(rf"custom / deploy {name} 0 \S+( \S+ ago)? {waits}", page), (name, page)


async def test_deliveries_are_filtered_and_paged(api: Api) -> None:
    ids = await three(api)
    async with console_of(api) as browser:
        await browser.log_in()
        page = (await browser.get("/console/deliveries?state=dead&hook=h&source=custom&since=2020-01-01T00:00")).text
        assert re.findall(r'href="/console/deliveries/([^"]+)"', page) == [ids[0]]
        assert "No deliveries match" in await opened(browser, "/console/deliveries?until=2020-01-01T00:00:00")
        for bad in ("state=x", "since=x", "offset=x", "since=2030-01-01T00:00&until=2020-01-01T00:00"):
            assert (await browser.get(f"/console/deliveries?{bad}")).status_code == 400


async def test_one_delivery_with_its_request_and_answer(api: Api) -> None:
    ids = await three(api)
    async with console_of(api) as browser:
        await browser.log_in()
        page = await opened(browser, f"/console/deliveries/{ids[1]}")
        for text in ("POST http://x/***", "x-a 1", '"n": 1', "x-b 2", "fine", "delivered"):
            assert text in page
        assert "Not recorded" in await opened(browser, f"/console/deliveries/{ids[0]}")
        assert (await browser.get("/console/deliveries/nobody_x")).status_code == 404


async def test_replays_one_and_a_selection_with_their_progress(api: Api) -> None:
    ids = await three(api)
    hook = api.service.hooks.get("h")
    async with console_of(api) as browser:
        await browser.log_in()
        page = await browser.post(
            "/console/replays", {"delivery": [ids[0], ids[1], "gone_x"]}, page="/console/deliveries"
        )
        assert "0 of 2 settled: 0 delivered, 0 dead, 2 under way" in visible(page.text)
        assert 'data-refresh="1"' in page.text
        assert "gone_x"[-8:] in page.text
        await api.queue.claim(hook.id, 3, 60)
        await api.queue.settle([delivered(ids[0], 2), delivered(ids[1], 2)])
        page = await browser.get(str(page.url))
        assert "2 of 2 settled: 2 delivered" in visible(page.text)
        assert "data-refresh" not in page.text
        again = await browser.post(f"/console/deliveries/{ids[0]}/replay", {}, page=f"/console/deliveries/{ids[0]}")
        assert "pending" in visible(again.text)
        nothing = await browser.post("/console/replays", {}, page="/console/deliveries")
        assert (nothing.status_code, "Nothing is selected" in nothing.text) == (400, True)
        assert (await browser.get("/console/replays/x")).status_code == 404


async def test_replays_are_bounded(api: Api) -> None:
    known = replays.Replays(api.service.deliveries)
    first = await known.start(["x_y"] * 3, 0.0)
    found = known.get(first)
    assert found is not None
    assert len(found.refused) == 1
    for _ in range(replays.KEPT):
        await known.start([], 0.0)
    assert known.get(first) is None


async def test_a_hooks_dead_letters_are_replayed_together(api: Api) -> None:
    await three(api)
    async with console_of(api) as browser:
        await browser.log_in()
        page = await browser.post("/console/hooks/h/replay", {}, page="/console/hooks/h")
        assert "1 delivery is due now." in visible(page.text)


async def test_nothing_was_held_back(api: Api) -> None:
    async with console_of(api) as browser:
        await browser.log_in()
        assert "No hook that an event was for was held back." in await opened(browser, "/console/held-back")
        assert "An event is kept where some hook subscribes to it." in await opened(browser, "/console/events")


async def test_what_was_held_back_and_why(api: Api) -> None:
    await three(api)
    await api.service.hooks.create({"name": "off-one", "source": "custom", "handler": "log", "enabled": False})
    await api.service.events.publish("release", {"n": 9})
    async with console_of(api) as browser:
        browser.metrics.counts.held_back["off-one", "disabled"] += 1
        await browser.log_in()
        page = await opened(browser, "/console/held-back")
        assert "off-one the hook is disabled 1" in page
        assert "custom / release" in page
        assert "custom / deploy" not in page
        assert "held back off-one : the hook is disabled" in page
        events = await opened(browser, "/console/events?event=deploy")
        assert events.count("custom / deploy") == 3
        assert "custom / release" not in events


async def test_a_preview_of_a_filter_on_a_recorded_event(api: Api) -> None:
    ids = await three(api)
    event_id, _, hook_id = ids[2].partition("_")
    async with console_of(api) as browser:
        await browser.log_in()
        delivery = f"/console/deliveries/{ids[2]}"
        path = f"/console/hooks/{hook_id}/preview?event_id={event_id}"
        assert f'<form method="post" action="{path}"' in (await browser.get(delivery)).text
        page = visible((await browser.post(path, {}, page=delivery)).text)
        assert "It fires" in page
        assert event_id in page
        form = {"event_id": event_id, "filter": "data.n > 5", "enabled": "true", "config.level": "notice"}
        tried = visible((await browser.post("/console/hooks/h/preview", form)).text)
        assert "It does not fire" in tried
        assert "data.n > 5 false" in tried
        assert api.service.hooks.get("h").filter is None
        wrong = await browser.post("/console/hooks/h/preview", {**form, "filter": "data.n >"})
        assert 'class="error"' in wrong.text
        unknown = await browser.post("/console/hooks/h/preview?event_id=nobody", {}, page="/console/hooks/h")
        assert unknown.status_code == 400


async def test_a_get_of_a_preview_runs_no_code_of_the_hook(api: Api) -> None:
    """A page of another site can ask for it, where no token is set or with a link."""
    hook = {"name": "h", "source": "custom", "handler": "log", "filter": 'data.message != ""'}
    await api.service.hooks.create(hook)
    async with console_of(api, token=None) as browser:
        page = await opened(browser, "/console/hooks/h/preview")
        assert "data.message" in page
        assert "It fires" not in page
        assert "It does not fire" not in page
        shown = visible((await browser.post("/console/hooks/h/preview", {})).text)
        assert "It fires" in shown
        assert 'data.message != "" true' in shown


async def test_nothing_from_outside_is_markup(api: Api) -> None:
    """Stored attacks by event names and data, answers, headers, errors; reflected ones by queries and forms."""
    api.declare({"name": "h", "source": "custom", "handler": "log"}, path=f"/etc/{EVIL}.yml")
    hook = api.service.hooks.get("h")
    name = f"{(await api.service.events.publish(EVIL, {EVIL: EVIL})).event_id}_{hook.id}"
    await api.queue.claim(hook.id, 1, 60)
    sent = SentRequest(EVIL, f"javascript:{EVIL}", ((EVIL, EVIL),), EVIL.encode(), 1_000)
    tried = attempt(1, "discard", headers=((EVIL, EVIL),), body=EVIL.encode(), request=sent, detail=EVIL, error=EVIL)
    await api.queue.settle([Settlement(name, "dead", tried, reason=EVIL)])
    api.held[hook.id] = f"unresolved: {EVIL}"
    paths = [
        "/", "/console/hooks", "/console/hooks/h", f"/console/deliveries/{name}", "/console/deliveries",
        "/console/events", "/console/held-back", "/console/live", "/console/hooks/h/preview",
    ]  # fmt: skip
    queries = [
        f"{path}?{field}={EVIL}" for path in paths for field in ("q", "hook", "source", "event", "next", "offset")
    ]
    async with console_of(api) as browser:
        await browser.log_in()
        made_up = (
            f"/console/hooks/{EVIL}", f"/console/deliveries/{EVIL}", f"/console/hooks/new?handler={EVIL}",
            f"/console/hooks/new?handler=log&source={EVIL}", f"/console/login?next={EVIL}",
        )  # fmt: skip
        for path in (*paths, *queries, *made_up):
            page = (await browser.get(path)).text
            assert "<script>" not in page, path
            assert not re.search(r'(href|action|src|formaction)="(?![/#"])', page), path
            assert not re.search(r"<[^>]*\son\w+=", page), path
            assert "style=" not in page
        form = {"handler": "log", "name": EVIL, "source": EVIL, "filter": EVIL, "tags": EVIL}
        posted = await browser.post("/console/hooks/new", form, page="/console/hooks/new?handler=log")
        assert (posted.status_code, "<script>" in posted.text) == (400, False)
        assert "&lt;script&gt;" in posted.text


async def test_large_data_is_cut(api: Api) -> None:
    hook = await api.service.hooks.create({"name": "h", "source": "custom", "handler": "log"})
    receipt = await api.service.events.publish("big", {"x": "y" * 300_000, "list": [[1, 2]] * 3_000})
    async with console_of(api) as browser:
        await browser.log_in()
        for path in (f"/console/deliveries/{receipt.event_id}_{hook.id}", "/console/events"):
            page = (await browser.get(path)).text
            assert len(page) < 60_000
            assert "… (cut)" in page


def test_every_reason_has_its_advice() -> None:
    words = re.findall(r"^(\w+) {2,}\S|^(\w+), ", f"{hook_readiness.__doc__}\n{hook_states.__doc__}", re.MULTILINE)
    reasons = {first or second for first, second in words} - {"reason", "hook_removed"}
    assert reasons <= set(advice.HELD), reasons - set(advice.HELD)
    assert set(advice.HELD_BACK) == set(get_args(HeldBack))
    lost = re.findall(r"^(\w+)(?:, \.\.\.)? {2,}\S", f"{dispatcher.__doc__}\n{observer.__doc__}", re.MULTILINE)
    bugs = {"unreadable", "source_failed", "dispatch_failed", "refused"}
    assert {*lost, *LOSSES} == {*advice.LOSSES, *bugs}


async def test_live_events_over_the_session(api: Api) -> None:
    async with console_of(api) as browser:
        await browser.log_in()
        hook = await api.service.hooks.create({"name": "h", "source": "custom", "handler": "log"})
        assert 'data-live="/console/stream?source=custom"' in (await browser.get("/console/live?source=custom")).text
        async with browser.client.stream("GET", "/console/stream?source=custom") as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("retry")
            await api.service.events.publish("deploy", {"n": 1})
            while not (line := await anext(lines)).startswith("data:"):
                pass
            assert json.loads(line.removeprefix("data:"))["fired"][0]["event_hook"]["id"] == hook.id
        foreign = await browser.get("/console/stream", headers={"sec-fetch-site": "cross-site"})
        assert foreign.status_code == 403


async def test_other_paths_are_the_apis(api: Api) -> None:
    async with console_of(api) as browser:
        for path in ("/console", "/console/"):
            assert (await browser.get(path)).headers["location"] == "/"
        answer = await browser.get("/console/nothing")
        assert (answer.status_code, answer.json()) == (404, {"message": "Not found"})
        assert (await browser.get("/console/event-hooks")).json()["data"] == [], "a workspace of that name"
