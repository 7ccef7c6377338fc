"""Pairs new entities with old ones that are the same under another id. Pure.

Without a database Kong gives an entity that is declared without an id a new one at each reload, unless one follows
from its name. So a list can have entities that the mirror does not know, and lack as many that it knows, though
nothing changed. Pairs are made by the natural key first (it is unique in Kong), then by equal content; of several with
the same content any may be any.

Beside a database ids are stable: there an entity made again under its old name is a delete and a create, and nothing
is paired.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import NamedTuple


class PairCandidate(NamedTuple):
    """One side of a pair: ``number`` is the caller's own for it."""

    number: int
    natural: bytes | None
    content: bytes


def pairs(removed: Iterable[PairCandidate], created: Iterable[PairCandidate]) -> list[tuple[int, int]]:
    """Return (number of the removed, number of the created) of those that are the same entity."""
    old, new = list(removed), list(created)
    by_key = _matched(
        ((one.natural, one.number) for one in old if one.natural is not None),
        ((one.natural, one.number) for one in new if one.natural is not None),
    )
    olds, news = {pair[0] for pair in by_key}, {pair[1] for pair in by_key}
    return by_key + _matched(
        ((one.content, one.number) for one in old if one.number not in olds),
        ((one.content, one.number) for one in new if one.number not in news),
    )


def _matched(old: Iterable[tuple[bytes, int]], new: Iterable[tuple[bytes, int]]) -> list[tuple[int, int]]:
    unmatched: dict[bytes, int] = {}
    more: dict[bytes, deque[int]] = defaultdict(deque)  # nearly every key has one number, and needs no list
    for key, number in old:
        if unmatched.setdefault(key, number) != number:
            more[key].append(number)
    found = []
    for key, number in new:
        if key in unmatched:
            found.append((unmatched.pop(key), number))
            if more.get(key):
                unmatched[key] = more[key].popleft()
    return found
