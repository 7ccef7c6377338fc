"""What on_change and snooze remember holds within one transaction too, however much of it there is."""

import asyncio

import pytest

from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue, suppression
from tests.support.queue import SOURCE, offer

PER_DIGEST = SuppressionRule(on_change=True, snooze=60)


async def test_a_digest_that_fired_in_this_transaction_is_remembered_past_what_is_kept(
    queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppression, "CACHED_STATES", 4)
    digests = [b"again", *(b"%d" % number for number in range(6)), b"again"]
    offers = [offer(key, Candidate("h", SOURCE, PER_DIGEST, digest)) for key, digest in enumerate(digests)]
    receipts = await asyncio.gather(*map(queue.offer, offers))
    assert [receipt.fired for receipt in receipts] == [("h",)] * 7 + [()]
    assert receipts[-1].held_back == {"h": "snoozed"}
