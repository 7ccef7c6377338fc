"""When two definitions of a hook say the same."""

from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.model.hook import Origin
from kong_eventhooks_plugin.model.scope import HookScope
from tests.support.events import make_hook


@pytest.mark.parametrize(
    "change",
    [{"origin": Origin(place="instance", key="p-1", path="plugin p-1")}, {"created_at": 5, "updated_at": 9}],
)
def test_where_and_when_do_not_matter(change: dict[str, Any]) -> None:
    hook = make_hook()
    assert hook.same_definition(msgspec.structs.replace(hook, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"url": "http://other"}},
        {"snooze": 5},
        {"on_change": True},
        {"enabled": False},
        {"scope": HookScope(service="demo")},
        {"event": "rate-limit-exceeded"},
        {"tags": ("ops",)},
    ],
)
def test_anything_else_does(change: dict[str, Any]) -> None:
    hook = make_hook()
    assert not hook.same_definition(msgspec.structs.replace(hook, **change))
