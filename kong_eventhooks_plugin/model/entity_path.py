"""Where a path of Kong's Admin API leads; ``kong.admin_api.endpoints`` finds out."""

from typing import NamedTuple


class EntityPath(NamedTuple):
    """Where a path leads.

    ``schema`` is the entity (``keyauth_credentials``; ``""`` for a relation whose target is not known), ``key`` what
    names it in the path (decoded), None for a collection or a relation; ``parents`` are (schema, key) from the root.
    ``workspace`` is Enterprise's prefix. ``relation`` is the foreign field that the path's end goes through: ``schema``
    is then what it leads to, and the last of the parents is the entity that has the field. ``action`` is what follows
    the entity and is none (``healthy``, ``all``): such a request changes no entity. ``masked`` is the path for
    people, without query: a key that is or may be a secret is ``***`` unless it is a UUID.
    """

    schema: str
    key: str | None
    parents: tuple[tuple[str, str], ...]
    workspace: str | None
    relation: str | None
    action: str | None
    masked: str
