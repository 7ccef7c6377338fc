"""An entity as the mirror keeps it: without its secrets, with its digests, names and references."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.kong.admin_api.entities import EntityReference, EntityRules, MaskedEntity
from kong_eventhooks_plugin.sources.changes.mirror.packing import hidden_of, packed


class Snapshot(NamedTuple):
    """One state of one entity. ``names`` are the first 64 bits of the keyed digests, as SQLite's integers.

    The state itself is packed: most images are compared or written, and never looked at.
    """

    schema: str
    id: str
    workspace: str | None
    rules: bytes
    content: bytes
    natural: bytes | None
    names: tuple[int, ...]
    references: tuple[EntityReference, ...]
    shown: bytes
    digests: bytes | None

    def hidden(self) -> MaskedEntity:
        """Return the state itself."""
        return hidden_of(self.shown, self.digests)


def snapshot_of(rules: EntityRules, schema: str, entity: Mapping[str, Any], workspace: str | None) -> Snapshot:
    """Return the image of an entity as Kong gives it; its ``id`` is a text."""
    hidden = rules.mask(schema, entity)
    # The id is a name too, with an index of its own.
    names = rules.names(schema, entity, with_id=False)
    return Snapshot(
        schema,
        entity["id"],
        workspace,
        rules.rules(schema, entity),
        rules.content(schema, hidden),
        rules.natural_key(schema, entity),
        tuple([short(name) for name in names]),
        rules.references(schema, entity),
        *packed(hidden),
    )


def with_reference(rules: EntityRules, image: Snapshot, field: str, target: str | None) -> Snapshot:
    """Return an image whose ``field`` refers to the entity of the id ``target``, None: to none.

    Its names stay: none is made of a reference. A natural key may be, or of a secret, of which nothing is left.
    """
    old = image.hidden()
    hidden = MaskedEntity({**old.shown, field: None if target is None else {"id": target}}, old.digests)
    return image._replace(
        rules=rules.rules(image.schema, hidden.shown),
        content=rules.content(image.schema, hidden),
        natural=image.natural if hidden.digests else rules.natural_key(image.schema, hidden.shown),
        references=rules.references(image.schema, hidden.shown),
        shown=packed(hidden)[0],
    )


def short(name: bytes) -> int:
    """Return a name's digest as it is kept."""
    return int.from_bytes(name[:8], "big", signed=True)
