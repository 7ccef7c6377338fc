"""All use cases of the API in one value: REST and gRPC get nothing else.

They accept and return plain values and the model's structs; ``presenter`` turns these into views.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from kong_eventhooks_plugin.api.service.deliveries import Deliveries
from kong_eventhooks_plugin.api.service.events import Events
from kong_eventhooks_plugin.api.service.feed import Feed
from kong_eventhooks_plugin.api.service.hook_states import HookStates
from kong_eventhooks_plugin.api.service.hook_store import ApiHookStore
from kong_eventhooks_plugin.api.service.hook_tests import TestDelivery
from kong_eventhooks_plugin.api.service.hooks import Check, Enable, Hooks
from kong_eventhooks_plugin.api.service.presenter import Presenter
from kong_eventhooks_plugin.api.service.previews import Previews
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.preview.dry_run import DryRun
from kong_eventhooks_plugin.queue.contract import Publish, Queue
from kong_eventhooks_plugin.sandbox.pool import Pool


class Service(NamedTuple):
    """Sources are pure functions (``api.service.sources``)."""

    hooks: Hooks
    states: HookStates
    test_delivery: TestDelivery
    previews: Previews
    deliveries: Deliveries
    events: Events
    presenter: Presenter


def make_service(
    *,
    registry: ActiveHooks,
    hook_store: ApiHookStore,
    queue: Queue,
    feed: Feed,
    handlers: Mapping[str, Handler],
    validation: Validation,
    pool: Pool,
    publish: Publish,
    check: Check,
    enable: Enable,
    states: HookStates,
) -> Service:
    """``check`` and ``enable``: see ``api.service.hooks``."""
    hooks = Hooks(registry, hook_store, validation, time.time, check, enable)
    dry_run = DryRun(handlers, pool, time.time, queue.suppression)
    return Service(
        hooks=hooks,
        states=states,
        test_delivery=TestDelivery(registry, handlers, hooks.get, time.time, enable, dry_run.explain),
        previews=Previews(hooks, queue, dry_run, time.time),
        deliveries=Deliveries(registry, queue),
        events=Events(queue, feed, publish, time.time),
        presenter=Presenter(hooks.name_of),
    )
