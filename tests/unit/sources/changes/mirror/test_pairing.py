"""Which new entity is which old one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sources.changes.mirror.pairing import PairCandidate, pairs

SIDES = st.lists(
    st.tuples(st.none() | st.sampled_from([b"n1", b"n2", b"n3"]), st.sampled_from([b"a", b"b", b"c"])),
    max_size=12,
)  # fmt: skip


def test_the_natural_key_comes_before_the_content() -> None:
    gone = [PairCandidate(1, b"n1", b"a"), PairCandidate(2, b"n2", b"b")]
    created = [PairCandidate(11, b"n2", b"a"), PairCandidate(12, b"n1", b"b")]
    assert sorted(pairs(gone, created)) == [(1, 12), (2, 11)]


def test_what_has_no_key_goes_by_content_in_the_order_of_the_lists() -> None:
    gone = [PairCandidate(number, None, b"a") for number in (1, 2, 3)]
    created = [PairCandidate(number, None, b"a") for number in (11, 12)]
    assert pairs(gone, created) == [(1, 11), (2, 12)]


@given(SIDES, SIDES)
def test_pairs(old: list[tuple[bytes | None, bytes]], new: list[tuple[bytes | None, bytes]]) -> None:
    gone = [PairCandidate(number, *each) for number, each in enumerate(old)]
    created = [PairCandidate(100 + number, *each) for number, each in enumerate(new)]
    found = pairs(gone, created)
    assert len({one for one, _ in found}) == len({other for _, other in found}) == len(found)
    by_number = {each.number: each for each in gone + created}
    for one, other in found:
        left, right = by_number[one], by_number[other]
        assert left.content == right.content or (left.natural == right.natural is not None)
    rest_old = Counter(each.content for each in gone if each.number not in {one for one, _ in found})
    rest_new = Counter(each.content for each in created if each.number not in {other for _, other in found})
    assert not rest_old & rest_new, "what is equal is paired"
