"""Whether a hook subscribes to a source."""

from collections.abc import Iterable

from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sources.catalogue import matching_sources


def has_subscribers(hooks: Iterable[Hook], *sources: str) -> bool:
    """Return whether an enabled hook receives the events of one of the sources."""
    return any(hook.enabled and not set(sources).isdisjoint(matching_sources(hook.source)) for hook in hooks)
