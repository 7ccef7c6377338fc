"""All use cases of the API in one value; the doors (REST, gRPC) are given nothing else.

They take and give plain values and the model's structs, and raise what ``errors`` names; what a door's protocol says
for each error is the door's to know.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kong_eventhooks_plugin.api.service.deliveries import Deliveries
from kong_eventhooks_plugin.api.service.events import Events
from kong_eventhooks_plugin.api.service.feed import Feed
from kong_eventhooks_plugin.api.service.hook_store import ApiHookStore
from kong_eventhooks_plugin.api.service.hook_tests import TestDelivery
from kong_eventhooks_plugin.api.service.hooks import Check, Enable, Hooks, nothing_to_check, nothing_to_enable
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.queue.contract import Publish, Queue


class Service(NamedTuple):
    """The use cases; sources are pure functions (``api.service.sources``)."""

    hooks: Hooks
    test_delivery: TestDelivery
    deliveries: Deliveries
    events: Events


def make_service(
    *,
    book: ActiveHooks,
    shelf: ApiHookStore,
    queue: Queue,
    feed: Feed,
    handlers: Mapping[str, Handler],
    validation: Validation,
    publish: Publish,
    clock: Callable[[], float],
    check: Check = nothing_to_check,
    enable: Enable = nothing_to_enable,
) -> Service:
    """Wire the use cases. ``check`` finds what only a compiler can; ``enable`` switches on: ``api.service.hooks``."""
    hooks = Hooks(book, shelf, validation, clock, check, enable)
    return Service(
        hooks=hooks,
        test_delivery=TestDelivery(book, handlers, hooks.get, clock, enable),
        deliveries=Deliveries(book, queue),
        events=Events(queue, feed, publish, clock),
    )
