"""A hook as the API shows it, and as it accepts it back.

As in Kong Enterprise an unset field is null (``headers`` is ``{}``), and ``config`` has the fields of the hook's
handler; of its own rules of delivery (``OWN_RULES``) those that are set. Beyond
Enterprise: ``name`` (null where the API made the hook without one), ``filter``, ``enabled``, ``tags``; and, for hooks
that are declared elsewhere, ``declared_in`` and ``scope``, which cannot be written.

A caller that is not trusted sees ``***`` where ``visibility`` says so.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import asdict

from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.api.service.visibility import CONFIG, shown, without_token
from kong_eventhooks_plugin.hooks.schema import HANDLERS_OF, OWN_RULES
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.masking import MASK
from kong_eventhooks_plugin.model.scope import GLOBAL

READ_ONLY: Final = ("declared_in", "scope")
IGNORED: Final = ("state", "held", "delivered_by")
"""What a hook does, not what it is: accepted in a definition, so that an answer can be sent back, and ignored."""


def hook_view(hook: Hook, held: str | None, delivered_by: str | None = None, *, trusted: bool) -> views.HookView:
    """Return the hook as the API shows it; ``held`` and ``delivered_by`` as ``HookStates`` says.

    ``trusted``: the caller may see all.
    """
    view = views.HookView(
        id=hook.id,
        name=hook.given_name,
        source=hook.source,
        event=hook.event,
        handler=hook.handler,
        on_change=hook.on_change or None,
        snooze=hook.snooze,
        filter=hook.filter,
        enabled=hook.enabled,
        tags=list(hook.tags) or None,
        config={
            name: hook.config.get(name, _UNSET.get(name))
            for name in _fields_of(hook.handler)
            if name in hook.config or name not in OWN_RULES
        },
        created_at=hook.created_at,
        updated_at=hook.updated_at,
        declared_in=None if hook.origin.place == "api" else hook.origin.path,
        scope=None if hook.scope == GLOBAL else views.HookScopeView(**asdict(hook.scope)),
        state="off" if not hook.enabled else "on" if held is None else "held",
        held=held if hook.enabled else None,
        delivered_by=delivered_by,
    )
    return view if trusted else without_token(view)


def definition_of(hook: Hook, handler: Any) -> dict[str, Any]:
    """Return what would define the hook anew with that handler: what a PATCH is merged into."""
    view = hook_view(hook, None, trusted=True)
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
    fields = [name for name, decision in CONFIG.items() if decision is not shown and _has_mask(config.get(name))]
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
