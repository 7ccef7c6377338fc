"""A receipt's JSON from what is kept is what its view is."""

from collections.abc import Mapping

import pytest

from kong_eventhooks_plugin.api.rest.answers import encode
from kong_eventhooks_plugin.api.rest.receipt_body import HOOKS, ReceiptBody
from kong_eventhooks_plugin.api.service.presenter import Presenter
from kong_eventhooks_plugin.queue.contract import HeldBack, Receipt


@pytest.mark.parametrize(
    ("fired", "held_back"),
    [
        ((), {}),
        (("a",), {}),
        (("a", "b"), {"c": "snoozed"}),
        (("a", "c"), {"b": "snoozed"}),
        ((), {"a": "unchanged"}),
        ((), {"a": "snoozed"}),
        (tuple("abc" * HOOKS), {"c": "snoozed"}),
    ],
)
def test_it_is_the_views(fired: tuple[str, ...], held_back: Mapping[str, HeldBack]) -> None:
    names: dict[str, str | None] = {"a": 'a "name"', "b": None}
    presenter = Presenter(names.get)
    body = ReceiptBody(presenter)

    def is_the_views(receipt: Receipt) -> bool:
        return body(receipt) == encode(presenter.receipt(receipt))

    for event_id in ("1-2", "3-4"):
        for duplicate, spooled in ((False, False), (True, False), (False, True)):
            assert is_the_views(Receipt(event_id, duplicate, fired, held_back, spooled))
    names |= {"a": "renamed", "c": "new"}
    assert is_the_views(Receipt("3-4", duplicate=False, fired=fired, held_back=held_back))
