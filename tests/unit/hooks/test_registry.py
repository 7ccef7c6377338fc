"""The hooks in force, over starts, reloads, removals and restarts."""

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest

from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.hooks.contract import ActiveHooks, HookChange
from kong_eventhooks_plugin.hooks.declarations import instance_config, kong_yml, listed_plugins
from kong_eventhooks_plugin.hooks.declarations.declared import Declared
from kong_eventhooks_plugin.hooks.definition import to_hook
from kong_eventhooks_plugin.hooks.in_force.registry import AT_ONCE, HookRegistry
from kong_eventhooks_plugin.hooks.in_force.scope_comparison import dbless_id
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.model.observation import InstanceClosed, InstanceStarted
from kong_eventhooks_plugin.model.scope import HookScope
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.hooks import (
    PLUGIN_ID,
    VALIDATION,
    closed,
    listed,
    log_hook,
    plugin_config,
    read_file,
    started,
    webhook,
)

FILE = "/etc/kong/kong.yml"


def change_name(change: HookChange) -> str:
    if change.before is None:
        return f"+{change.after.name}" if change.after else "nothing"
    return f"~{change.before.name}" if change.after else f"-{change.before.name}"


class World:
    """A registry with its clock, what it had stored, and what it change_name."""

    def __init__(
        self, stored: Sequence[Hook] = (), environ: dict[str, str] | None = None, secret_directories: Sequence[str] = ()
    ) -> None:
        self.now = 1_000.0
        self.store = {hook.id: hook for hook in stored}
        self.changes: list[HookChange] = []
        self.metrics = Metrics()
        self.registry = HookRegistry(
            VALIDATION,
            self.persist,
            clock=lambda: self.now,
            environ=environ or {},
            secret_directories=secret_directories,
            metrics=self.metrics,
        )
        self.registry.load(stored)
        self.registry.on_change(self.changes.extend)

    def persist(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        assert hooks or removed
        self.store.update((hook.id, hook) for hook in hooks)
        for hook_id in removed:
            del self.store[hook_id]

    def restarted(self) -> "World":
        world = World(list(self.store.values()))
        world.now = self.now + 100
        return world

    def file(self, *hooks: Any, path: str = FILE, **scope: Any) -> None:
        entry = {"name": "event-hooks", "config": plugin_config(*hooks), **scope}
        declared = kong_yml.read({"_format_version": "3.0", "plugins": [entry]}, path, VALIDATION)
        self.registry.set_file(path, declared)

    def listed(self, *plugins: dict[str, Any], began_at: float | None = None) -> None:
        self.registry.set_listed_plugins(
            listed_plugins.read(plugins, VALIDATION), self.now if began_at is None else began_at
        )

    def reported(self) -> list[str]:
        """What was change_name since the last time, as `+name`, `-name`, `~name`."""
        changes, self.changes[:] = list(self.changes), []
        return [change_name(change) for change in changes]

    def in_force(self) -> dict[str, str]:
        hooks = self.registry.hooks().values()
        others = {hook.id: hook for hook in hooks if hook.origin.place != "api"}
        assert others == self.store, "what is in force is what is stored; our API stores its own"
        return {hook.name: hook.origin.place for hook in hooks}

    def hook(self, name: str) -> Hook:
        return next(hook for hook in self.registry.hooks().values() if hook.name == name)


def test_it_is_the_book_that_the_contract_wants() -> None:
    registry: ActiveHooks = World().registry
    assert registry.hooks() == {}
    assert registry.get("none") is None


class TestPrecedence:
    def test_a_stronger_place_takes_over_without_a_change(self) -> None:
        world = World()
        world.file(log_hook("a"), log_hook("b"))
        assert world.reported() == ["+a", "+b"]
        world.listed(listed(log_hook("a"), log_hook("b")))
        world.registry.instance_started(started(log_hook("a"), log_hook("b")))
        assert world.reported() == []
        assert world.in_force() == {"a": "instance", "b": "instance"}

    def test_the_stronger_definition_holds(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a", snooze=60)))
        world.file(log_hook("a", snooze=5))
        assert world.hook("a").snooze == 60
        assert world.reported() == ["+a"]

    def test_a_withdrawn_one_falls_back_to_the_weaker(self) -> None:
        world = World()
        world.file(log_hook("a", snooze=5))
        world.registry.instance_started(started(log_hook("a", snooze=60), log_hook("b")))
        world.reported()
        world.registry.instance_closed(closed())
        assert world.reported() == ["-b", "~a"]
        assert world.in_force() == {"a": "file"}

    def test_a_duplicate_name_is_an_error_and_the_instance_started_last_holds(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a", snooze=1), plugin_id="p1", instance_id=1))
        world.registry.instance_started(started(log_hook("a", snooze=2), plugin_id="p2", instance_id=2))
        assert world.hook("a").snooze == 2
        [error] = world.registry.errors()
        assert "is declared by plugin p2" in error.message
        world.registry.instance_closed(closed(2))
        assert world.registry.errors() == []
        assert world.hook("a").snooze == 1

    def test_scopes_that_differ_are_an_error(self) -> None:
        world = World()
        world.file(log_hook("a"), service="demo")
        world.registry.instance_started(started(log_hook("a")))
        assert world.hook("a").scope == HookScope()
        assert "another scope" in world.registry.errors()[0].message


class TestScopeSpelling:
    def test_kongs_id_of_a_named_service_is_no_change(self) -> None:
        world = World()
        world.file(log_hook("a"), service="demo")
        world.registry.instance_started(started(log_hook("a"), service_id=dbless_id("services", "demo")))
        assert world.reported() == ["+a"]
        assert world.hook("a").scope == HookScope(service="demo")
        assert world.registry.errors() == []

    def test_an_id_that_may_be_another_service_holds(self) -> None:
        world = World()
        world.file(log_hook("a"), service="demo")
        other = dbless_id("services", "other")
        world.registry.instance_started(started(log_hook("a"), service_id=other))
        assert world.reported() == ["+a", "~a"]
        assert world.hook("a").scope == HookScope(service=other)


class TestInstances:
    def test_many_workers_start_the_same(self) -> None:
        world = World()
        for worker in range(4):
            world.registry.instance_started(started(log_hook("a"), instance_id=worker, seq=10 + worker))
        assert world.reported() == ["+a"]

    def test_a_reload_starts_the_new_before_it_closes_the_old(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a"), instance_id=2, seq=12))
        world.registry.instance_started(started(log_hook("a", snooze=1), log_hook("b"), instance_id=4, seq=19))
        world.registry.instance_closed(closed(2))
        assert world.reported() == ["+a", "~a", "+b"]
        assert world.in_force() == {"a": "instance", "b": "instance"}

    def test_a_bad_hook_is_an_error_and_the_others_hold(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a"), log_hook("b", snooze=-1)))
        assert world.in_force() == {"a": "instance"}
        assert [str(error) for error in world.registry.errors()] == [
            f"plugin {PLUGIN_ID}: config.hooks[1].snooze: value should be between 0 and 31622400; it is in seconds"
        ]
        world.registry.instance_started(started(log_hook("a"), instance_id=2, seq=13))
        assert world.registry.errors() == []

    def test_a_configuration_that_cannot_be_read(self) -> None:
        world = World()
        world.registry.instance_started(InstanceStarted(plugin="event-hooks", instance_id=1, config=b"{"))
        assert "not JSON" in world.registry.errors()[0].message
        world.registry.instance_started(started(log_hook("a"), instance_id=2))
        assert world.registry.errors() == []

    def test_a_configuration_of_too_many_values_declares_nothing(self) -> None:
        error = instance_config.read(b'{"hooks":[' + b"[]," * 100_000 + b"[]]}", VALIDATION).declared.errors[0]
        assert error.message == "its configuration is not JSON that can be read: more than 100,000 values"

    async def test_a_large_configuration_is_read_beside_the_loop_and_those_behind_it_wait(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world, threads, read = World(), [], instance_config.read

        def noted(config: bytes, validation: Validation) -> instance_config.InstanceConfig:
            threads.append(threading.current_thread() is threading.main_thread())
            return read(config, validation)

        monkeypatch.setattr(instance_config, "read", noted)
        large = started(log_hook("a", tags=["x" * AT_ONCE]), log_hook("b"), instance_id=1, seq=1)
        assert len(large.config) > AT_ONCE
        first = world.registry.instance_started(large)
        await asyncio.sleep(0)  # it has its turn
        second = world.registry.instance_started(started(log_hook("b"), instance_id=2, seq=2))
        third = world.registry.instance_closed(InstanceClosed("event-hooks", 2))
        assert None not in (first, second, third)
        assert world.in_force() == {}
        await first  # type: ignore[misc]
        assert world.reported()[-1:] == ["+b"]
        await asyncio.gather(second, third)  # type: ignore[arg-type]
        assert world.in_force() == {"b": "instance"}, "the other instance still runs"
        assert world.registry.instance_closed(InstanceClosed("event-hooks", 1)) is None
        assert world.in_force() == {}
        assert world.registry.instance_started(started(log_hook("c"), instance_id=3)) is None
        assert threads == [False, False, True]

    def test_the_other_plugin_declares_nothing(self) -> None:
        world = World()
        other = started(log_hook("a"))
        world.registry.instance_started(InstanceStarted("event-hooks-crud", other.instance_id, other.config))
        assert world.in_force() == {}
        world.registry.instance_started(started(log_hook("a")))
        world.registry.instance_closed(InstanceClosed("event-hooks-crud", 1))
        assert world.in_force() == {"a": "instance"}


class TestAdminApi:
    def test_instances_of_a_plugin_that_is_gone_are_withdrawn(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a")))
        world.now += 1
        world.listed()
        assert world.reported() == ["+a", "-a"]
        assert world.in_force() == {}

    def test_not_where_it_started_after_the_reading_began(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a")))
        world.listed(began_at=world.now - 1)
        assert world.in_force() == {"a": "instance"}

    def test_a_disabled_plugin_disables_its_hooks(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a")))
        world.now += 1
        world.listed(listed(log_hook("a"), enabled=False))
        assert world.in_force() == {"a": "admin-api"}
        assert not world.hook("a").enabled

    def test_a_list_that_failed_keeps_the_last_good_one(self) -> None:
        world = World()
        world.listed(listed(log_hook("a")))
        world.registry.set_listing_error("/plugins: answered 500")
        assert world.in_force() == {"a": "admin-api"}
        assert [str(error) for error in world.registry.errors()] == ["Admin API: /plugins: answered 500"]
        world.listed(listed(log_hook("a")))
        assert world.registry.errors() == []

    def test_a_plugin_that_is_no_longer_listed(self) -> None:
        world = World()
        world.listed(listed(log_hook("a"), plugin_id="p1"), listed(5, plugin_id="p2"))
        assert len(world.registry.errors()) == 1
        world.listed()
        assert world.reported() == ["+a", "-a"]
        assert world.registry.errors() == []


class TestFiles:
    def test_an_invalid_file_keeps_the_last_valid_hooks_and_has_errors(self) -> None:
        world = World()
        world.file(log_hook("a"))
        world.file(log_hook("a", snooze=-1), log_hook("b"))
        assert world.in_force() == {"a": "file"}
        assert [str(error) for error in world.registry.errors()] == [
            f"{FILE}: plugins[0].config.hooks[0].snooze: value should be between 0 and 31622400; it is in seconds"
        ]
        world.file(log_hook("b"))
        assert world.registry.errors() == []
        assert world.reported() == ["+a", "-a", "+b"]

    def test_a_file_that_is_no_longer_configured(self) -> None:
        world = World()
        world.file(log_hook("a"), path="/one.yml")
        world.file(log_hook("b"), path="/two.yml")
        world = world.restarted()
        world.registry.set_files(["/two.yml"])
        assert world.reported() == ["-a"]
        assert world.in_force() == {"b": "file"}

    def test_files_may_be_read_before_the_store_is_open(self) -> None:
        old = World()
        old.file(log_hook("a"), path="/one.yml")
        old.file(log_hook("b"), path="/two.yml")
        registry = HookRegistry(VALIDATION, lambda hooks, removed: None)
        assert not registry.loaded
        registry.set_file("/two.yml", Declared((), ()))
        registry.set_files(["/two.yml", "/three.yml"])
        registry.load(old.store.values())
        assert registry.loaded
        assert registry.hooks() == {}, "one.yml is not set any more, two.yml has no hooks"

    def test_two_files_with_the_same_name_in_them(self) -> None:
        world = World()
        world.file(log_hook("a"), path="/one.yml")
        world.file(log_hook("a"), path="/two.yml")
        assert "is declared by /one.yml" in world.registry.errors()[0].message


class TestRestart:
    def test_what_is_stored_holds_until_its_place_speaks(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a"), log_hook("b")))
        world.file(log_hook("c"))
        before = dict(world.registry.hooks())
        world = world.restarted()
        assert world.registry.hooks() == before
        world.file(log_hook("c"))
        assert world.in_force() == {"a": "instance", "b": "instance", "c": "file"}
        world.registry.instance_started(started(log_hook("a")))
        assert world.in_force() == {"a": "instance", "c": "file"}
        assert world.reported() == ["-b"], "and no ping for what is as it was"

    def test_a_changed_file_is_a_change(self) -> None:
        world = World()
        world.file(log_hook("a"))
        world = world.restarted()
        world.file(log_hook("a", snooze=1))
        assert world.reported() == ["~a"]

    def test_a_plugin_that_came_back_under_another_id(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a", snooze=1), plugin_id="old"))
        world = world.restarted()
        world.registry.instance_started(started(log_hook("a", snooze=2), plugin_id="new"))
        assert world.hook("a").snooze == 2
        assert world.registry.errors() == []

    def test_stored_instances_of_a_plugin_that_is_gone(self) -> None:
        world = World()
        world.registry.instance_started(started(log_hook("a")))
        world = world.restarted()
        world.listed()
        assert world.reported() == ["-a"]

    def test_a_file_that_is_invalid_at_the_start(self) -> None:
        world = World()
        world.file(log_hook("a"))
        world = world.restarted()
        world.file(5)
        assert world.in_force() == {"a": "file"}
        assert len(world.registry.errors()) == 1

    def test_listeners_are_called_without_changes_for_what_is_stored(self) -> None:
        world = World()
        world.file(log_hook("a"))
        registry = HookRegistry(VALIDATION, pytest.fail, environ={})
        changes_seen: list[list[HookChange]] = []
        registry.on_change(changes_seen.append)
        registry.load(world.store.values())
        assert changes_seen == [[]]

    def test_kong_may_speak_before_the_store_is_open(self) -> None:
        """What it said is in force at once; what is new in it is change_name and stored once it can be compared."""
        old = World()
        old.registry.instance_started(started(log_hook("same"), log_hook("changed"), log_hook("gone")))
        old.file(log_hook("later"))
        store = dict(old.store)
        registry = HookRegistry(
            VALIDATION, lambda hooks, removed: written.append((hooks, removed)), clock=lambda: 2_000.0, environ={}
        )
        written: list[tuple[Sequence[Hook], Sequence[str]]] = []
        changes_seen: list[list[HookChange]] = []
        registry.on_change(changes_seen.append)
        registry.instance_started(started(log_hook("same"), log_hook("changed", snooze=1), log_hook("new")))
        assert {hook.name for hook in registry.hooks().values()} == {"same", "changed", "new"}
        assert (changes_seen, written) == ([[]], [])
        registry.load(store.values())
        assert {hook.name for hook in registry.hooks().values()} == {"same", "changed", "new", "later"}
        [_, changes] = changes_seen
        assert [change_name(change) for change in changes] == ["-gone", "~changed", "+new"]
        [(hooks, removed)] = written
        assert ({hook.name for hook in hooks}, list(removed)) == ({"changed", "new"}, [changes[0].before.id])  # type: ignore[union-attr] # seen above
        assert {hook.created_at for hook in registry.hooks().values() if hook.name != "new"} == {1_000}


class TestTimes:
    def test_of_a_new_hook(self) -> None:
        world = World()
        world.now = 1_234.9
        world.file(log_hook("a"))
        assert (world.hook("a").created_at, world.hook("a").updated_at) == (1_234, 1_234)

    def test_of_one_that_is_the_same(self) -> None:
        world = World()
        world.file(log_hook("a"))
        world.now += 50
        world.registry.instance_started(started(log_hook("a")))
        assert (world.hook("a").created_at, world.hook("a").updated_at) == (1_000, 1_000)
        assert world.store[world.hook("a").id].origin.place == "instance"

    def test_of_one_that_changed(self) -> None:
        world = World()
        world.file(log_hook("a"))
        world = world.restarted()
        world.file(log_hook("a", snooze=1))
        assert (world.hook("a").created_at, world.hook("a").updated_at) == (1_000, 1_100)


class TestReferences:
    REFS = {"$refs": {"secret": "{vault://hcv/s}"}}  # noqa: RUF012 - never changed

    def test_a_value_of_kongs_is_kept_in_memory_and_never_stored(self) -> None:
        world = World()
        world.registry.instance_started(started(webhook("a", secret="hunter2", **self.REFS)))
        assert world.registry.resolved(world.hook("a"))["secret"] == "hunter2"
        assert "hunter2" not in repr(world.store)
        assert "hunter2" not in repr(vars(world.registry))

    def test_without_a_value_the_hook_is_held(self) -> None:
        world = World()
        world.registry.instance_started(started(webhook("a", secret="", **self.REFS), log_hook("b")))
        with pytest.raises(UnresolvedReference) as refused:
            world.registry.resolved(world.hook("a"))
        assert str(refused.value).startswith("no value for secret={vault://hcv/s} (neither Kong nor ")

    def test_after_a_restart_it_is_held_until_an_instance_starts(self) -> None:
        world = World()
        world.registry.instance_started(started(webhook("a", secret="hunter2", **self.REFS)))
        world = world.restarted()
        with pytest.raises(UnresolvedReference):
            world.registry.resolved(world.hook("a"))
        world.registry.instance_started(started(webhook("a", secret="hunter2", **self.REFS)))
        assert world.registry.resolved(world.hook("a"))["secret"] == "hunter2"
        assert world.reported() == []

    def test_from_this_process_s_environment(self) -> None:
        world = World(environ={"S": "from env"})
        world.file(webhook("a", secret="{vault://env/s}"))
        assert world.registry.resolved(world.hook("a"))["secret"] == "from env"

    def test_a_late_worker_s_values_do_not_count(self) -> None:
        world = World()
        old, new = ([webhook("a", secret=value, **self.REFS), log_hook(value)] for value in ("old", "new"))
        world.registry.instance_started(started(*old, instance_id=1, seq=1))
        world.registry.instance_started(started(*new, instance_id=2, seq=3))
        world.registry.instance_started(started(*old, instance_id=3, seq=2))
        assert world.registry.resolved(world.hook("a"))["secret"] == "new"

    def test_the_next_value_of_a_definition_that_stays_counts_at_once(self) -> None:
        world = World()
        for number, value in enumerate(("old", "new"), 1):
            hook = webhook("a", secret=value, **self.REFS)
            world.registry.instance_started(started(hook, instance_id=number, seq=number))
            for _ in range(2):
                assert world.registry.resolved(world.hook("a"))["secret"] == value

    async def test_from_a_secret_file_which_is_read_when_the_hook_appears(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text("s3")
        world = World(secret_directories=(str(tmp_path),))
        validation = Validation(VALIDATION.known, (str(tmp_path),))
        hook = to_hook(validation.hook(webhook("a", secret_file=str(path))), Origin("api", "api", "api"))
        world.registry.set_api_hooks([hook])
        with pytest.raises(UnresolvedReference, match=rf"^no value for secret_file={path} \(it was not read yet\)"):
            world.registry.resolved(hook)
        told = asyncio.Event()
        world.registry.on_change(lambda _: told.set())
        reading = asyncio.create_task(world.registry.secret_files.run())
        await told.wait()
        assert world.registry.resolved(hook)["secret"] == "s3"
        path.write_text("new")
        assert (await world.registry.refreshed(hook))["secret"] == "new"
        path.unlink()
        with pytest.raises(UnresolvedReference, match="No such file"):
            await world.registry.refreshed(hook)
        reading.cancel()


def test_hooks_made_by_our_api() -> None:
    world = World()
    made = to_hook(VALIDATION.hook(log_hook("a")), Origin("api", "api", "api"))
    made = msgspec.structs.replace(made, created_at=7, updated_at=8)
    world.registry.set_api_hooks([made])
    assert world.in_force() == {"a": "api"}
    assert (world.hook("a").created_at, world.hook("a").updated_at) == (7, 8)
    world.registry.set_api_hooks([])
    assert world.reported() == ["+a", "-a"]


def test_a_listener_that_fails_does_not_stop_the_others() -> None:
    world = World()
    changes_seen: list[HookChange] = []

    def fail(_changes: list[HookChange]) -> None:
        raise ValueError

    world.registry.on_change(fail)
    world.registry.on_change(changes_seen.extend)
    world.file(log_hook("a"))
    assert [change.after.name for change in changes_seen if change.after] == ["a"]


def test_hooks_are_counted_by_place() -> None:
    world = World()
    world.file(log_hook("a"), log_hook("b"))
    world.registry.instance_started(started(log_hook("b")))
    text = generate_latest(world.metrics.registry).decode()
    assert 'kong_event_hooks_hooks{origin="file"} 1.0' in text
    assert 'kong_event_hooks_hooks{origin="instance"} 1.0' in text


def test_a_declaration_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "kong.yml"
    document = {"_format_version": "3.0", "plugins": [{"name": "event-hooks", "config": {"hooks": [log_hook("a")]}}]}
    path.write_text(json.dumps(document))
    world = World()
    declared: Declared = read_file(str(path))
    world.registry.set_file(str(path), declared)
    assert next(iter(world.registry.hooks().values())).origin.path == f"{path}: plugins[0].config.hooks[0]"
