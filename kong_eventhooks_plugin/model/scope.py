"""Where in Kong something happened, and where a hook listens.

Kong configures a plugin globally or on a service, a route, a consumer or a combination of them. An
entity is known by its id and, in a file, by its name, so an event carries both and a hook either.
"""

import msgspec


class EventScope(msgspec.Struct, frozen=True):
    """The entities of one request, each as its aliases: id first, then name (a consumer's username).

    Not its custom_id: Kong refers to consumers by id or username, and one's custom_id may be another's username.
    """

    service: tuple[str, ...] = ()
    route: tuple[str, ...] = ()
    consumer: tuple[str, ...] = ()


class HookScope(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a hook listens: id or name of each entity; all None is global."""

    service: str | None = None
    route: str | None = None
    consumer: str | None = None

    def covers(self, scope: EventScope) -> bool:
        """Tell whether an event that happened in ``scope`` is one this hook may hear."""
        return (
            (self.service is None or self.service in scope.service)
            and (self.route is None or self.route in scope.route)
            and (self.consumer is None or self.consumer in scope.consumer)
        )


GLOBAL = HookScope()
NOWHERE = EventScope()
