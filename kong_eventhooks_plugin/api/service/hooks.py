"""The use cases of ``/event-hooks``: list, get, create, update, upsert, delete.

A hook is found by its id or its name. One that is made here needs no name; its id is the given one, else derived from
the name (so that the same name declared in kong.yml later is the same hook, with its snooze and its deliveries), else
random. A hook that is declared in a file or in Kong is listed with the others and can be changed there alone. A change
is stored before it is answered.

Changes run one after the other: names and ids are unique among all hooks.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from kong_eventhooks_plugin.api.service import paging
from kong_eventhooks_plugin.api.service.entity import IGNORED, READ_ONLY, definition_of, masked_fields
from kong_eventhooks_plugin.api.service.hook_store import ORIGIN, ApiHookStore
from kong_eventhooks_plugin.api.service.tags import TagFilter
from kong_eventhooks_plugin.errors import HookDeclared, HookTaken, IdTaken, UnknownHook, ValidationError, merged
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.hooks.definition import to_hook, to_part
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.hooks.validation.hook_validation import CheckedHook, Validation
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import hook_id
from kong_eventhooks_plugin.model.masking import MASK

Check = Callable[[Hook], Awaitable[Mapping[str, Any]]]
"""Finds errors that the schema cannot: a template or a function that does not compile. ``{}`` where there is none."""

Enable = Callable[[str], Awaitable[bool]]
"""Enables a hook, by its id, that its endpoint had disabled; returns whether it was. May raise ``StoreUnavailable``."""

Given = Mapping[str, Any]
"""A definition as a caller sent it: any JSON object."""

AT_ONCE: Final = 200
"""Values, names included, of a definition that is validated on the loop."""

_STAND_IN: Final = "unnamed"
"""The name with which a hook without one is validated."""

_TIMES: Final = ("created_at", "updated_at")
_RESERVED: Final = "sources"
"""No hook can have that name: GET /event-hooks/sources is a call of its own."""

LATEST: Final = (1 << 32) - 1
"""Unix seconds, in 2106: the latest valid ``created_at``."""


class HookPage(NamedTuple):
    """Hooks by id; ``next_offset`` is None at the end."""

    hooks: tuple[Hook, ...]
    next_offset: str | None


class _Own(NamedTuple):
    """The fields that belong to the API, not to the schema."""

    id: str | None
    created_at: int | None


class Hooks:
    def __init__(
        self,
        registry: ActiveHooks,
        hook_store: ApiHookStore,
        validation: Validation,
        clock: Callable[[], float],
        check: Check,
        enable: Enable,
    ) -> None:
        self._registry = registry
        self._hook_store = hook_store
        self._validation = validation
        self._clock = clock
        self._check = check
        self._enable = enable

    def page(self, size: float | None = None, offset: str | None = None, tags: TagFilter | None = None) -> HookPage:
        """Return a page of the active hooks; raises ``BadArgument``."""
        length = paging.page_size(size)
        after = "" if offset is None else paging.decoded(offset)
        hooks = [hook for hook in self._registry.hooks().values() if tags is None or tags.matches(hook.tags)]
        found = sorted((hook for hook in hooks if hook.id > after), key=lambda hook: hook.id)
        more = len(found) > length
        return HookPage(tuple(found[:length]), paging.encoded(found[length - 1].id) if more else None)

    def get(self, key: str) -> Hook:
        """Return the active hook with that id or name; raises ``UnknownHook``."""
        hook = self._find(key)
        if hook is None:
            raise UnknownHook(f"no hook has the id or name '{key[:128]}'")
        return hook

    def name_of(self, hook_id: str) -> str | None:
        """Return a hook's name, None where it has none or was removed."""
        hook = self._registry.get(hook_id)
        return None if hook is None else hook.given_name

    def id_of(self, key: str | None) -> str | None:
        """Return the id of the hook that a filter names; raises ``ValidationError``.

        A removed hook is known by its id alone.
        """
        by_id = None if key is None else _uuid(key)
        if key is None or by_id is not None:
            return by_id
        hook = self._find(key)
        if hook is None:
            raise ValidationError({"hook": f"no hook has the id or name '{key}'"})
        return hook.id

    async def create(self, given: Given) -> Hook:
        """May raise ``ValidationError``, ``HookTaken``, ``BadArgument``, ``StoreUnavailable``."""
        own, hook = await self._read(given)
        async with self._hook_store.lock():
            new_id = own.id or self._new_id(hook.name)
            return await self._save(self._complete(hook, new_id, own, before=None), before=None)

    async def update(self, key: str, given: Given) -> Hook:
        """Change the given fields of a hook; records are merged, everything else is replaced, null unsets.

        ``enabled: true`` enables it again where its endpoint had disabled it, whatever was declared before.
        Raises as ``create``, and ``UnknownHook``, ``HookDeclared``.
        """
        async with self._hook_store.lock():
            before = self._changeable(self.get(key))
            own, hook = await self._read(_merged(definition_of(before, given.get("handler", before.handler)), given))
            saved = await self._save(self._complete(hook, before.id, own, before), before)
            if given.get("enabled") is True:
                await self._enable(saved.id)
            return saved

    async def upsert(self, key: str, given: Given) -> Hook:
        """Create the hook with that id or name, or replace it. Raises as ``update``, except ``UnknownHook``."""
        by_id = _uuid(key)
        async with self._hook_store.lock():
            before = self._find(key)
            if before is not None:
                self._changeable(before)
            own, hook = await self._read(given, None if by_id else key)
            new_id = before.id if before is not None else by_id or self._new_id(key)
            return await self._save(self._complete(hook, new_id, own, before), before)

    async def delete(self, key: str) -> None:
        """Delete a hook; its pending deliveries become dead letters. Raises as ``update``."""
        async with self._hook_store.lock():
            await self._hook_store.delete(self._changeable(self.get(key)).id)

    async def draft(self, given: Given) -> Hook:
        """Return what ``create`` would make, without storing it. May raise ``ValidationError``."""
        own, hook = await self._read(given)
        return await self._checked(self._complete(hook, own.id or self._new_id(hook.name), own, before=None))

    async def changed(self, key: str, given: Given) -> Hook:
        """Return the hook as ``update`` would make it, without storing it, also of one that is declared elsewhere.

        Raises ``UnknownHook``, ``ValidationError``.
        """
        before = self.get(key)
        own, hook = await self._read(_merged(definition_of(before, given.get("handler", before.handler)), given))
        changed = self._complete(hook, before.id, own, before)
        return await self._checked(msgspec.structs.replace(changed, origin=before.origin, scope=before.scope))

    def _find(self, key: str) -> Hook | None:
        hooks = self._registry.hooks()
        by_id = hooks.get(_uuid(key) or key)
        return by_id or next((hook for hook in hooks.values() if hook.name == key), None)

    def _known(self) -> dict[str, Hook]:
        return {**self._hook_store.hooks(), **self._registry.hooks()}

    def _new_id(self, name: str) -> str:
        """Return the id of a new hook; ``name`` may be empty."""
        derived = hook_id(name) if name else str(uuid.uuid4())
        holder = self._known().get(derived)
        # A renamed hook keeps the id of its first name.
        return derived if holder is None or holder.name == name else str(uuid.uuid4())

    def _changeable(self, hook: Hook) -> Hook:
        if hook.origin.place != "api":
            raise HookDeclared(hook.name, hook.origin.path)
        return hook

    async def _read(self, given: Given, named: str | None = None) -> tuple[_Own, Hook]:
        """Validate a definition; the hook's id and times are still to be set, and its name where it is empty.

        ``named`` goes before the name in ``given``, which must be valid all the same.
        """
        errors: dict[str, Any] = {}
        own = _own_fields(given, errors)
        definition = {name: value for name, value in given.items() if name not in {"id", *_TIMES, *READ_ONLY, *IGNORED}}
        nameless = definition.get("name") is None
        if nameless:
            definition["name"] = named or _STAND_IN
        if _RESERVED in (named, definition["name"]):
            errors["name"] = "expected another name: GET /event-hooks/sources lists the sources"
        _refuse_masked(definition, errors)
        checked = await self._examined(definition)
        if named is not None and not checked.errors:
            checked = await self._examined({**definition, "name": named})
        if checked.definition is None:
            raise ValidationError({**errors, **checked.errors})
        if errors or checked.errors:
            # What is good of it may have errors of its own, which only a compiler finds.
            compiled = await self._check(to_part(checked.definition, ORIGIN))
            raise ValidationError(merged(errors, checked.errors, compiled))
        hook = to_hook(checked.definition, ORIGIN)
        return own, msgspec.structs.replace(hook, name="") if nameless and named is None else hook

    async def _examined(self, definition: Given) -> CheckedHook:
        """Validate, beside the loop where it takes long: ten thousand headers take a quarter of a second."""
        values = sum(1 for _ in islice(json_values.walk(definition), AT_ONCE + 1))
        if values <= AT_ONCE:
            return self._validation.examined(definition)
        return await asyncio.to_thread(self._validation.examined, definition)

    def _complete(self, hook: Hook, new_id: str, own: _Own, before: Hook | None) -> Hook:
        now = int(self._clock())
        created = own.created_at if own.created_at is not None else now if before is None else before.created_at
        return msgspec.structs.replace(hook, id=new_id, name=hook.name or new_id, created_at=created, updated_at=now)

    async def _checked(self, hook: Hook) -> Hook:
        errors = await self._check(hook)
        if errors:
            raise ValidationError(errors)
        return hook

    async def _save(self, hook: Hook, before: Hook | None) -> Hook:
        await self._checked(hook)
        # While it compiled, a file may have declared that id or name.
        known = self._known()
        holder = known.get(hook.id)
        if before is None and holder is not None:
            derived = hook.id == hook_id(hook.name) and holder.name == hook.name
            raise HookTaken(hook.name) if derived else IdTaken(hook.id)
        if holder is not None:
            self._changeable(holder)
        if any(other.name == hook.name and other.id != hook.id for other in known.values()):
            raise HookTaken(hook.name)
        await self._hook_store.save(hook)
        return hook


def _merged(before: dict[str, Any], given: Given) -> dict[str, Any]:
    """Merge a change into a definition: Kong's ``Schema:merge_values``.

    ``config`` is the only record; an empty list in its place is an empty record, as in Lua.
    """
    merged = {**before, **given}
    config = given.get("config")
    if isinstance(config, Mapping) or config == []:
        merged["config"] = {**before["config"], **dict(config)}
    return merged


def _own_fields(given: Given, errors: dict[str, Any]) -> _Own:
    """Return the fields that are not the schema's; add what is wrong with them to ``errors``."""
    for name in READ_ONLY:
        if given.get(name) is not None:
            errors[name] = "is read-only: leave it out"
    for name in _TIMES:
        value = given.get(name)
        if value is not None and not _is_time(value):
            errors[name] = "expected an integer"
    if isinstance(given.get("name"), str) and _uuid(given["name"]) is not None:
        errors["name"] = "expected a name that is no UUID: that would be taken for an id"
    own_id = given.get("id")
    if own_id is not None and (not isinstance(own_id, str) or _uuid(own_id) is None):
        errors["id"] = "expected a valid UUID"
    if errors:
        return _Own(None, None)
    created = given.get("created_at")
    return _Own(None if own_id is None else _uuid(own_id), None if created is None else int(created))


def _refuse_masked(definition: Mapping[str, Any], errors: dict[str, Any]) -> None:
    """Refuse ``***`` for a secret: the caller sends back what it was shown without the token."""
    config = definition.get("config")
    if isinstance(config, Mapping):
        fields = masked_fields(config)
        if fields:
            errors["config"] = dict.fromkeys(fields, f"'{MASK}' is what is shown instead of a secret; send the secret")
    if definition.get("filter") == MASK:
        errors["filter"] = f"'{MASK}' is what is shown instead of a filter; send the filter"


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value == value // 1 and 0 <= value <= LATEST


def _uuid(text: str) -> str | None:
    """Return a UUID in its stored form (36 characters, lower case), None for any other text."""
    try:
        return str(uuid.UUID(text)) if len(text) == 36 else None
    except ValueError:
        return None
