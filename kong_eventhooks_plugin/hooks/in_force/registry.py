"""The hooks in force, merged from every place that declares them.

Definitions stored by the last run hold until their place declares again: a plugin instance by starting, the Admin API
by being listed, a file by being read. So deliveries that waited over a restart find their hooks. A place that declares
with errors keeps what it declared before.

Everything runs on the event loop and never waits; ``persist`` has definitions stored. Only a configuration of more than
``AT_ONCE`` bytes is read in a thread, one at a time, since a hook takes a millisecond or two; what starts or closes
meanwhile waits for its turn. Limits: 1,000 errors shown; of
hooks whose code does not compile no more are kept than there are hooks; else those of ``declared``, ``newest_config``
and ``reference_values``.
"""

import asyncio
import time
from asyncio import Future
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from os import environ as process_environ
from typing import Any

import msgspec
import structlog

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks.contract import DeclarationError, HookChange
from kong_eventhooks_plugin.hooks.declarations import instance_config
from kong_eventhooks_plugin.hooks.declarations.declared import Declared, at_most
from kong_eventhooks_plugin.hooks.declarations.instance_config import InstanceConfig
from kong_eventhooks_plugin.hooks.declarations.listed_plugins import ListedPlugins
from kong_eventhooks_plugin.hooks.definition import as_placed, declaration_errors
from kong_eventhooks_plugin.hooks.in_force.newest_config import InstanceConfigs
from kong_eventhooks_plugin.hooks.in_force.precedence import HookSet, merge
from kong_eventhooks_plugin.hooks.in_force.scope_comparison import same_scope
from kong_eventhooks_plugin.hooks.reference_values import NO_TLS, Secrets, TlsPaths
from kong_eventhooks_plugin.hooks.schema import PLUGIN
from kong_eventhooks_plugin.hooks.secret_files import SecretFiles
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import PRECEDENCE, Hook, OriginPlace
from kong_eventhooks_plugin.model.observation import InstanceClosed, InstanceStarted
from kong_eventhooks_plugin.settings import DEFAULTS
from kong_eventhooks_plugin.telemetry.metrics import Metrics

AT_ONCE = 4 << 10

_log = structlog.get_logger()

Persist = Callable[[Sequence[Hook], Sequence[str]], None]
"""Takes the definitions to write and the ids to delete; must not wait, and must keep their order."""


class HookRegistry:
    """Implements ``hooks.contract.ActiveHooks``. ``clock`` gives Unix seconds."""

    def __init__(
        self,
        validation: Validation,
        persist: Persist,
        *,
        clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] = process_environ,
        secret_directories: Collection[str] = DEFAULTS.secret_file_directories,
        tls: TlsPaths = NO_TLS,
        metrics: Metrics | None = None,
    ) -> None:
        self._validation = validation
        self._persist = persist
        self._clock = clock
        self._metrics = metrics
        self.secret_files = SecretFiles(secret_directories, lambda: self._notify([]))
        self._secrets = Secrets(environ, self.secret_files, tls)
        self._instances = InstanceConfigs()
        self._reading = asyncio.Lock()
        self._sets: dict[tuple[OriginPlace, str], HookSet] = {}
        self._errors: dict[tuple[OriginPlace, str], tuple[DeclarationError, ...]] = {}
        self._conflicts: tuple[DeclarationError, ...] = ()
        self._active: dict[str, Hook] = {}
        self._uncompiled: dict[str, tuple[Hook, ValidationError]] = {}
        self._listeners: list[Callable[[list[HookChange]], None]] = []
        self._loaded = False
        self._files: frozenset[str] | None = None

    # hooks.contract.ActiveHooks

    @property
    def loaded(self) -> bool:
        return self._loaded

    def hooks(self) -> Mapping[str, Hook]:
        return self._active

    def get(self, hook_id: str) -> Hook | None:
        return self._active.get(hook_id)

    def resolved(self, hook: Hook) -> Mapping[str, Any]:
        if self._active.get(hook.id) is hook:
            return self._secrets.resolved(hook.id, hook.config)
        return self._secrets.resolve(hook.config)  # it is only tested

    async def refreshed(self, hook: Hook) -> Mapping[str, Any]:
        for path in self._secrets.files(hook.config):
            await self.secret_files.read(path)
        return self.resolved(hook)

    def compile_error(self, hook: Hook) -> ValidationError | None:
        """Return why the hook's code does not compile, None where it does or was not compiled yet."""
        found = self._uncompiled.get(hook.id)
        return None if found is None else found[1]

    def errors(self) -> list[DeclarationError]:
        declared = [error for errors in self._errors.values() for error in errors]
        compiled = [
            error
            for hook, refusal in self._uncompiled.values()
            for error in declaration_errors(as_placed(refusal, hook.origin), hook.origin.path, "")
        ]
        return list(at_most([*declared, *self._conflicts, *compiled]))

    def on_change(self, listener: Callable[[list[HookChange]], None]) -> None:
        self._listeners.append(listener)

    # What the places declare.

    def load(self, stored: Iterable[Hook]) -> None:
        """Load the stored definitions, once, when the store is open.

        Until then nothing is written and no change is reported; what places have declared is compared with them now.
        """
        groups: dict[tuple[OriginPlace, str], list[Hook]] = {}
        for hook in stored:
            groups.setdefault((hook.origin.place, hook.origin.key), []).append(hook)
        for (place, key), hooks in groups.items():
            self._sets.setdefault((place, key), HookSet(place, tuple(hooks), stored=True))
        self._active = {hook.id: hook for hooks in groups.values() for hook in hooks}
        self._loaded = True
        self._withdraw_other_files()
        self._update(notify_always=True)

    def instance_started(self, started: InstanceStarted) -> Future[None] | None:
        """Return a future that ends when what a large configuration declares is in force; None: it is already."""
        if started.plugin != PLUGIN:
            return None
        if len(started.config) > AT_ONCE or self._reading.locked():
            return asyncio.ensure_future(self._start_in_turn(started))
        self._start(started, instance_config.read(started.config, self._validation))
        return None

    async def _start_in_turn(self, started: InstanceStarted) -> None:
        async with self._reading:
            self._start(started, await asyncio.to_thread(instance_config.read, started.config, self._validation))

    def _start(self, started: InstanceStarted, config: InstanceConfig) -> None:
        if not config.plugin_id:
            self._errors["instance", ""] = config.declared.errors
            return
        self._errors.pop(("instance", ""), None)
        declared = self._instances.started(started.instance_id, config, self._clock())
        if declared is not None:
            self._secrets.learn(declared.values)
            self._put("instance", config.plugin_id, declared.hooks, declared.errors)
            self._update()

    def instance_closed(self, closed: InstanceClosed) -> Future[None] | None:
        """Withdraw a plugin's hooks with its last instance; the future as for ``instance_started``."""
        if closed.plugin != PLUGIN:
            return None
        if self._reading.locked():
            return asyncio.ensure_future(self._close_in_turn(closed))
        self._close(closed)
        return None

    async def _close_in_turn(self, closed: InstanceClosed) -> None:
        async with self._reading:
            self._close(closed)

    def _close(self, closed: InstanceClosed) -> None:
        plugin_id = self._instances.closed(closed.instance_id)
        if plugin_id is not None:
            self._withdraw("instance", plugin_id)
            self._update()

    def set_files(self, paths: Iterable[str]) -> None:
        """Withdraw the hooks of every other file."""
        self._files = frozenset(paths)
        self._withdraw_other_files()
        self._update()

    def _withdraw_other_files(self) -> None:
        for key in set() if self._files is None else self._keys("file") - self._files:
            self._withdraw("file", key)

    def set_file(self, path: str, declared: Declared) -> None:
        """Replace what a file declares; with errors, its last valid hooks hold."""
        if declared.errors:
            self._errors["file", path] = declared.errors
        else:
            self._put("file", path, declared.hooks, ())
        self._update()

    def set_listed_plugins(self, listed: ListedPlugins, began_at: float) -> None:
        """Replace what the Admin API lists; reading it began at ``began_at`` (Unix seconds).

        Hooks of instances whose plugin is not in the list, or is disabled, are withdrawn, unless the instance started
        after the reading began.
        """
        self._errors.pop(("admin-api", ""), None)
        for plugin_id in self._keys("admin-api") - listed.declared.keys():
            self._withdraw("admin-api", plugin_id)
        for plugin_id, declared in listed.declared.items():
            self._put("admin-api", plugin_id, declared.hooks, declared.errors)
        runs = listed.declared.keys() - listed.disabled
        for plugin_id in self._keys("instance") - runs:
            if not self._instances.started_since(plugin_id, began_at):
                self._instances.forget(plugin_id)
                self._withdraw("instance", plugin_id)
        self._update()

    def set_listing_error(self, message: str) -> None:
        """Note that the Admin API could not be read; its last list holds."""
        self._errors["admin-api", ""] = (DeclarationError(where="Admin API", path="", message=message),)

    def set_api_hooks(self, hooks: Iterable[Hook]) -> None:
        """Replace the hooks of our own API, which have their times and are stored already."""
        self._put("api", "api", tuple(hooks), ())
        self._update()

    def set_compile_error(self, hook: Hook, refusal: ValidationError | None) -> None:
        """Note whether a hook's code compiles; one that does not stays in force, with an error."""
        self._uncompiled.pop(hook.id, None)
        in_force = self._active.get(hook.id)
        if refusal is not None and in_force is not None and in_force.same_definition(hook):
            self._uncompiled[hook.id] = hook, refusal

    # Merging.

    def _keys(self, place: OriginPlace) -> set[str]:
        return {key for at, key in [*self._sets, *self._errors] if at == place}

    def _put(self, place: OriginPlace, key: str, hooks: tuple[Hook, ...], errors: tuple[DeclarationError, ...]) -> None:
        if place == "instance":
            # Last in order: Kong closes no instance of a removed plugin, so of two the one started last holds.
            self._sets.pop((place, key), None)
        self._sets[place, key] = HookSet(place, hooks)
        self._errors.pop((place, key), None)
        if errors:
            self._errors[place, key] = errors

    def _withdraw(self, place: OriginPlace, key: str) -> None:
        self._sets.pop((place, key), None)
        self._errors.pop((place, key), None)

    def _update(self, *, notify_always: bool = False) -> None:
        """Merge anew, store what changed and call the listeners (with ``notify_always`` where nothing changed too)."""
        merged, self._conflicts = merge(self._sets.values())
        before = self._active
        after = {hook_id: self._stamped(before.get(hook_id), hook) for hook_id, hook in merged.items()}
        removed = [hook_id for hook_id in before if hook_id not in after]
        to_store = [hook for hook_id, hook in after.items() if hook != before.get(hook_id)]
        self._active = after
        self._secrets.forget()
        self._want_secret_files()
        self._uncompiled = {
            hook_id: (hook, refusal)
            for hook_id, (hook, refusal) in self._uncompiled.items()
            if hook_id in after and after[hook_id].same_definition(hook)
        }
        self._count()
        if not self._loaded:
            self._notify([])
            return
        self._store_changes(to_store, [before[hook_id] for hook_id in removed])
        changes = [HookChange(before[hook_id], None) for hook_id in removed]
        changes += [HookChange(old, hook) for hook in to_store if _changed(old := before.get(hook.id), hook)]
        if changes or notify_always:
            self._notify(changes)

    def _store_changes(self, hooks: list[Hook], removed: list[Hook]) -> None:
        """Have definitions written and deleted; our API has done so with its own before it sets them here."""
        written = [hook for hook in hooks if hook.origin.place != "api"]
        deleted = [hook.id for hook in removed if hook.origin.place != "api"]
        if written or deleted:
            self._persist(written, deleted)

    def _stamped(self, before: Hook | None, hook: Hook) -> Hook:
        """Return the hook with its times, and its scope spelled as before where both spellings mean the same."""
        if hook.origin.place == "api":
            return hook  # It has its times.
        now = int(self._clock())
        if before is None:
            return msgspec.structs.replace(hook, created_at=now, updated_at=now)
        if same_scope(before.scope, hook.scope):
            hook = msgspec.structs.replace(hook, scope=before.scope)
        updated = before.updated_at if before.same_definition(hook) else now
        return msgspec.structs.replace(hook, created_at=before.created_at, updated_at=updated)

    def _notify(self, changes: list[HookChange]) -> None:
        for change in changes:
            hook = change.after or change.before
            if hook is not None:
                _log.info(
                    "hook_removed" if change.after is None else "hook_changed" if change.before else "hook_added",
                    hook=hook.name,
                    declared_by=hook.origin.place,
                )
        for listener in self._listeners:
            try:
                listener(list(changes))
            except Exception:  # noqa: BLE001 - one listener's bug must not keep the others from being called
                _log.exception("hook_listener_failed")

    def _want_secret_files(self) -> None:
        paths = (path for hook in self._active.values() for path in self._secrets.files(hook.config))
        self.secret_files.want(frozenset(paths))

    def _count(self) -> None:
        if self._metrics is not None:
            for place in PRECEDENCE:
                count = sum(hook.origin.place == place for hook in self._active.values())
                self._metrics.hooks.labels(origin=place).set(count)


def _changed(before: Hook | None, after: Hook) -> bool:
    return before is None or not before.same_definition(after)
