"""Which node sends a ping, where nodes share the store: one of them, and none for what is no news.

A hook that the API makes, changes or deletes is seen by every node: its owner sends, at once. One that nodes declare is
created by the first that declares it and deleted by the last; in between, a change is reported when its owner has it.
Nodes that begin or cease to declare a hook at the same moment (one configuration for all) are told apart after
``SETTLING`` seconds, when each has said what it declares. A race that remains costs a second ping or none.
"""

from typing import Final

from kong_eventhooks_plugin.delivery.membership import Membership
from kong_eventhooks_plugin.delivery.pings import EXPIRES, Ping
from kong_eventhooks_plugin.queue.contract import Clock

SETTLING: Final = 2.0


class PingTurns:
    """``pings.Turn``."""

    def __init__(self, membership: Membership, clock: Clock) -> None:
        self._membership = membership
        self._clock = clock

    def __call__(self, ping: Ping) -> bool | None:
        hook, now = ping.hook, self._clock()
        by_api = hook.origin.place == "api"
        if not by_api and ping.operation != "update" and 0 <= now - ping.asked_at < SETTLING:
            return None
        if ping.operation == "create" and (
            now - hook.created_at > EXPIRES if by_api else self._membership.found_declared(hook.id)
        ):
            return False
        if ping.operation == "delete" and not by_api:
            return ping.owned and not self._membership.declared_elsewhere(hook.id)
        return True if self._membership.owns(hook.id) else None
