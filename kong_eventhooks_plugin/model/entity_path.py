"""What a path of Kong's Admin API leads to; ``kong.admin_api.endpoints`` resolves it."""

from typing import NamedTuple


class EntityPath(NamedTuple):
    """What a path leads to.

    ``schema`` is the entity's (``keyauth_credentials``; ``""`` for a relation with an unknown target), ``key`` the
    entity's key in the path (decoded), None for a collection or a relation; ``parents`` are (schema, key) from the
    root. ``workspace`` is Enterprise's prefix. ``relation`` is the foreign field at the path's end: ``schema`` is then
    its target, and the last of the parents the entity that has the field. ``action`` is what follows the entity and is
    no entity (``healthy``, ``all``): such a request changes none. ``masked`` is the path for people, without query: a
    key that is or may be a secret is ``***`` unless it is a UUID.
    """

    schema: str
    key: str | None
    parents: tuple[tuple[str, str], ...]
    workspace: str | None
    relation: str | None
    action: str | None
    masked: str
