import ssl

from kong_eventhooks_plugin.tls_groups import ELLIPTIC, keep_elliptic, offered_groups, set_groups

FINITE_FIELD = range(0x100, 0x105)
"""ffdhe2048 to ffdhe8192 (RFC 7919)."""


def test_finite_fields_go_and_the_rest_keeps_its_order() -> None:
    context = ssl.create_default_context()
    before = offered_groups(context)
    assert set(before) & set(FINITE_FIELD)
    assert keep_elliptic(context)
    assert offered_groups(context) == [group for group in before if group in ELLIPTIC]


def test_what_a_policy_refuses_stays_refused() -> None:
    context = ssl.create_default_context()
    assert set_groups(context, ["ffdhe2048", "P-384", "P-256"])
    assert keep_elliptic(context)
    assert [ELLIPTIC[group] for group in offered_groups(context)] == ["P-384", "P-256"]


def test_a_context_with_nothing_else_keeps_its_groups() -> None:
    context = ssl.create_default_context()
    assert set_groups(context, ["ffdhe2048"])
    assert not keep_elliptic(context)
    assert offered_groups(context) == [0x100]


def test_a_refused_list_changes_nothing_and_leaves_no_error_behind() -> None:
    context = ssl.create_default_context()
    before = offered_groups(context)
    assert not set_groups(context, ["nonsense"])
    assert offered_groups(context) == before
