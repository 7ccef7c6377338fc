"""The identity of a change, from which its events' ids come: the same on every node that finds the change.

=========================  ===========================================================================================
a change                   is identified by
=========================  ===========================================================================================
that leads to a state      schema, id, and that state as people see it (secrets masked), with its times; the operation
                           is left out: who did not know the entity before takes an update for a create
a delete                   schema and id
the same without a         schema, the configuration's hash, and the state (of a delete the last one) without its id
database                   and times, which each node gives anew
a create, for the events   schema, id, and how often the entity was deleted before, by what is known when the create is
that name the operation    found: a list that comes after an update shows another state than the route saw, and Kong's
                           PUT renews ``created_at``
=========================  ===========================================================================================

What two observers can see differently is left out: who they are, when they looked, the state before, the workspace (a
path names it and a list may not), and digests of secrets, whose key is each node's own. Where the same comes again (a
state that returns within the second of ``updated_at``, or in an entity that has none; an entity that is deleted a
second time) a number counts how often. So an observer that saw less than another counts less: of what both see, its
events are duplicates.

Limits: what was counted is forgotten when the queue has forgotten the events (``Mirror``). A change that only an
observer sees that counts less (a new node, while the others are away) has the id of the earlier one, and is no event.
Of an entity's deletes the last one's time is known: a create that is seen later than two of them counts one too many.
"""

from typing import Any, NamedTuple

from kong_eventhooks_plugin.kong.admin_api.digests import plain
from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules
from kong_eventhooks_plugin.model.operation import Operation
from kong_eventhooks_plugin.sources.changes.mirror.ordering import TimeWindow
from kong_eventhooks_plugin.sources.changes.mirror.store import Store


class Identity(NamedTuple):
    """``of_operation``: for the events that name the operation, None where it is the same. Named as in EntityChange."""

    identity: str
    of_operation: str | None


class Identities:
    """``configuration`` is the hash of a Kong without a database, None where it has one."""

    def __init__(self, store: Store, rules: EntityRules, configuration: str | None = None) -> None:
        self._store = store
        self._rules = rules
        self._configuration = configuration

    def of(self, operation: Operation, schema: str, entity: str, shown: dict[str, Any], window: TimeWindow) -> Identity:
        """Return a change's identity, and count it. ``shown`` is masked; ``window`` is of the state it leads to."""
        at = window.low
        if self._configuration is not None:
            content = self._rules.seen(schema, shown, times=False).hex()
            kind = "delete" if operation == "delete" else "state"
            return Identity(self._counted([kind, schema, self._configuration, content], at), None)
        if operation == "delete":
            return Identity(self._counted(_delete(schema, entity), at), None)
        state = ["state", schema, entity, self._rules.seen(schema, shown, times=True).hex()]
        if operation == "update":
            return Identity(self._counted(state, at), None)
        create = plain(["create", schema, entity, self._deletes_before(schema, entity, window)])
        return Identity(self._counted(state, at), create.hex())

    def _deletes_before(self, schema: str, entity: str, window: TimeWindow) -> int:
        count, last = self._store.identity_count(plain(_delete(schema, entity)))
        return count - 1 if count and window.before(TimeWindow(last, last)) else count

    def _counted(self, parts: list[Any], at: float) -> str:
        identity = plain(parts)
        before = self._store.count_identity(identity, at)
        return (identity if before == 0 else plain([*parts, before])).hex()


def _delete(schema: str, entity: str) -> list[Any]:
    return ["delete", schema, entity]
