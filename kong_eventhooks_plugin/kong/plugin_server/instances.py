"""The plugin instances that Kong started, of both plugins and over both protocols.

Kong keeps an instance's id over a restart of the plugin server and sends nothing but the id: an id that came to mean
another instance would hand one plugin's events to the other, for good. So ids count from a random 31-bit number and
none is given twice (decision 4).

Limits: ``INSTANCES``; past it the oldest of those that were not used since the last eviction is evicted, and reported
as closed. Kong starts it again when it needs it: its next call finds an unknown id.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable

import msgspec

INSTANCES = 32_768
ID_BITS = 31
_ID_MASK = (1 << ID_BITS) - 1


class PluginInstance(msgspec.Struct, eq=False):
    """One configuration of a plugin in one of Kong's workers. ``started_at`` is Unix seconds.

    ``alive`` is False once it was closed; whoever keeps it and uses it without ``get`` sets ``used``.
    """

    id: int
    plugin: str
    started_at: float
    used: bool = False
    alive: bool = True


class PluginInstances:
    """Ids to instances. ``base`` is for tests: the number before the first id."""

    def __init__(self, clock: Callable[[], float], *, limit: int = INSTANCES, base: int | None = None) -> None:
        self._clock = clock
        self._limit = limit
        self._last = secrets.randbits(ID_BITS) if base is None else base
        self._known: OrderedDict[int, PluginInstance] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def start(self, plugin: str) -> tuple[PluginInstance, PluginInstance | None]:
        """Return a new instance, and the one that was evicted for it."""
        evicted = self.close(self._unused()) if len(self._known) >= self._limit else None
        instance = PluginInstance(self._new_id(), plugin, self._clock())
        self._known[instance.id] = instance
        return instance, evicted

    def get(self, instance_id: int) -> PluginInstance | None:
        """Return an instance and note its use; None where there is none."""
        instance = self._known.get(instance_id)
        if instance is not None:
            instance.used = True
        return instance

    def close(self, instance_id: int) -> PluginInstance | None:
        """Forget an instance and return it; None where there was none."""
        instance = self._known.pop(instance_id, None)
        if instance is not None:
            instance.alive = False
        return instance

    def _unused(self) -> int:
        """Return the id of the oldest unused instance; those before it count as unused from now on."""
        while True:
            instance_id, instance = next(iter(self._known.items()))
            if not instance.used:
                return instance_id
            instance.used = False
            self._known.move_to_end(instance_id)

    def _new_id(self) -> int:
        """Return the next number, never 0: Kong's encoder leaves that out, as if there were no id."""
        while True:
            self._last = (self._last + 1) & _ID_MASK
            if self._last and self._last not in self._known:
                return self._last
