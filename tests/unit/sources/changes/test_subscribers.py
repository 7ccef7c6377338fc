"""Which hooks subscribe to changes."""

from typing import Any

import pytest

from kong_eventhooks_plugin.sources.changes.catalogue import CRUD, DAO_CRUD
from kong_eventhooks_plugin.sources.poller_group import has_subscribers
from tests.support.events import make_hook


@pytest.mark.parametrize(
    ("hooks", "subscribes"),
    [
        ([], False),
        ([{}], False),
        ([{"source": "crud"}], True),
        ([{"source": "crud", "event": "consumers"}], True),
        ([{"source": "crud", "event": "an_entity_of_a_plugin:create"}], True),
        ([{"source": "dao:crud", "event": "delete"}], True),
        ([{"source": "crud", "enabled": False}], False),
        ([{"source": "custom", "event": "crud"}], False),
        ([{"source": "custom"}, {"source": "dao:crud"}], True),
    ],
)
def test_who_subscribes_to_changes(hooks: list[dict[str, Any]], subscribes: bool) -> None:
    subscribed = has_subscribers((make_hook(str(at), **fields) for at, fields in enumerate(hooks)), CRUD, DAO_CRUD)
    assert subscribed is subscribes
