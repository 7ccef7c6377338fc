"""Values that are forgotten when unused longest."""

import pytest

from kong_eventhooks_plugin.sandbox import lru
from kong_eventhooks_plugin.sandbox.lru import Key, LruCache


def test_the_one_unused_longest_goes() -> None:
    evicted: list[str] = []
    cache: LruCache[str] = LruCache(2, evicted.append)
    for name in ("a", "b", "a", "c"):
        cache.get((name,), lambda key: key[0].upper())
    assert evicted == ["B"]


def test_long_texts_push_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lru, "MAX_CHARACTERS", 10)
    evicted: list[str] = []
    cache: LruCache[str] = LruCache(100, evicted.append)
    for key in (("a" * 6,), ("b", "c" * 4), ("d" * 50,)):
        cache.get(key, lambda made: made[0][0])
    assert evicted == ["a", "b"]


def test_what_cannot_be_made_is_not_kept() -> None:
    cache: LruCache[str] = LruCache(2)

    def fails(_: Key) -> str:
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        cache.get(("a",), fails)
    assert cache.get(("a",), lambda _: "made") == "made"
