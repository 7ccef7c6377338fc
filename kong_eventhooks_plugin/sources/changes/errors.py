"""What /readyz reports of change detection.

===========================================  ================================================================
found                                        error
===========================================  ================================================================
the last reconciliation failed               why
observations or the outbox do not move       why
a list failed that may be there next time    which, and why: meanwhile only the route reports changes there
Kong refuses a list (400, 403, 404)          none: a feature that is off, an entity of an edition that is not
                                             here; but one where a hook names that very entity
a hook names an entity that Kong lacks       that it never fires, and which name may be meant
===========================================  ================================================================

Hooks are not checked before Kong's paths are known. Limit: ``LISTS`` lists are named.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sources.changes.catalogue import CRUD
from kong_eventhooks_plugin.sources.changes.lister import is_refusal
from kong_eventhooks_plugin.sources.changes.observer import ChangeState
from kong_eventhooks_plugin.suggestions import closest

LISTS: Final = 10


def change_errors(state: ChangeState, endpoints: AdminEndpoints, hooks: Iterable[Hook]) -> Iterator[str]:
    """Yield the errors; none while no hook subscribes to changes."""
    if not state.active:
        return
    if state.error:
        yield f"crud: {state.error}"
    if state.reconciler.error:
        yield f"crud: reconciliation failed: {state.reconciler.error}"
    yield from _list_errors(state.reconciler.skipped_lists)
    if state.endpoints_known:
        paths = dict(endpoints.lists())
        for hook in hooks:
            entity = _named_entity(hook)
            if entity is not None and (
                why := _never_fires(entity, endpoints, state.reconciler.skipped_lists, paths.get(entity))
            ):
                yield f"{hook.name}: {why}"


def _list_errors(skipped: Mapping[str, str]) -> Iterator[str]:
    failed = [why for why in skipped.values() if not is_refusal(why)]
    for why in failed[:LISTS]:
        yield f"crud: list skipped: {why}"
    if len(failed) > LISTS:
        yield f"crud: {len(failed) - LISTS} more lists skipped"


def _named_entity(hook: Hook) -> str | None:
    """Return the entity that a hook names; None where it subscribes to all, or to none."""
    if not hook.enabled or hook.source != CRUD or hook.event is None:
        return None
    return hook.event.partition(":")[0]


@lru_cache(maxsize=256)  # /readyz is asked every few seconds, and there may be a thousand hooks
def _similar(entity: str, known: frozenset[str]) -> str | None:
    return closest(entity, sorted(known))


def _never_fires(entity: str, endpoints: AdminEndpoints, skipped: Mapping[str, str], path: str | None) -> str | None:
    if entity not in endpoints.entities:
        similar = _similar(entity, endpoints.entities)
        hint = f" (did you mean {similar}?)" if similar else ""
        return f"this Kong has no entity {entity}{hint}; the hook never fires"
    refused = skipped.get(path) if path is not None else None
    if refused is not None and is_refusal(refused):
        return f"only changes through the Admin API's route are reported: Kong refuses the list ({refused})"
    return None
