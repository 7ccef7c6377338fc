"""Values that are forgotten when unused longest."""

import pytest

from kong_eventhooks_plugin.sandbox import lru
from kong_eventhooks_plugin.sandbox.lru import Key, LruCache


def test_the_one_unused_longest_goes() -> None:
    gone: list[str] = []
    kept: LruCache[str] = LruCache(2, gone.append)
    for name in ("a", "b", "a", "c"):
        kept.get((name,), lambda key: key[0].upper())
    assert gone == ["B"]


def test_long_texts_push_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lru, "MAX_CHARACTERS", 10)
    gone: list[str] = []
    kept: LruCache[str] = LruCache(100, gone.append)
    for key in (("a" * 6,), ("b", "c" * 4), ("d" * 50,)):
        kept.get(key, lambda made: made[0][0])
    assert gone == ["a", "b"]


def test_what_cannot_be_made_is_not_kept() -> None:
    kept: LruCache[str] = LruCache(2)

    def fails(_: Key) -> str:
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        kept.get(("a",), fails)
    assert kept.get(("a",), lambda _: "made") == "made"
