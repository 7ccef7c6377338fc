"""The use cases of /event-hooks, without a server."""

import asyncio
import json
import threading
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.api.service import hooks as hooks_module
from kong_eventhooks_plugin.api.service.entity import definition_of
from kong_eventhooks_plugin.api.service.hook_store import REFRESH_SECONDS
from kong_eventhooks_plugin.api.service.tags import tag_filter
from kong_eventhooks_plugin.errors import (
    BadArgument,
    HookDeclared,
    HookTaken,
    IdTaken,
    StoreUnavailable,
    UnknownHook,
    ValidationError,
)
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import hook_id
from tests.support.api import CAPTURES, RECORDED, Api, running
from tests.support.hooks import at_its_place, other_handlers_fields, with_own_fields

LOG = {"source": "custom", "handler": "log"}
ID = "c57340ab-9fed-40fd-bb7e-1cef8d37c2df"


def named(api: Api) -> list[str]:
    return sorted(hook.name for hook in api.registry.hooks().values())


class TestCreate:
    async def test_a_hook_without_a_name(self, api: Api) -> None:
        hook = await api.service.hooks.create(LOG)
        assert uuid.UUID(hook.id).version == 4
        assert hook.name == hook.id
        assert hook.created_at == hook.updated_at > 1_700_000_000
        assert api.service.hooks.get(hook.id) == hook
        assert api.registry.get(hook.id) == hook, "in force at once"

    async def test_with_a_name_its_id_is_that_of_the_declared_one(self, api: Api) -> None:
        hook = await api.service.hooks.create({**LOG, "name": "alert"})
        assert (hook.name, hook.id) == ("alert", hook_id("alert"))
        assert api.service.hooks.get("alert") == hook

    async def test_a_large_definition_is_validated_beside_the_loop(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        on_the_loop, examined = [], Validation.examined

        def noted(validation: Validation, hook: Any) -> Any:
            on_the_loop.append(threading.current_thread() is threading.main_thread())
            return examined(validation, hook)

        monkeypatch.setattr(Validation, "examined", noted)
        await api.service.hooks.create(LOG)
        with pytest.raises(ValidationError, match=r"^250 schema violations"):
            await api.service.hooks.create({**LOG, **{f"x{number}": 1 for number in range(250)}})
        assert on_the_loop == [True, False]

    async def test_with_an_id(self, api: Api) -> None:
        hook = await api.service.hooks.create({**LOG, "name": "alert", "id": ID.upper(), "created_at": 7})
        assert (hook.id, hook.name, hook.created_at) == (ID, "alert", 7)
        assert api.service.hooks.get(ID.upper()) == hook

    async def test_the_name_of_one_that_was_renamed_is_free(self, api: Api) -> None:
        renamed = await api.service.hooks.create({**LOG, "name": "alert"})
        await api.service.hooks.update("alert", {"name": "other"})
        hook = await api.service.hooks.create({**LOG, "name": "alert"})
        await api.service.hooks.delete("alert")
        again = await api.service.hooks.upsert("alert", LOG)
        assert len({renamed.id, hook.id, again.id}) == 3
        assert named(api) == ["alert", "other"]
        with pytest.raises(IdTaken):
            await api.service.hooks.create({**LOG, "name": "third", "id": renamed.id})

    async def test_what_is_declared_while_it_is_compiled_holds(self, api: Api) -> None:
        await api.service.hooks.create({**LOG, "name": "old"})

        async def check(_: Any) -> dict[str, Any]:
            api.declare({"name": "new", **LOG}, {"name": "old", **LOG})
            return {}

        api.service.hooks._check = check
        with pytest.raises(HookDeclared):
            await api.service.hooks.update("old", {"snooze": 5})
        api.declare({"name": "old", **LOG})
        with pytest.raises(HookTaken):
            await api.service.hooks.create({**LOG, "name": "new"})
        await asyncio.gather(*filter(None, [api.hook_store._cleaning]))
        assert [(hook.name, hook.snooze) for hook in await api.queue.definitions()] == [("old", None)]
        assert {hook.origin.place for hook in api.registry.hooks().values()} == {"file"}

    async def test_unset_fields_may_be_null(self, api: Api) -> None:
        given = dict.fromkeys(("id", "name", "event", "on_change", "snooze", "tags", "created_at", "scope"))
        hook = await api.service.hooks.create({**LOG, **given})
        assert (hook.event, hook.on_change, hook.snooze, hook.tags) == (None, False, None, ())

    async def test_a_name_in_use(self, api: Api) -> None:
        await api.service.hooks.create({**LOG, "name": "alert"})
        for given in ({}, {"id": ID}):
            with pytest.raises(HookTaken, match=r"""^UNIQUE violation detected on '\{name="alert"\}'$""") as refused:
                await api.service.hooks.create({**LOG, "name": "alert", **given})
            assert (type(refused.value), refused.value.value) == (HookTaken, "alert")

    async def test_an_id_in_use(self, api: Api) -> None:
        await api.service.hooks.create({**LOG, "id": ID})
        with pytest.raises(IdTaken, match=r"^primary key violation on key '\{id="):
            await api.service.hooks.create({**LOG, "id": ID})

    async def test_the_name_of_a_declared_hook_is_taken(self, api: Api) -> None:
        api.declare({"name": "alert", **LOG})
        with pytest.raises(HookTaken):
            await api.service.hooks.create({**LOG, "name": "alert"})

    async def test_two_at_once_cannot_get_one_name(self, api: Api) -> None:
        made = [api.service.hooks.create({**LOG, "name": "alert", "id": str(uuid.uuid4())}) for _ in range(5)]
        results = await asyncio.gather(*made, return_exceptions=True)
        assert [type(result) for result in results].count(HookTaken) == 4
        assert named(api) == ["alert"]

    async def test_all_errors_are_in_one_answer(self, api: Api) -> None:
        """Also what only a compiler finds: it is handed what else is good of the hook."""
        given = {
            "source": "custm", "handler": "webhook-custom", "filter": "data.x >", "declared_in": "x", "snooz": 5,
            "config": {"url": "ftp://x", "method": "POST", "payload": {"text": "{{ a "}, "secret": "***",
                       "headers": {"te": "a", "Host": "b"}},
        }  # fmt: skip
        checked: list[Hook] = []

        async def check(hook: Hook) -> dict[str, Any]:
            checked.append(hook)
            return {"filter": "mismatched", "config": {"payload": {"text": "not closed"}}}

        api.service.hooks._check = check
        with pytest.raises(ValidationError) as refused:
            await api.service.hooks.create(given)
        fields = refused.value.fields
        assert fields.pop("source").endswith("; did you mean custom?")
        assert fields == {
            "filter": "mismatched",
            "declared_in": "is read-only: leave it out",
            "snooz": "unknown field; did you mean snooze?",
            "config": {
                "url": "expected a URL that begins with http:// or https:// and contains no spaces",
                "payload": {"text": "not closed"},
                "headers": "te: the header te cannot be set; Host: the header host cannot be set",
                "secret": "'***' is what is shown instead of a secret; send the secret",
            },
        }
        [hook] = checked
        assert (hook.handler, hook.filter, hook.config["payload"]) == (
            "webhook-custom", "data.x >", {"text": "{{ a "},
        )  # fmt: skip
        assert hook.config.keys().isdisjoint({"url", "headers"})

    @pytest.mark.parametrize(
        ("given", "fields"),
        [
            ({}, {"source": "required field missing", "handler": "required field missing"}),
            ({**LOG, "nope": 1}, {"nope": "unknown field"}),
            ({**LOG, "id": "x"}, {"id": "expected a valid UUID"}),
            ({**LOG, "id": 5}, {"id": "expected a valid UUID"}),
            ({**LOG, "id": f"{{{ID}}}"}, {"id": "expected a valid UUID"}),
            ({**LOG, "created_at": "5"}, {"created_at": "expected an integer"}),
            ({**LOG, "created_at": True}, {"created_at": "expected an integer"}),
            ({**LOG, "created_at": 1.5}, {"created_at": "expected an integer"}),
            ({**LOG, "updated_at": 1 << 40}, {"updated_at": "expected an integer"}),
            ({**LOG, "declared_in": "x"}, {"declared_in": "is read-only: leave it out"}),
            ({**LOG, "name": 5}, {"name": "expected a string"}),
            ({"handler": "webhook", "source": "custom"}, {"config": {"url": "required field missing"}}),
            (
                {**LOG, "source": "crud", "event": "x"},
                {"event": "expected one of: consumers, consumers:create, admins"},
            ),
            (
                {**LOG, "id": "x", "snooze": "y"},
                {"id": "expected a valid UUID", "snooze": "expected an integer; it is in seconds"},
            ),
        ],
    )
    async def test_what_is_refused(self, api: Api, given: dict[str, Any], fields: dict[str, Any]) -> None:
        with pytest.raises(ValidationError) as refused:
            await api.service.hooks.create(given)
        assert refused.value.fields == fields
        assert named(api) == []

    async def test_a_name_that_would_be_taken_for_an_id(self, api: Api) -> None:
        with pytest.raises(ValidationError, match="no UUID"):
            await api.service.hooks.create({**LOG, "name": ID})

    async def test_a_mask_is_not_accepted_as_a_filter(self, api: Api) -> None:
        with pytest.raises(ValidationError, match=r"filter: .* send the filter"):
            await api.service.hooks.create({**LOG, "filter": "***"})

    @pytest.mark.parametrize(
        "config",
        [
            {"secret": "***"},
            {"secret": "s", "previous_secret": "***"},
            {"headers": {"authorization": "***"}},
            {"url": "http://x/***"},
            {"method": "POST", "payload": {"blocks": [{"text": "***"}]}},
        ],
    )
    async def test_a_mask_is_not_accepted_as_a_secret(self, api: Api, config: dict[str, Any]) -> None:
        handler = "webhook-custom" if "method" in config else "webhook"
        given = {"source": "custom", "handler": handler, "config": {"url": "http://x/", **config}}
        with pytest.raises(ValidationError, match="instead of a secret"):
            await api.service.hooks.create(given)

    async def test_a_masked_function_is_not_accepted(self, api: Api) -> None:
        given = {"source": "custom", "handler": "lambda", "config": {"functions": ["***"]}}
        with pytest.raises(ValidationError, match="instead of a secret"):
            await api.service.hooks.create(given)

    async def test_what_only_a_compiler_can_find(self, api: Api) -> None:
        async def check(hook: Any) -> dict[str, Any]:
            return {"config": {"functions": ["line 1: ')' expected"]}} if "(" in str(hook.config) else {}

        api.service.hooks._check = check
        await api.service.hooks.create({"source": "custom", "handler": "lambda", "config": {"functions": ["x"]}})
        with pytest.raises(ValidationError, match="'\\)' expected"):
            await api.service.hooks.create({"source": "custom", "handler": "lambda", "config": {"functions": ["("]}})
        assert len(api.registry.hooks()) == 1

    async def test_there_is_a_limit(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kong_eventhooks_plugin.api.service.hook_store.MAX_HOOKS", 2)
        for _ in range(2):
            await api.service.hooks.create(LOG)
        with pytest.raises(BadArgument, match="no more than 2 hooks"):
            await api.service.hooks.create(LOG)


class TestDurable:
    async def test_stored_before_it_is_answered(self, api: Api) -> None:
        hook = await api.service.hooks.create(LOG)
        assert await api.queue.definitions() == [hook]
        assert api.persisted == [], "once is enough"

    async def test_a_store_that_fails_leaves_everything_as_it_was(self, api: Api) -> None:
        hook = await api.service.hooks.create({**LOG, "name": "kept"})
        await api.queue.close()
        for change in (
            api.service.hooks.create({**LOG, "name": "new"}),
            api.service.hooks.update("kept", {"snooze": 5}),
            api.service.hooks.delete("kept"),
        ):
            with pytest.raises(StoreUnavailable):
                await change
        assert api.registry.hooks() == {hook.id: hook}

    async def test_there_after_a_restart(self, tmp_path: Path) -> None:
        async with running(tmp_path) as api:
            made = [await api.service.hooks.create({**LOG, **more}) for more in ({}, {"name": "a", "id": ID})]
        async with running(tmp_path) as api:
            assert [api.service.hooks.get(hook.id) for hook in made] == made
            assert api.changes == [], "nothing changed, nobody is pinged"
            await api.service.hooks.delete("a")
        async with running(tmp_path) as api:
            assert list(api.registry.hooks()) == [made[0].id]

    async def test_nothing_changes_before_the_store_was_read(self, tmp_path: Path) -> None:
        async with running(tmp_path) as api:
            api.hook_store._loaded = False
            with pytest.raises(StoreUnavailable, match="not open yet"):
                await api.service.hooks.create(LOG)


class TestUpdate:
    async def test_what_is_given_changes_and_the_rest_stays(self, api: Api) -> None:
        before = await api.service.hooks.create({**LOG, "name": "a", "created_at": 7, "tags": ["x"]})
        after = await api.service.hooks.update("a", {"snooze": 5})
        assert (after.snooze, after.tags, after.created_at) == (5, ("x",), 7)
        assert after.updated_at >= before.updated_at
        assert [(change.before, change.after) for change in api.changes] == [(None, before), (before, after)]

    async def test_without_a_change_no_listener_is_called(self, api: Api) -> None:
        before = await api.service.hooks.create({**LOG, "name": "a"})
        after = await api.service.hooks.update("a", {"created_at": 5})
        assert (before.created_at, after.created_at) != (5, before.created_at)
        assert len(api.changes) == 1

    async def test_a_hook_gets_and_loses_its_name(self, api: Api) -> None:
        hook = await api.service.hooks.create(LOG)
        assert (await api.service.hooks.update(hook.id, {"snooze": 5})).name == hook.id
        assert (await api.service.hooks.update(hook.id, {"name": "a"})).id == hook.id
        assert (await api.service.hooks.update("a", {"name": None})).name == hook.id

    async def test_a_name_in_use(self, api: Api) -> None:
        await api.service.hooks.create({**LOG, "name": "a"})
        await api.service.hooks.create({**LOG, "name": "b"})
        with pytest.raises(HookTaken):
            await api.service.hooks.update("b", {"name": "a"})
        assert (await api.service.hooks.update("b", {"name": "b"})).name == "b"

    async def test_the_id_stays(self, api: Api) -> None:
        hook = await api.service.hooks.create(LOG)
        assert (await api.service.hooks.update(hook.id, {"id": ID})).id == hook.id

    async def test_unknown_and_declared(self, api: Api) -> None:
        api.declare({"name": "declared", **LOG})
        with pytest.raises(UnknownHook):
            await api.service.hooks.update("nobody", {})
        with pytest.raises(HookDeclared, match=r"/etc/kong/kong.yml: plugins\[0\].config.hooks\[0\]; change it there"):
            await api.service.hooks.update("declared", {})

    async def test_as_a_real_kong_merges(self, tmp_path: Path) -> None:
        first, *recorded = map(json.loads, (CAPTURES / "patch-answers.jsonl").read_text().splitlines())
        async with running(tmp_path, known=RECORDED) as api:
            for one in recorded:
                before = with_own_fields(first["before"])
                await api.service.hooks.upsert("a", {k: v for k, v in before.items() if k != "name"})
                if other_handlers_fields({"handler": before["handler"], "config": None} | one["patch"]):
                    with pytest.raises(ValidationError, match="unknown field"):
                        await api.service.hooks.update("a", one["patch"])
                elif one["status"] == 200:
                    hook = await api.service.hooks.update("a", one["patch"])
                    received = definition_of(hook, hook.handler)
                    expected = with_own_fields(one["answer"])
                    config = {name: received["config"].get(name) for name in expected["config"]}
                    # Kong tells an unset list from an empty one; what a hook stores does not.
                    assert (received["tags"] or None, config) == (expected["tags"] or None, expected["config"]), one[
                        "patch"
                    ]
                    rest = {"source", "handler", "event", "snooze", "enabled", "name"}
                    assert {name: received[name] for name in rest} == {name: expected[name] for name in rest}
                elif one["patch"] == {"name": None}:
                    await api.service.hooks.delete((await api.service.hooks.update("a", one["patch"])).id)
                else:
                    with pytest.raises(ValidationError) as refused:
                        await api.service.hooks.update("a", one["patch"])
                    assert refused.value.fields == at_its_place(one["answer"]["fields"]["config"])


class TestUpsert:
    async def test_by_id(self, api: Api) -> None:
        made = await api.service.hooks.upsert(ID, {**LOG, "snooze": 5, "id": str(uuid.uuid4())})
        assert (made.id, made.name, made.snooze) == (ID, ID, 5)
        replaced = await api.service.hooks.upsert(ID, {**LOG, "name": "a"})
        assert (replaced.id, replaced.name, replaced.snooze) == (ID, "a", None), "the path's id, and nothing of before"
        assert replaced.created_at == made.created_at

    async def test_by_name(self, api: Api) -> None:
        made = await api.service.hooks.upsert("alert", {**LOG, "name": "other"})
        assert (made.id, made.name) == (hook_id("alert"), "alert")
        kept = await api.service.hooks.create({**LOG, "name": "b", "id": ID})
        assert (await api.service.hooks.upsert("b", LOG)).id == kept.id

    async def test_what_is_refused(self, api: Api) -> None:
        api.declare({"name": "declared", **LOG})
        await api.service.hooks.create({**LOG, "name": "a"})
        with pytest.raises(HookDeclared):
            await api.service.hooks.upsert("declared", LOG)
        with pytest.raises(HookTaken):
            await api.service.hooks.upsert(ID, {**LOG, "name": "a"})
        for name in ("-a", "a b", "x" * 129):
            with pytest.raises(ValidationError) as refused:
                await api.service.hooks.upsert(name, LOG)
            assert list(refused.value.fields) == ["name"]


class TestDelete:
    async def test_removed(self, api: Api) -> None:
        hook = await api.service.hooks.create({**LOG, "name": "a"})
        await api.service.hooks.delete("a")
        assert await api.queue.definitions() == []
        assert api.changes[-1].before == hook
        for key in ("a", hook.id):
            with pytest.raises(UnknownHook):
                await api.service.hooks.delete(key)

    async def test_a_name_is_free_again_at_once(self, api: Api) -> None:
        await api.service.hooks.create({**LOG, "name": "a"})
        await api.service.hooks.delete("a")
        await api.service.hooks.create({**LOG, "name": "a", "snooze": 9})
        assert [hook.snooze for hook in await api.queue.definitions()] == [9]

    async def test_declared(self, api: Api) -> None:
        api.declare({"name": "declared", **LOG})
        with pytest.raises(HookDeclared):
            await api.service.hooks.delete("declared")


class TestPage:
    async def test_declared_ones_are_listed_with_them_by_id(self, api: Api) -> None:
        api.declare(*({"name": f"d{n}", **LOG} for n in range(3)))
        for _ in range(4):
            await api.service.hooks.create(LOG)
        seen, offset = [], None
        while True:
            page = api.service.hooks.page(2, offset)
            seen += [hook.id for hook in page.hooks]
            if (offset := page.next_offset) is None:
                break
        assert seen == sorted(api.registry.hooks())

    async def test_a_page_goes_on_though_its_last_hook_went(self, api: Api) -> None:
        for _ in range(3):
            await api.service.hooks.create(LOG)
        first = api.service.hooks.page(1)
        await api.service.hooks.delete(first.hooks[0].id)
        assert len(api.service.hooks.page(5, first.next_offset).hooks) == 2

    async def test_tags(self, api: Api) -> None:
        await api.service.hooks.create({**LOG, "name": "a", "tags": ["x", "y"]})
        await api.service.hooks.create({**LOG, "name": "b", "tags": ["y"]})
        await api.service.hooks.create({**LOG, "name": "c"})

        def found(tags: str) -> list[str]:
            return sorted(hook.name for hook in api.service.hooks.page(tags=tag_filter(tags)).hooks)

        assert [found("x,y"), found("x/y"), found("y"), found("z")] == [["a"], ["a", "b"], ["a", "b"], []]


class TestTakeOver:
    async def test_what_is_declared_elsewhere_takes_over_for_good(self, api: Api) -> None:
        await api.service.hooks.create({**LOG, "name": "alert", "snooze": 5})
        api.declare({"name": "alert", **LOG})
        await asyncio.gather(*filter(None, [api.hook_store._cleaning]))
        assert (api.service.hooks.get("alert").origin.place, dict(api.hook_store.hooks())) == ("file", {})
        api.declare()
        assert named(api) == [], "the API's does not come back by surprise"

    async def test_by_its_name_though_the_id_is_another(self, api: Api) -> None:
        await api.service.hooks.create({**LOG, "name": "alert", "id": ID})
        api.declare({"name": "alert", **LOG})
        await asyncio.gather(*filter(None, [api.hook_store._cleaning]))
        assert list(api.registry.hooks()) == [hook_id("alert")]
        assert ID not in [hook.id for hook in await api.queue.definitions()]

    async def test_a_store_that_fails_meanwhile_is_asked_again(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        await api.service.hooks.create({**LOG, "name": "alert", "id": ID})

        async def fail() -> list[Any]:
            raise StoreUnavailable("away")

        with monkeypatch.context() as away:
            away.setattr(api.queue, "definitions", fail)
            api.declare({"name": "alert", **LOG})
            await asyncio.gather(*filter(None, [api.hook_store._cleaning]))
        assert ID in api.hook_store.hooks()
        await api.hook_store.refresh()
        assert dict(api.hook_store.hooks()) == {}


class TestAnotherProcess:
    async def test_sees_hooks_made_here(self, tmp_path: Path) -> None:
        async with running(tmp_path) as here, running(tmp_path) as there:
            made = await here.service.hooks.create({**LOG, "name": "a"})
            await there.hook_store.refresh()
            assert there.service.hooks.get("a") == made
            await here.service.hooks.delete("a")
            await there.hook_store.refresh()
            assert named(there) == []
            assert [change.after for change in there.changes] == [made, None]

    async def test_a_change_is_laid_over_what_another_made(self, tmp_path: Path) -> None:
        async with running(tmp_path) as here, running(tmp_path) as there:
            await here.service.hooks.create({**LOG, "name": "a"})
            await there.service.hooks.update("a", {"snooze": 5})
            changed = await here.service.hooks.update("a", {"tags": ["x"]})
            assert (changed.snooze, changed.tags) == (5, ("x",))
            with pytest.raises(HookTaken):
                await there.service.hooks.create({**LOG, "name": "a", "id": ID})

    async def test_sees_them_at_once_where_it_hears_of_them(self, tmp_path: Path) -> None:
        async with running(tmp_path) as here, running(tmp_path) as there:
            changed = asyncio.Event()
            there.registry.on_change(lambda _: changed.set())
            task = asyncio.create_task(there.hook_store.run())
            made = await here.service.hooks.create({**LOG, "name": "a"})
            there.hook_store.hurry()
            async with asyncio.timeout(REFRESH_SECONDS / 2):
                await changed.wait()
            assert there.service.hooks.get("a") == made
            task.cancel()

    async def test_a_refresh_without_changes_calls_no_listener(self, api: Api) -> None:
        await api.service.hooks.create(LOG)
        observed = len(api.changes)
        await api.hook_store.refresh()
        assert len(api.changes) == observed


def test_a_time_is_a_whole_number_of_seconds() -> None:
    taken = [value for value in (0, 5, 5.0, hooks_module.LATEST) if hooks_module._is_time(value)]
    assert taken == [0, 5, 5.0, hooks_module.LATEST]
    refused = (True, -1, 1.5, "5", None, hooks_module.LATEST + 1, float("inf"), float("nan"))
    assert not any(hooks_module._is_time(value) for value in refused)


async def test_what_a_hook_shows_is_its_definition(api: Api) -> None:
    hook = await api.service.hooks.create(
        {"source": "crud", "handler": "webhook-custom", "snooze": 5, "on_change": True, "tags": ["a"], "enabled": False,
         "name": "a", "filter": "data.a == 1",
         "config": {"url": "http://x/", "method": "PUT", "payload": {"a": [1, {"b": None}]}, "headers": {"x": "y"}}}
    )  # fmt: skip
    again = await api.service.hooks.upsert("a", definition_of(hook, hook.handler))
    assert msgspec.structs.replace(again, updated_at=hook.updated_at) == hook


async def test_enabled_set_again_enables_it(api: Api) -> None:
    hook = await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
    await api.service.hooks.update("a", {"snooze": 5})
    assert api.enabled == []
    await api.service.hooks.update("a", {"enabled": True})
    assert api.enabled == [hook.id]
    await api.service.hooks.update("a", {"enabled": False})
    assert api.enabled == [hook.id]


async def test_the_name_of_another_call(api: Api) -> None:
    definition = {"source": "custom", "handler": "log"}
    for refused in (
        api.service.hooks.create({**definition, "name": "sources"}),
        api.service.hooks.upsert("sources", definition),
        api.service.hooks.upsert("sources", {**definition, "name": "other"}),
    ):
        with pytest.raises(ValidationError) as caught:
            await refused
        assert list(caught.value.fields) == ["name"]
