"""The JSON of a receipt: from one to the next of the same hooks only the event's id differs.

Limits: of ``KEPT`` outcomes with at most ``HOOKS`` hooks the JSON around the id is kept; any other is made anew.
"""

import secrets
from functools import lru_cache
from typing import Final

from kong_eventhooks_plugin.api.rest.answers import encode
from kong_eventhooks_plugin.api.service.presenter import Presenter
from kong_eventhooks_plugin.queue.contract import HeldBack, Receipt

KEPT: Final = 64
HOOKS: Final = 16

_ID: Final = secrets.token_hex(16)  # stands for the event's id: no name has it


class ReceiptBody:
    def __init__(self, presenter: Presenter) -> None:
        self._present = presenter
        self._around_id = lru_cache(KEPT)(self._made)

    def __call__(self, receipt: Receipt) -> bytes:
        fired, held_back = receipt.fired, receipt.held_back
        if len(fired) + len(held_back) > HOOKS:
            return encode(self._present.receipt(receipt))
        held = tuple(held_back.items()) if held_back else ()
        names = self._present.names((*fired, *held_back))  # a hook may have another one by now
        around = self._around_id(fired, held, names, receipt.duplicate, receipt.spooled)
        return receipt.event_id.encode().join(around)

    def _made(
        self,
        fired: tuple[str, ...],
        held: tuple[tuple[str, HeldBack], ...],
        _names: tuple[str | None, ...],
        duplicate: bool,
        spooled: bool,
    ) -> list[bytes]:
        receipt = Receipt(_ID, duplicate=duplicate, fired=fired, held_back=dict(held), spooled=spooled)
        return encode(self._present.receipt(receipt)).split(_ID.encode())
