"""Short ids of deliveries."""

import re
from typing import Any

import pytest

from kong_eventhooks_plugin.cli.delivery_ids import short_ids, whole_id
from kong_eventhooks_plugin.errors import RemoteError
from kong_eventhooks_plugin.model.ids import delivery_id, event_id, hook_id

A, B = hook_id("a"), hook_id("b")
FIRST, SAME_TIME, LATER = (event_id(at, key) for at, key in ((1e9, "1"), (1e9, "2"), (2e9, "3")))
IDS = [delivery_id(event, hook) for event in (FIRST, SAME_TIME, LATER) for hook in (A, B)]


def listed(event: str, size: int) -> list[dict[str, Any]]:
    return [{"id": one} for one in IDS if one.startswith(event)][:size]


def test_each_is_as_short_as_tells_them_apart() -> None:
    assert short_ids([IDS[0], IDS[4]])[IDS[0]] == f"{FIRST[:13]}_{A[:4]}"
    short = short_ids(IDS)
    assert len(set(short.values())) == len(IDS)
    assert {whole_id(one, listed) for one in short.values()} == set(IDS)
    assert short_ids([]) == {}


def test_that_of_an_event_with_a_key_says_more_than_its_missing_time() -> None:
    keyed = event_id(0, "custom", "deploy-42")
    assert short_ids([delivery_id(keyed, A)]) == {delivery_id(keyed, A): f"{keyed[:23]}_{A[:4]}"}


def test_the_hook_may_be_left_out_and_whole_ids_need_no_list() -> None:
    assert whole_id(IDS[0], lambda *_: []) == IDS[0]
    with pytest.raises(RemoteError, match="may be any of: ") as several:
        whole_id(FIRST[:13], listed)
    assert len(re.findall("_", str(several.value))) == 4
    for none in ("", "_", "x", f"{FIRST}_x"):
        with pytest.raises(RemoteError, match="there is no delivery"):
            whole_id(none, listed)
