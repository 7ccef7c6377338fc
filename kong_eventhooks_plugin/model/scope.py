"""Where in Kong an event happened, and what a hook is limited to.

Kong configures a plugin globally or on a service, a route, a consumer or a combination of them. An
entity is referred to by its id or, in a file, by its name, so an event has both and a hook either.
"""

import msgspec


class EventScope(msgspec.Struct, frozen=True, gc=False):
    """The entities of one request, each as its aliases: id first, then name (a consumer's username).

    Not its custom_id: Kong refers to consumers by id or username, and one's custom_id may be another's username.
    """

    service: tuple[str, ...] = ()
    route: tuple[str, ...] = ()
    consumer: tuple[str, ...] = ()


class HookScope(msgspec.Struct, frozen=True, omit_defaults=True):
    """The id or name of each entity that a hook is limited to; all None is global."""

    service: str | None = None
    route: str | None = None
    consumer: str | None = None

    def covers(self, scope: EventScope) -> bool:
        """Return whether the hook may fire for an event in ``scope``."""
        return (
            (self.service is None or self.service in scope.service)
            and (self.route is None or self.route in scope.route)
            and (self.consumer is None or self.consumer in scope.consumer)
        )


GLOBAL = HookScope()
NOWHERE = EventScope()
