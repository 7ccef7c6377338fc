"""Names and ids of the same entity."""

import json
from pathlib import Path

import pytest

from kong_eventhooks_plugin.hooks.in_force.scope_comparison import certainly_differ, dbless_id, same_scope
from kong_eventhooks_plugin.model.scope import HookScope

CAPTURES = Path(__file__).parents[2] / "captures"
# From the recorded Admin API of a DB-less Kong.
DEMO, JOE = "a7d6e0b8-620f-53ce-96df-34f9cb6f7ff1", "100315c7-51e7-55e6-b065-e6ddc0571148"
OTHER = "083c1269-da48-5a60-bbdc-33a81c476517"


def test_ids_are_derived_as_kong_does() -> None:
    assert dbless_id("services", "demo") == DEMO
    assert dbless_id("services", "hidden") == OTHER
    consumers = json.loads((CAPTURES / "admin-api" / "dbless-consumers.json").read_text())["data"]
    assert {dbless_id("consumers", each["username"]) for each in consumers} == {each["id"] for each in consumers}


@pytest.mark.parametrize(
    ("one", "other", "same", "differ"),
    [
        (HookScope(), HookScope(), True, False),
        (HookScope(service="demo"), HookScope(service="demo"), True, False),
        (HookScope(service="demo"), HookScope(service=DEMO), True, False),
        (HookScope(consumer=JOE), HookScope(consumer="Joe"), True, False),
        (HookScope(service="demo"), HookScope(service="hidden"), False, True),
        (HookScope(service=DEMO), HookScope(service=OTHER), False, True),
        (HookScope(service="demo"), HookScope(), False, True),
        (HookScope(service="demo"), HookScope(route="demo"), False, True),
        # With a database an id says nothing of the name.
        (HookScope(service="demo"), HookScope(service=OTHER), False, False),
        (HookScope(service="demo", consumer="a"), HookScope(service=OTHER, consumer="b"), False, True),
    ],
)
def test_scopes(one: HookScope, other: HookScope, same: bool, differ: bool) -> None:
    assert (same_scope(one, other), certainly_differ(one, other)) == (same, differ)
    assert (same_scope(other, one), certainly_differ(other, one)) == (same, differ)
