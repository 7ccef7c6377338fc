"""/event-hooks over HTTP: answers, errors and lists as Kong's Admin API gives them. Quoted texts are a real Kong's."""

import json
from typing import Any, ClassVar

import httpx
import pytest

from kong_eventhooks_plugin.model.delivery import Answer, Retry
from kong_eventhooks_plugin.model.ids import hook_id
from tests.support.api import Api

LOG = {"source": "custom", "handler": "log"}
ID = "c57340ab-9fed-40fd-bb7e-1cef8d37c2df"
NOT_FOUND = {"message": "Not found"}
PARTS = "multipart/form-data; boundary=b"


def part(name: bytes) -> bytes:
    """The head of a part."""
    return b'Content-Disposition: form-data; name="%s"\r\n\r\n' % name


async def test_a_hooks_life(client: httpx.AsyncClient) -> None:
    made = await client.post("/event-hooks", json={**LOG, "name": "a"})
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/json; charset=utf-8"
    hook = made.json()
    assert (hook["id"], hook["name"], hook["config"]) == (hook_id("a"), "a", {"level": "notice"})
    for key in (hook["id"], "a"):
        got = await client.get(f"/event-hooks/{key}")
        assert (got.status_code, got.json()) == (200, hook)
    changed = await client.patch("/event-hooks/a", json={"snooze": 60})
    assert (changed.status_code, changed.json()["snooze"]) == (200, 60)
    replaced = await client.put(f"/event-hooks/{hook['id']}", json=LOG)
    assert (replaced.status_code, replaced.json()["snooze"], replaced.json()["name"]) == (200, None, None)
    gone = await client.delete(f"/event-hooks/{hook['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    for again in (await client.get("/event-hooks/a"), await client.delete(f"/event-hooks/{hook['id']}")):
        assert (again.status_code, again.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize("workspace", ["", "/default", "/team-a"])
async def test_every_workspace_has_the_same_hooks(api: Api, client: httpx.AsyncClient, workspace: str) -> None:
    hook = (await client.post(f"{workspace}/event-hooks", json={**LOG, "name": "a", "handler": "webhook",
                                                                "config": {"url": "http://x/"}})).json()  # fmt: skip
    assert (await client.get(f"{workspace}/event-hooks/a")).json() == hook
    assert [one["id"] for one in (await client.get(f"{workspace}/event-hooks")).json()["data"]] == [hook["id"]]
    assert (await client.get(f"{workspace}/event-hooks/a/ping")).status_code == 200
    assert (await client.post(f"{workspace}/event-hooks/a/test", json={})).status_code == 200
    assert "custom" in (await client.get(f"{workspace}/event-hooks/sources")).json()["data"]
    assert (await client.get(f"{workspace}/event-hooks/a/deliveries")).json() == {"data": [], "next": None}
    assert (await client.patch(f"{workspace}/event-hooks/a", json={"snooze": 5})).status_code == 200
    assert (await client.put(f"{workspace}/event-hooks/b", json=LOG)).status_code == 200
    assert (await client.delete(f"{workspace}/event-hooks/a")).status_code == 204


async def test_a_slash_at_the_end(client: httpx.AsyncClient) -> None:
    await client.put("/event-hooks/a", json=LOG)
    for path in ("/event-hooks/", "/event-hooks/a/", "/default/event-hooks/sources/", "/deliveries/"):
        assert (await client.get(path)).status_code == 200


async def test_head_and_options(client: httpx.AsyncClient) -> None:
    head = await client.head("/event-hooks")
    assert (head.status_code, head.content) == (200, b"")
    options = await client.options("/event-hooks")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert "access-control-allow-origin" not in options.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/event-hooks"), ("DELETE", "/event-hooks"), ("PATCH", "/event-hooks"), ("POST", "/event-hooks/a"),
     ("POST", "/event-hooks/a/ping"), ("GET", "/event-hooks/a/test"), ("POST", "/event-hooks/sources"),
     ("DELETE", "/deliveries"), ("TRACE", "/event-hooks"), ("HEAD", "/events/stream")],
)  # fmt: skip
async def test_a_method_that_is_not_there(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"]
    if method != "HEAD":
        assert answer.json() == {"message": "Method not allowed"}


@pytest.mark.parametrize("path", ["/", "/nope", "/event-hooks/a/b", "/event-hooks/sources/a/b/c", "/a/b/event-hooks"])
async def test_a_path_that_is_not_there(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/event-hooks/x"), ("PATCH", "/event-hooks/x"), ("DELETE", "/event-hooks/x"),
     ("GET", f"/event-hooks/{ID}"), ("GET", "/event-hooks/x/ping"), ("POST", "/event-hooks/x/test"),
     ("GET", "/event-hooks/x/deliveries"), ("POST", "/event-hooks/x/replay"), ("GET", "/deliveries/x"),
     ("POST", "/deliveries/x/replay"), ("GET", "/event-hooks/sources/x"), ("GET", "/event-hooks/sources/crud/no-x"),
     ("GET", "/event-hooks/%00"), ("GET", "/event-hooks/a%2Fb"), ("GET", "/event-hooks/%ff")],
)  # fmt: skip
async def test_a_thing_that_is_not_there(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


async def test_bad_input_has_kongs_shape(client: httpx.AsyncClient) -> None:
    answer = await client.post("/event-hooks", json={"source": "custom"})
    assert answer.status_code == 400
    assert answer.json() == {
        "code": 2,
        "name": "schema violation",
        "message": "schema violation (handler: required field missing)",
        "fields": {"handler": "required field missing"},
    }


async def test_a_name_and_an_id_in_use(client: httpx.AsyncClient) -> None:
    await client.post("/event-hooks", json={**LOG, "name": "u1", "id": ID})
    name = await client.post("/event-hooks", json={**LOG, "name": "u1"})
    assert (name.status_code, name.json()) == (409, {
        "code": 5, "name": "unique constraint violation", "fields": {"name": "u1"},
        "message": "UNIQUE violation detected on '{name=\"u1\"}'",
    })  # fmt: skip
    taken = await client.post("/event-hooks", json={**LOG, "id": ID})
    assert (taken.status_code, taken.json()) == (400, {
        "code": 3, "name": "primary key violation", "fields": {"id": ID},
        "message": f"primary key violation on key '{{id=\"{ID}\"}}'",
    })  # fmt: skip


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
async def test_declared_hooks_refuse_changes_and_name_their_place(
    api: Api, client: httpx.AsyncClient, method: str
) -> None:
    api.declare({"name": "declared", **LOG})
    where = "/etc/kong/kong.yml: plugins[0].config.hooks[0]"
    for key in ("declared", hook_id("declared")):
        answer = await client.request(method, f"/event-hooks/{key}", json=LOG if method == "PUT" else None)
        assert (answer.status_code, answer.json()) == (405, {
            "code": 12, "name": "operation unsupported", "declared_in": where,
            "message": f"hook 'declared' is declared in {where}; change it there",
        })  # fmt: skip
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert (await client.get("/event-hooks/declared")).json()["declared_in"] == where


class TestLists:
    async def test_paging(self, client: httpx.AsyncClient) -> None:
        made = [(await client.post("/event-hooks", json={**LOG, "tags": ["t"]})).json() for _ in range(5)]
        seen, following = [], "/event-hooks?size=2&tags=t"
        while following:
            page = (await client.get(following)).json()
            assert list(page) in (["data", "next", "offset"], ["data", "next"])
            seen += page["data"]
            following = page["next"]
            if following:
                assert following == f"/event-hooks?offset={page['offset']}&tags=t&size=2"
        assert sorted(seen, key=lambda one: one["id"]) == sorted(made, key=lambda one: one["id"])
        assert seen == sorted(seen, key=lambda one: one["id"])

    async def test_the_next_page_of_a_path_with_anything_in_it(self, client: httpx.AsyncClient) -> None:
        for _ in range(2):
            await client.post("/event-hooks", json=LOG)
        first = (await client.get("/a%2Fb%20c%3F/event-hooks?size=1")).json()
        second = (await client.get(first["next"])).json()
        assert (len(second["data"]), second["next"], second["data"] != first["data"]) == (1, None, True)

    async def test_an_empty_list(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/event-hooks")).json() == {"data": [], "next": None}

    @pytest.mark.parametrize("size", ["0", "1001", "1.5", "-1"])
    async def test_sizes_that_are_none(self, client: httpx.AsyncClient, size: str) -> None:
        answer = await client.get(f"/event-hooks?size={size}")
        message = "size must be an integer between 1 and 1000"
        assert (answer.status_code, answer.json()) == (400, {"code": 9, "name": "invalid size", "message": message})

    @pytest.mark.parametrize("size", ["abc", "", "nan", "1_0"])
    async def test_sizes_that_are_no_number(self, client: httpx.AsyncClient, size: str) -> None:
        for path in ("/event-hooks", "/deliveries", "/events"):
            answer = await client.get(f"{path}?size={size}")
            expected = {"code": 9, "name": "invalid size", "message": "size must be a number"}
            assert (answer.status_code, answer.json()) == (400, expected)

    @pytest.mark.parametrize("size", ["0x10", "1e1", "1000", "1&size=0"])
    async def test_sizes_as_lua_reads_them(self, client: httpx.AsyncClient, size: str) -> None:
        assert (await client.get(f"/event-hooks?size={size}&nonsense=1")).status_code == 200

    @pytest.mark.parametrize("path", ["/event-hooks", "/deliveries", "/events"])
    async def test_an_offset_that_is_none(self, client: httpx.AsyncClient, path: str) -> None:
        answer = await client.get(f"{path}?offset=abc")
        message = "'abc' is not a valid offset: bad json encoding"
        assert (answer.status_code, answer.json()) == (400, {"code": 7, "name": "invalid offset", "message": message})

    async def test_a_tags_filter_that_is_none(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/event-hooks?tags=a,b/x")
        assert (answer.status_code, answer.json()) == (400, {
            "code": 11, "name": "invalid options", "options": {"tags": "invalid filter syntax"},
            "message": "invalid option (tags: invalid filter syntax)",
        })  # fmt: skip

    async def test_tags(self, client: httpx.AsyncClient) -> None:
        await client.put("/event-hooks/a", json={**LOG, "tags": ["x", "y"]})
        await client.put("/event-hooks/b", json={**LOG, "tags": ["y"]})

        async def found(query: str) -> set[str]:
            return {one["name"] for one in (await client.get(f"/event-hooks?{query}")).json()["data"]}

        assert [await found(f"tags={tags}") for tags in ("x,y", "x/y", "y", "z")] == [
            {"a"},
            {"a", "b"},
            {"a", "b"},
            set(),
        ]
        assert await found("tags[]=x") == {"a"}


class TestBodies:
    @pytest.mark.parametrize("body", [b"{", b"", b"\xff", b'"\\ud800"', b"[" * 5_000, b'{"a":1}x'])
    async def test_json_that_is_none(self, client: httpx.AsyncClient, body: bytes) -> None:
        answer = await client.post("/event-hooks", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()) == (400, {"message": "Cannot parse JSON body"})

    @pytest.mark.parametrize("levels", [100, 900])
    async def test_json_that_is_deep(self, client: httpx.AsyncClient, levels: int) -> None:
        body = b'{"config":{"payload":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}}"
        answer = await client.post("/event-hooks", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["message"].endswith(": nested deeper than 32 levels)")

    @pytest.mark.parametrize("body", [b"[1]", b'"x"', b"null", b"5"])
    async def test_json_that_is_no_object(self, client: httpx.AsyncClient, body: bytes) -> None:
        # A real Kong answers 500 here.
        answer = await client.post("/event-hooks", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()) == (400, {"message": "expected a JSON object as the body"})

    @pytest.mark.parametrize(
        "headers",
        [{"content-type": "text/plain"}, {"content-type": "application/yaml"}, {},
         {"content-type": "application/json", "content-encoding": "gzip"},
         {"content-type": "application/json", "content-encoding": "br"}],
    )  # fmt: skip
    async def test_a_type_that_is_not_accepted(self, client: httpx.AsyncClient, headers: dict[str, str]) -> None:
        answer = await client.post("/event-hooks", content=b"x", headers=headers)
        assert answer.status_code == 415
        assert answer.json()["message"]

    async def test_no_body_is_an_empty_one(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/event-hooks")
        assert answer.json()["fields"] == {"source": "required field missing", "handler": "required field missing"}
        await client.put("/event-hooks/a", json=LOG)
        assert (await client.patch("/event-hooks/a")).status_code == 200

    async def test_json_with_a_charset_keeps_its_types(self, client: httpx.AsyncClient) -> None:
        headers = {"content-type": "Application/JSON; charset=utf-8"}
        body = json.dumps({**LOG, "snooze": "60"}).encode()
        answer = await client.post("/event-hooks", content=body, headers=headers)
        assert answer.json()["fields"] == {"snooze": "expected an integer; it is in seconds"}, (
            "as in Kong, only a form's texts are read"
        )

    async def test_a_form(self, client: httpx.AsyncClient) -> None:
        form = {**LOG, "snooze": "60", "on_change": "true", "tags[]": ["a", "b"], "event": "", "created_at": "7"}
        hook = (await client.post("/event-hooks", data=form)).json()
        assert (hook["snooze"], hook["on_change"], hook["tags"], hook["event"]) == (60, True, ["a", "b"], None)
        assert hook["created_at"] == 7

    async def test_a_multipart_form_with_files(self, client: httpx.AsyncClient) -> None:
        files = [
            ("config.functions[]", ("a.lua", b"return 1\n")),
            ("config.functions[]", ("b.lua", "return 'ü'".encode())),
        ]
        hook = await client.post("/event-hooks", data={"source": "crud", "handler": "lambda"}, files=files)
        assert hook.json()["config"]["functions"] == ["return 1\n", "return 'ü'"]

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/x-www-form-urlencoded", b"a=%ff"),
            ("application/x-www-form-urlencoded", b"a=\xff"),
            ("application/x-www-form-urlencoded", b"&".join(b"a%d=" % n for n in range(1_001))),
            ("multipart/form-data", b"x"),
            (PARTS, b"x"),
            (PARTS, b"--b\r\n" + part(b"a") + b"\xff\r\n--b--\r\n"),
            (PARTS, b"--b\r\n" + part(b"\x01") + b"x\r\n--b--\r\n"),
            (PARTS, b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n"),
            (PARTS, b"".join(b"--b\r\n" + part(b"a%d" % n) + b"\r\n" for n in range(1_001)) + b"--b--\r\n"),
        ],
    )  # fmt: skip
    async def test_forms_that_are_none(self, client: httpx.AsyncClient, kind: str, body: bytes) -> None:
        answer = await client.post("/event-hooks", content=body, headers={"content-type": kind})
        assert answer.status_code == 400
        assert answer.json()["message"]

    @pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
    async def test_a_body_that_is_too_large(self, client: httpx.AsyncClient, kind: str) -> None:
        answer = await client.post("/event-hooks", content=b"x" * ((1 << 20) + 1), headers={"content-type": kind})
        assert (answer.status_code, answer.json()) == (413, {"message": "Request body too large"})

    async def test_a_part_that_is_too_large(self, client: httpx.AsyncClient) -> None:
        files = {"config.functions[]": ("a.lua", b"x" * (1 << 20))}
        answer = await client.post("/event-hooks", data={"source": "crud"}, files=files)
        assert answer.status_code == 413
        files = {"config.functions[]": ("a.lua", b"x" * 60_000)}
        made = await client.post("/event-hooks", data={"source": "crud", "handler": "lambda"}, files=files)
        assert made.status_code == 201


class TestPingAndTest:
    HOOK: ClassVar[dict[str, Any]] = {
        "source": "crud",
        "event": "consumers",
        "handler": "webhook",
        "config": {"url": "http://x/"},
    }

    async def test_ping(self, api: Api, client: httpx.AsyncClient) -> None:
        hook = (
            await client.put("/event-hooks/a", json={**self.HOOK, "config": {"url": "http://x/", "secret": "s"}})
        ).json()
        answer = await client.get("/event-hooks/a/ping")
        received = answer.json()
        assert (answer.status_code, received["source"], received["event"]) == (200, "kong:event_hooks", "ping")
        assert received["event_hooks"]["id"] == hook["id"]
        assert received["event_hooks"]["config"] == {
            "url": "http://x/",
            "headers": {},
            "ssl_verify": True,
            "secret": "***",
        }

    async def test_a_handler_without_ping(self, client: httpx.AsyncClient) -> None:
        await client.put("/event-hooks/a", json=LOG)
        answer = await client.get("/event-hooks/a/ping")
        assert (answer.status_code, answer.json()) == (400, {"message": "handler 'log' does not support 'ping'"})

    async def test_test(self, client: httpx.AsyncClient) -> None:
        await client.put("/event-hooks/a", json=self.HOOK)
        data = {"consumer": {"username": "Jane Austen"}, "event": "consumers", "source": "crud"}
        answer = await client.post("/event-hooks/a/test", json=data)
        assert (answer.status_code, answer.json()) == (200, {
            "data": data,
            "result": {"body": "ok", "headers": {"Content-Type": "text/plain", "X-A": "1, 2"}, "status": 200},
            "request": None, "filter": None, "error": None,
        })  # fmt: skip

    async def test_a_test_with_a_form(self, api: Api, client: httpx.AsyncClient) -> None:
        await client.put("/event-hooks/a", json=self.HOOK)
        answer = await client.post("/event-hooks/a/test", data={"entity.username": "Jane", "n": "5"})
        assert answer.json()["data"] == {"entity": {"username": "Jane"}, "n": "5"}

    async def test_where_it_failed(self, api: Api, client: httpx.AsyncClient) -> None:
        await client.put("/event-hooks/a", json=self.HOOK)
        api.recorders["webhook"].outcome = Retry("status", "answered 503", Answer(503, b"why", (("X", "y"),)))
        result = {"body": "why", "headers": {"X": "y"}, "status": 503}
        for answer in (await client.post("/event-hooks/a/test", json={}), await client.get("/event-hooks/a/ping")):
            assert answer.status_code == 500
            assert answer.json() == {
                "message": "answered 503",
                "error": "status",
                "result": result,
                "request": None,
                "filter": None,
            }


async def test_three_levels_of_sources(client: httpx.AsyncClient) -> None:
    everything = (await client.get("/event-hooks/sources")).json()["data"]
    assert everything["custom"] == {}
    assert {"consumers", "consumers:create", "services:delete"} <= everything["crud"].keys()
    assert everything["dao:crud"].keys() == {"create", "update", "delete"}
    for source, events in everything.items():
        assert (await client.get(f"/event-hooks/sources/{source}")).json() == {"data": events}
        for event, about in events.items():
            assert (await client.get(f"/event-hooks/sources/{source}/{event}")).json() == {"data": about}
    limit = everything["rate-limiting-advanced"]["rate-limit-exceeded"]
    assert limit["unique"] == ["consumer", "ip", "service"]
    assert limit["fields"][:6] == ["consumer", "ip", "service", "rate", "limit", "window"]
    assert limit["description"]


async def test_a_held_hook_says_why_and_its_answer_can_be_sent_back(api: Api, client: httpx.AsyncClient) -> None:
    hook = (await client.put("/event-hooks/a", json={"source": "crud", "handler": "log"})).json()
    assert (hook["state"], hook["held"]) == ("on", None)
    api.held = {hook["id"]: "endpoint_gone"}
    shown = (await client.get("/event-hooks/a")).json()
    assert (shown["state"], shown["held"]) == ("held", "endpoint_gone")
    answer = await client.put("/event-hooks/a", json=shown)
    assert answer.status_code == 200, answer.text
