"""An entity as the mirror keeps it: masked, with its digests, names and references."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from kong_eventhooks_plugin.kong.admin_api.entities import EntityReference, EntityRules, MaskedEntity

encode: Final = msgspec.json.Encoder().encode
_shown: Final = msgspec.json.Decoder(dict[str, Any]).decode
_digests: Final = msgspec.json.Decoder(dict[str, str]).decode


class Snapshot(NamedTuple):
    """One state of one entity. ``names`` are the first 64 bits of the keyed digests, as SQLite's integers.

    The state itself is packed: most snapshots are compared or written, and never read.
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

    def masked(self) -> MaskedEntity:
        return unpacked(self.shown, self.digests)


def snapshot_of(rules: EntityRules, schema: str, entity: Mapping[str, Any], workspace: str | None) -> Snapshot:
    """Return the snapshot of an entity as Kong gives it; its ``id`` is a text."""
    masked = rules.mask(schema, entity)
    # The id is a name too, with an index of its own.
    names = rules.names(schema, entity, with_id=False)
    return Snapshot(
        schema,
        entity["id"],
        workspace,
        rules.rules(schema, entity),
        rules.content(schema, masked),
        rules.natural_key(schema, entity),
        tuple([short(name) for name in names]),
        rules.references(schema, entity),
        *packed(masked),
    )


def with_reference(rules: EntityRules, snapshot: Snapshot, field: str, target: str | None) -> Snapshot:
    """Return a snapshot whose ``field`` refers to the entity of the id ``target``, None: to none.

    Its names stay: none is made of a reference. A natural key may be, or of a secret, which is masked here.
    """
    old = snapshot.masked()
    new = MaskedEntity({**old.shown, field: None if target is None else {"id": target}}, old.digests)
    return snapshot._replace(
        rules=rules.rules(snapshot.schema, new.shown),
        content=rules.content(snapshot.schema, new),
        natural=snapshot.natural if new.digests else rules.natural_key(snapshot.schema, new.shown),
        references=rules.references(snapshot.schema, new.shown),
        shown=packed(new)[0],
    )


def packed(state: MaskedEntity) -> tuple[bytes, bytes | None]:
    """Return the columns ``shown`` and ``digests`` of a state."""
    return encode(state.shown), encode(state.digests) if state.digests else None


def unpacked(shown: bytes, digests: bytes | None) -> MaskedEntity:
    return MaskedEntity(_shown(shown), {} if digests is None else _digests(digests))


def short(name: bytes) -> int:
    """Return a name's digest as it is kept."""
    return int.from_bytes(name[:8], "big", signed=True)
