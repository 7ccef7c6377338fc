"""Whether anybody hears of what a look at Kong would tell."""

from collections.abc import Iterable

from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sources.catalogue import matching_sources


def has_subscribers(hooks: Iterable[Hook], *sources: str) -> bool:
    """Tell whether a hook that is not switched off hears one of the sources."""
    return any(hook.enabled and not set(sources).isdisjoint(matching_sources(hook.source)) for hook in hooks)
