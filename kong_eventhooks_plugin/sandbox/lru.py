"""Values by the text they were made of, those unused longest forgotten."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

MAX_CHARACTERS = 2 << 20
"""Of text, over all that is kept; what was made of it needs several times that."""

Key = tuple[str, ...]
V = TypeVar("V")


class LruCache(Generic[V]):
    """At most ``size`` values, of ``MAX_CHARACTERS`` of text in all; ``forget`` is told of each that goes."""

    def __init__(self, size: int, forget: Callable[[V], None] = lambda _: None) -> None:
        self._size = size
        self._forget = forget
        self._values: OrderedDict[Key, V] = OrderedDict()
        self._characters = 0

    def get(self, key: Key, make: Callable[[Key], V]) -> V:
        """Return the key's value, made where it is not there; what ``make`` raises is not kept."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
            return value
        value = make(key)
        self._values[key] = value
        self._characters += sum(map(len, key))
        while len(self._values) > 1 and (len(self._values) > self._size or self._characters > MAX_CHARACTERS):
            old, gone = self._values.popitem(last=False)
            self._characters -= sum(map(len, old))
            self._forget(gone)
        return value
