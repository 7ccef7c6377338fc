"""A hook as the API shows it, and as it accepts it back.

As in Kong Enterprise an unset field is null (``headers`` is ``{}``), and ``config`` has the fields of the hook's
handler. Beyond Enterprise: ``name`` (null where the API made the hook without one), ``filter``, ``enabled``, ``tags``;
and, for hooks that are declared elsewhere, ``declared_in`` and ``scope``, which cannot be written.

A caller that is not trusted sees ``***`` wherever a secret may be: secrets, header values, the URL behind its host (a
Slack webhook's path is its password), bodies, payloads and functions.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import asdict

from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.hooks.masking import masked
from kong_eventhooks_plugin.hooks.schema import HANDLERS_OF
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.masking import MASK, is_reference
from kong_eventhooks_plugin.model.scope import GLOBAL

READ_ONLY: Final = ("declared_in", "scope")


def hook_view(hook: Hook, *, trusted: bool) -> views.HookView:
    """Return the hook as the API shows it. ``trusted``: the caller may see secrets."""
    shown = hook if trusted else _without_secrets(hook)
    return views.HookView(
        id=shown.id,
        name=shown.given_name,
        source=shown.source,
        event=shown.event,
        handler=shown.handler,
        on_change=shown.on_change or None,
        snooze=shown.snooze,
        filter=shown.filter,
        enabled=shown.enabled,
        tags=list(shown.tags) or None,
        config={name: shown.config.get(name, _UNSET.get(name)) for name in _fields_of(shown.handler)},
        created_at=shown.created_at,
        updated_at=shown.updated_at,
        declared_in=None if shown.origin.place == "api" else shown.origin.path,
        scope=None if shown.scope == GLOBAL else views.HookScopeView(**asdict(shown.scope)),
    )


def definition_of(hook: Hook, handler: Any) -> dict[str, Any]:
    """Return what would define the hook anew with that handler: what a PATCH is merged into."""
    view = hook_view(hook, trusted=True)
    return {name: getattr(view, name) for name in _DEFINITION} | {
        "config": {name: hook.config[name] for name in _fields_of(handler) if name in hook.config}
    }


_DEFINITION: Final = ("name", "source", "event", "handler", "on_change", "snooze", "filter", "enabled", "tags")


_UNSET: Final[Mapping[str, Any]] = {"headers": {}}
"""What an unset field is shown as, where that is not null."""


def _fields_of(handler: Any) -> list[str]:
    return [name for name, handlers in HANDLERS_OF.items() if handler in handlers]


def masked_fields(config: Mapping[str, Any]) -> list[str]:
    """Return the fields of ``config`` that hold a mask: the client sends back what it was shown without the token."""
    fields = [name for name in _SECRET if _has_mask(config.get(name))]
    url = config.get("url")
    if isinstance(url, str) and url.endswith(f"/{MASK}"):
        fields.append("url")
    return fields


def _has_mask(value: Any) -> bool:
    """Return whether a value has a mask in it, which is not validated yet and may be nested very deep."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif each == MASK:
            return True
    return False


def _without_secrets(hook: Hook) -> Hook:
    hook = masked(hook)
    config = {name: _masked(value) if name in _TEXTS else value for name, value in hook.config.items()}
    if "url" in config:
        config["url"] = _host_alone(config["url"])
    return msgspec.structs.replace(hook, config=config)


_TEXTS: Final = frozenset({"body", "payload", "functions", "secret_file"})
_SECRET: Final = ("secret", "previous_secret", "headers", "url", *sorted(_TEXTS))


def _masked(value: Any) -> Any:
    """Return a value with every text in it masked; its depth is limited by validation."""
    if isinstance(value, str):
        return value if is_reference(value) else MASK
    if isinstance(value, Mapping):
        return {name: _masked(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(each) for each in value]
    return value


def _host_alone(url: Any) -> Any:
    if not isinstance(url, str) or is_reference(url):
        return url
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{MASK if parts.path.strip('/') else ''}"
    except ValueError:
        return MASK
