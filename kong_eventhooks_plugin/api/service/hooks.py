"""The use cases of ``/event-hooks``: list, get, create, update, upsert, delete.

A hook is found by its id or its name. One that is made here may do without a name; its id is the one that was given,
else it is derived from the name (so that the same name declared in kong.yml later is the same hook, with its snooze
and its deliveries), else random. What is declared in a file or in Kong is listed with the others and can be changed
there alone. A change is stored before it is answered.

Two changes at the same moment are made one after the other: names and ids are unique among all hooks.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from kong_eventhooks_plugin.api.service import paging
from kong_eventhooks_plugin.api.service.entity import READ_ONLY, definition_of, masked_fields
from kong_eventhooks_plugin.api.service.hook_store import ORIGIN, ApiHookStore
from kong_eventhooks_plugin.api.service.tags import TagFilter
from kong_eventhooks_plugin.errors import HookDeclared, HookTaken, IdTaken, UnknownHook, ValidationError
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.hooks.definition import to_hook
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import hook_id
from kong_eventhooks_plugin.model.masking import MASK

Check = Callable[[Hook], Awaitable[Mapping[str, Any]]]
"""Finds faults that the schema cannot: a template or a function that does not compile. ``{}`` where there is none."""

Enable = Callable[[str], Awaitable[bool]]
"""Lets a hook, by its id, deliver again that its endpoint had switched off; tells whether it was. May raise
``StoreUnavailable``."""

Given = Mapping[str, Any]
"""What a caller sent for a hook: any JSON object."""

_STAND_IN: Final = "unnamed"
"""The name with which a hook without one is validated."""

_TIMES: Final = ("created_at", "updated_at")
_TAKEN_BY_A_PATH: Final = "sources"
"""No hook could be read by that name: it is a call of its own."""

LATEST: Final = (1 << 32) - 1
"""Unix seconds, in 2106: the latest ``created_at`` that is taken."""


async def nothing_to_check(_: Hook) -> Mapping[str, Any]:
    """Return that no fault was found: the check of an API without handlers that compile anything."""
    return {}


async def nothing_to_enable(_: str) -> bool:
    """Return that the hook was not off: for an API without a delivery worker."""
    return False


class HookPage(NamedTuple):
    """Hooks by id, and the offset of the next page, None at the end."""

    hooks: tuple[Hook, ...]
    next_offset: str | None


class _Own(NamedTuple):
    """The fields that are the API's and not the schema's."""

    id: str | None
    created_at: int | None


class Hooks:
    """See the file's head. ``clock`` gives Unix seconds."""

    def __init__(
        self,
        book: ActiveHooks,
        shelf: ApiHookStore,
        validation: Validation,
        clock: Callable[[], float],
        check: Check = nothing_to_check,
        enable: Enable = nothing_to_enable,
    ) -> None:
        self._book = book
        self._hook_store = shelf
        self._validation = validation
        self._clock = clock
        self._check = check
        self._enable = enable

    def page(self, size: float | None = None, offset: str | None = None, tags: TagFilter | None = None) -> HookPage:
        """Return a page of the hooks in force; raises ``BadArgument``."""
        length = paging.page_size(size)
        after = "" if offset is None else paging.decoded(offset)
        hooks = [hook for hook in self._book.hooks().values() if tags is None or tags.matches(hook.tags)]
        found = sorted((hook for hook in hooks if hook.id > after), key=lambda hook: hook.id)
        more = len(found) > length
        return HookPage(tuple(found[:length]), paging.encoded(found[length - 1].id) if more else None)

    def get(self, key: str) -> Hook:
        """Return the hook in force with that id or name; raises ``UnknownHook``."""
        hook = self._find(key)
        if hook is None:
            raise UnknownHook(f"no hook has the id or name '{key[:128]}'")
        return hook

    async def create(self, given: Given) -> Hook:
        """Make a hook. Raises ``ValidationError``, ``HookTaken``, ``BadArgument``, ``StoreUnavailable``."""
        own, hook = self._read(given)
        async with self._hook_store.lock():
            return await self._save(self._made(hook, own.id or self._new_id(hook.name), own, before=None), before=None)

    async def update(self, key: str, given: Given) -> Hook:
        """Change the given fields of a hook; records are merged, everything else is replaced, null unsets.

        ``enabled: true`` switches it on again where its endpoint had switched it off, whatever was declared before.
        Raises as ``create``, and ``UnknownHook``, ``HookDeclared``.
        """
        async with self._hook_store.lock():
            before = self._changeable(self.get(key))
            own, hook = self._read(_laid_over(definition_of(before), given))
            kept = await self._save(self._made(hook, before.id, own, before), before)
            if given.get("enabled") is True:
                await self._enable(kept.id)
            return kept

    async def upsert(self, key: str, given: Given) -> Hook:
        """Make the hook with that id or name, or replace it whole. Raises as ``update``, but for ``UnknownHook``."""
        by_id = _uuid(key)
        async with self._hook_store.lock():
            before = self._find(key)
            if before is not None:
                self._changeable(before)
            own, hook = self._read(given, None if by_id else key)
            new_id = before.id if before is not None else by_id or self._new_id(key)
            return await self._save(self._made(hook, new_id, own, before), before)

    async def delete(self, key: str) -> None:
        """Remove a hook; what waits for it becomes a dead letter. Raises as ``update``."""
        async with self._hook_store.lock():
            await self._hook_store.delete(self._changeable(self.get(key)).id)

    def _find(self, key: str) -> Hook | None:
        hooks = self._book.hooks()
        by_id = hooks.get(_uuid(key) or key)
        return by_id or next((hook for hook in hooks.values() if hook.name == key), None)

    def _known(self) -> dict[str, Hook]:
        return {**self._hook_store.set_api_hooks(), **self._book.hooks()}

    def _new_id(self, name: str) -> str:
        """Return the id of a hook that is to be made; ``name`` is empty where it gets none."""
        derived = hook_id(name) if name else str(uuid.uuid4())
        holder = self._known().get(derived)
        # A hook that was renamed keeps the id of the name it was made with.
        return derived if holder is None or holder.name == name else str(uuid.uuid4())

    def _changeable(self, hook: Hook) -> Hook:
        if hook.origin.place != "api":
            raise HookDeclared(hook.name, hook.origin.path)
        return hook

    def _read(self, given: Given, named: str | None = None) -> tuple[_Own, Hook]:
        """Validate what was sent; the hook's id and times are still to be settled, and its name where it is empty.

        ``named`` goes before the name that was sent, which has to be good all the same.
        """
        faults: dict[str, Any] = {}
        own = _own_fields(given, faults)
        definition = {name: value for name, value in given.items() if name not in {"id", *_TIMES, *READ_ONLY}}
        nameless = definition.get("name") is None
        if nameless:
            definition["name"] = named or _STAND_IN
        if _TAKEN_BY_A_PATH in (named, definition["name"]):
            faults["name"] = "expected another name: GET /event-hooks/sources lists what can be heard"
        _refuse_masked(definition, faults)
        try:
            valid = self._validation.hook(definition)
            if named is not None:
                valid = self._validation.hook({**definition, "name": named})
        except ValidationError as violation:
            raise ValidationError({**faults, **violation.fields}) from None
        if faults:
            raise ValidationError(faults)
        hook = to_hook(valid, ORIGIN)
        return own, msgspec.structs.replace(hook, name="") if nameless and named is None else hook

    def _made(self, hook: Hook, new_id: str, own: _Own, before: Hook | None) -> Hook:
        now = int(self._clock())
        created = own.created_at if own.created_at is not None else now if before is None else before.created_at
        return msgspec.structs.replace(hook, id=new_id, name=hook.name or new_id, created_at=created, updated_at=now)

    async def _save(self, hook: Hook, before: Hook | None) -> Hook:
        faults = await self._check(hook)
        if faults:
            raise ValidationError(faults)
        # After the compiler has had its time: a file may have declared that id or name meanwhile.
        known = self._known()
        holder = known.get(hook.id)
        if before is None and holder is not None:
            # By the name where the id was only derived from it.
            derived = hook.id == hook_id(hook.name) and holder.name == hook.name
            raise HookTaken(hook.name) if derived else IdTaken(hook.id)
        if holder is not None:
            self._changeable(holder)
        if any(other.name == hook.name and other.id != hook.id for other in known.values()):
            raise HookTaken(hook.name)
        await self._hook_store.save(hook)
        return hook


def _laid_over(before: dict[str, Any], given: Given) -> dict[str, Any]:
    """Return the definition with what was given laid over it: Kong's ``Schema:merge_values``.

    ``config`` is the only record; a list in its place is an empty one, for Lua knows no difference.
    """
    merged = {**before, **given}
    config = given.get("config")
    if isinstance(config, Mapping) or config == []:
        merged["config"] = {**before["config"], **dict(config)}
    return merged


def _own_fields(given: Given, faults: dict[str, Any]) -> _Own:
    """Take the fields that are not the schema's out of what was sent, noting what is wrong with them."""
    for name in READ_ONLY:
        if given.get(name) is not None:
            faults[name] = "is told, not set: leave it out"
    for name in _TIMES:
        value = given.get(name)
        if value is not None and not _is_time(value):
            faults[name] = "expected an integer"
    if isinstance(given.get("name"), str) and _uuid(given["name"]) is not None:
        faults["name"] = "expected a name that is no UUID: that would be taken for an id"
    own_id = given.get("id")
    if own_id is not None and (not isinstance(own_id, str) or _uuid(own_id) is None):
        faults["id"] = "expected a valid UUID"
    if faults:
        return _Own(None, None)
    created = given.get("created_at")
    return _Own(None if own_id is None else _uuid(own_id), None if created is None else int(created))


def _refuse_masked(definition: Mapping[str, Any], faults: dict[str, Any]) -> None:
    """Refuse ``***`` for a secret: somebody sends back what was shown to a caller without the token."""
    config = definition.get("config")
    if isinstance(config, Mapping):
        shown = masked_fields(config)
        if shown:
            faults["config"] = dict.fromkeys(shown, f"'{MASK}' is what is shown instead of a secret; send the secret")


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value == value // 1 and 0 <= value <= LATEST


def _uuid(text: str) -> str | None:
    """Return a UUID as it is stored (36 characters, small letters), None for any other text."""
    try:
        return str(uuid.UUID(text)) if len(text) == 36 else None
    except ValueError:
        return None
