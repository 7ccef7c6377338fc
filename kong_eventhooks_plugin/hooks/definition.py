"""From a valid definition to a ``Hook``, and from a refusal to errors with their places."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.schema import API_CONFIG, DECLARED_CONFIG, HANDLERS_OF, RECORDS
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.model.ids import hook_id
from kong_eventhooks_plugin.model.scope import GLOBAL, HookScope


def to_hook(definition: dict[str, Any], origin: Origin, scope: HookScope = GLOBAL, *, enabled: bool = True) -> Hook:
    """Return the hook of a valid definition, its ``config`` without unset fields and those of other handlers.

    ``enabled`` is the plugin instance's own switch. Whoever keeps the hook sets ``created_at`` and ``updated_at``.
    """
    return Hook(
        id=hook_id(definition["name"]),
        name=definition["name"],
        source=definition["source"],
        event=definition["event"],
        handler=definition["handler"],
        on_change=bool(definition["on_change"]),
        snooze=definition["snooze"] or None,  # 0 is none
        filter=definition["filter"],
        config={
            name: value
            for name, given in definition["config"].items()
            if definition["handler"] in HANDLERS_OF[name] and (value := _set_part(name, given)) is not None
        },
        origin=origin,
        scope=scope,
        enabled=enabled and definition["enabled"],
        tags=tuple(definition["tags"] or ()),
    )


def _set_part(name: str, value: Any) -> Any:
    """Return a field's value, of a record what is set of it; None where nothing is."""
    if name not in RECORDS or value is None:
        return value
    return {inner: each for inner, each in value.items() if each is not None} or None


def to_part(definition: dict[str, Any], origin: Origin) -> Hook:
    """Return what is good of an invalid definition (``CheckedConfig.parts``), only to look for more errors."""
    unset = {name: definition.get(name) or "" for name in ("name", "source", "handler")}
    return to_hook({**definition, **unset}, origin)


def to_hooks(
    definitions: Mapping[int, dict[str, Any]], config: Origin, scope: HookScope, *, enabled: bool = True
) -> list[Hook]:
    """Return the hooks of a plugin's ``config``, whose valid definitions come by their place in its list."""
    return [
        to_hook(definition, in_list(config, index), scope, enabled=enabled) for index, definition in definitions.items()
    ]


def in_list(config: Origin, index: int) -> Origin:
    """Return the origin of a hook in a plugin's ``config``."""
    return replace(config, path=f"{config.path}.hooks[{index}]")


def as_placed(refusal: ValidationError, origin: Origin) -> ValidationError:
    """Return the refusal with ``config`` named as in the place that the definition comes from."""
    if origin.place == "api":
        return refusal
    return ValidationError(
        {DECLARED_CONFIG if name == API_CONFIG else name: error for name, error in refusal.fields.items()}
    )


def declaration_errors(refusal: ValidationError | None, where: str, prefix: str) -> Iterator[DeclarationError]:
    """Yield an error for each text of a refusal, its path below ``prefix`` (``plugins[0].config``)."""
    for path, text in refusal.leaves() if refusal else ():
        yield DeclarationError(where=where, path=".".join(part for part in (prefix, path) if part), message=text)


def place_in_file(hook: Hook) -> str:
    """Return where a hook of a file stands in it: ``plugins[0].config.hooks[2]``."""
    return hook.origin.path.removeprefix(f"{hook.origin.key}: ")
