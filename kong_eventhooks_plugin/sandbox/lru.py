"""A least-recently-used cache of what was compiled, by its text."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

MAX_CHARACTERS = 2 << 20
"""Of the text of all entries; what is compiled from it needs several times that."""

Key = tuple[str, ...]
V = TypeVar("V")


class LruCache(Generic[V]):
    """At most ``size`` values, of ``MAX_CHARACTERS`` of text in all; ``on_evict`` is called with each dropped value."""

    def __init__(self, size: int, on_evict: Callable[[V], None] = lambda _: None) -> None:
        self._size = size
        self._on_evict = on_evict
        self._values: OrderedDict[Key, V] = OrderedDict()
        self._characters = 0

    def get(self, key: Key, make: Callable[[Key], V]) -> V:
        """Return the key's value, made by ``make`` where it is missing."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
            return value
        value = make(key)
        self._values[key] = value
        self._characters += sum(map(len, key))
        while len(self._values) > 1 and (len(self._values) > self._size or self._characters > MAX_CHARACTERS):
            old, evicted = self._values.popitem(last=False)
            self._characters -= sum(map(len, old))
            self._on_evict(evicted)
        return value
