"""When each name is due. Times are seconds of one clock.

Limit: one time a name. A replaced time stays in the heap until it comes, or until the heap is ``SPARE`` times
as large as it need be and is rebuilt.
"""

import heapq
from typing import Final

SPARE: Final = 8
_SMALL: Final = 64


class Schedule:
    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, name: str) -> bool:
        return name in self._due

    def set(self, name: str, at: float) -> None:
        self._due[name] = at
        heapq.heappush(self._heap, (at, name))
        if len(self._heap) > SPARE * len(self._due) + _SMALL:
            self._heap = [(due, each) for each, due in self._due.items()]
            heapq.heapify(self._heap)

    def drop(self, name: str) -> None:
        self._due.pop(name, None)

    def first(self) -> tuple[float, str] | None:
        """Return the earliest time and its name."""
        while self._heap:
            at, name = self._heap[0]
            if self._due.get(name) == at:
                return at, name
            heapq.heappop(self._heap)
        return None
