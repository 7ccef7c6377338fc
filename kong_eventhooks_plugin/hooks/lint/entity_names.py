"""Warns of a hook whose event names an entity that no Kong is known to have: ``consumer``.

A warning, never an error: any plugin may add entities, and only a running Kong lists all. With ``admin_url`` set,
/readyz asks one (``sources.changes.errors``).
"""

from collections.abc import Iterable, Iterator

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.definition import place_in_file
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.kong.admin_api.entity_metadata import PATH_NAMES
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.suggestions import closest


def warnings(hooks: Iterable[Hook], known: Known) -> Iterator[DeclarationError]:
    """Yield a warning for each hook of a file that names an unknown entity, with the name that may be meant.

    The events of a source with ``patterns`` name entities; those that it lists are known.
    """
    for hook in hooks:
        if hook.event is None or hook.source not in known.patterns:
            continue
        entity = hook.event.partition(":")[0]
        entities = {event.partition(":")[0] for event in known.sources[hook.source]} | PATH_NAMES.keys()
        if entity not in entities:
            yield DeclarationError(
                where=hook.origin.key, path=f"{place_in_file(hook)}.event", message=_text(entity, entities)
            )


def _text(entity: str, entities: Iterable[str]) -> str:
    meant = closest(entity, sorted(entities))
    hint = f" (did you mean {meant}?)" if meant else ""
    return (
        f"Kong is not known to have an entity {entity}{hint}; "
        "the hook never fires unless a plugin of yours, or Enterprise, adds it"
    )
