"""What /readyz says of looking for changes where something needs a person."""

import msgspec
import pytest

from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sources.changes.errors import LISTS, change_errors
from kong_eventhooks_plugin.sources.changes.observer import ChangeState
from kong_eventhooks_plugin.sources.changes.reconciler import ReconcilerState
from tests.support.crud import PATHS
from tests.support.events import make_hook

WELL = ChangeState(
    active=True, pending_observations=0, lost={}, endpoints_known=True, error=None, reconciler=ReconcilerState()
)
KONG = AdminEndpoints([*PATHS, "/admins", "/admins/{admins}"])


def errors(*hooks: Hook, **state: object) -> list[str]:
    return list(change_errors(msgspec.structs.replace(WELL, **state), KONG, hooks))


def hook(event: str | None, **fields: object) -> Hook:
    return make_hook("h", source="crud", event=event, **fields)


def test_all_is_well() -> None:
    assert errors(hook(None), hook("consumers"), hook("keyauth_credentials:delete"), make_hook("d", source="dao:crud",
                  event="create")) == []  # fmt: skip


@pytest.mark.parametrize("event", ["consumer", "consumer:create"])
def test_a_hook_on_an_entity_that_this_kong_does_not_have(event: str) -> None:
    assert errors(hook(event)) == [
        "h: this Kong has no entity consumer (did you mean consumers?); the hook never fires"
    ]
    assert errors(hook("zebras")) == ["h: this Kong has no entity zebras; the hook never fires"]
    assert errors(hook(event, enabled=False)) == []
    assert errors(hook(event), endpoints_known=False) == [], "nothing is known yet"
    assert errors(make_hook("other", source="custom", event=event)) == []


def test_reconciliations_and_the_outbox_with_errors() -> None:
    state = ReconcilerState(error="/status: answered 401")
    assert errors(error="disk full", reconciler=state) == [
        "crud: disk full", "crud: reconciliation failed: /status: answered 401",
    ]  # fmt: skip
    assert errors(error="disk full", reconciler=state, active=False) == []


def test_lists_that_fail_and_lists_that_kong_refuses() -> None:
    skipped = {
        "/admins": "/admins: answered 403",
        "/filter-chains": "/filter-chains: answered 400",
        "/key-auths": "/key-auths: answered 500",
        "/consumers": "/consumers: no answer within 30 s",
    }
    state = ReconcilerState(skipped_lists=skipped)
    failed = ["crud: list skipped: /key-auths: answered 500", "crud: list skipped: /consumers: no answer within 30 s"]
    assert errors(hook(None), hook("consumers"), reconciler=state) == failed
    assert errors(hook("admins:create"), reconciler=state) == [
        *failed,
        "h: only changes through the Admin API's route are reported: Kong refuses the list (/admins: answered 403)",
    ]


def test_many_lists_that_fail_are_not_all_named() -> None:
    skipped = {f"/{number}": f"/{number}: answered 500" for number in range(LISTS + 7)}
    found = errors(reconciler=ReconcilerState(skipped_lists=skipped))
    assert (len(found), found[-1]) == (LISTS + 1, "crud: 7 more lists skipped")
