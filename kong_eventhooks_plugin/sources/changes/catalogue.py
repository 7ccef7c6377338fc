"""What the catalogue says of changes of Kong's entities."""

from collections.abc import Iterator
from typing import Any

from kong_eventhooks_plugin.sources.entry import EventEntry, EventFamily, EventField, SourceEntry

CRUD = "crud"
DAO_CRUD = "dao:crud"

OPERATIONS = {"create": "created", "update": "changed", "delete": "deleted"}
"""Each with what was done, for people."""

ENTITIES = (
    "acls", "acme_storage", "admins", "application_instances", "applications", "basicauth_credentials",
    "ca_certificates", "certificates", "consumer_groups", "consumers", "degraphql_routes", "developers",
    "document_objects", "event_hooks", "files", "filter_chains", "graphql_ratelimiting_advanced_cost_decoration",
    "groups", "hmacauth_credentials", "jwt_secrets", "jwt_signer_jwks", "key_sets", "keyauth_credentials",
    "keyauth_enc_credentials", "keys", "konnect_applications", "licenses", "login_attempts", "mtls_auth_credentials",
    "oauth2_credentials", "oauth2_tokens", "oic_issuers", "partials", "plugins", "rbac_roles", "rbac_users", "routes",
    "services", "sessions", "snis", "targets", "upstreams", "vault_auth_vaults", "vaults", "workspaces",
)  # fmt: skip
"""Entities of Kong and Kong Enterprise, listed for people. A hook may name any other that its Kong has."""

_UNIQUE = ("operation", "entity", "old_entity", "schema")

_CONSUMER = {
    "id": "100315c7-51e7-55e6-b065-e6ddc0571148",
    "username": "joe",
    "custom_id": "42",
    "created_at": 1795278761,
    "updated_at": 1795278775,
}
_ACTOR = {
    "consumer": {"id": "9c0c3b0e-7f0c-4a5c-8a57-0f3a6f5c5c11", "username": "admin", "custom_id": None},
    "credential": "e465eedb-a6f9-4f7f-8a1c-680bdb084cba",
    "ip": "127.0.0.1",
    "user_agent": "curl/8.5.0",
    "request_id": "7d051d5703285456c4efb40f48ccda0c",
    "method": "PATCH",
    "path": "/admin/consumers/joe",
}
_FIELDS = (
    EventField("operation", "`create`, `update` or `delete`.", "update"),
    EventField(
        "entity",
        "The entity as it is now; of a delete, as it was last known (`{}` where only a path named it). Secrets are "
        "`***`.",
        _CONSUMER,
        "any",
    ),
    EventField(
        "old_entity",
        "The entity as it was last known before. null for a create, for a delete (as in Kong Enterprise), and where "
        "it was not known.",
        {**_CONSUMER, "username": "Joe", "updated_at": 1795278761},
        "any",
    ),
    EventField("schema", "The kind of entity: `consumers`, `keyauth_credentials`, ...", "consumers"),
    EventField(
        "changed",
        "Of an update the fields that differ, as dotted paths (`config.minute`), `created_at` and `updated_at` "
        "aside; empty for a write that changed nothing.",
        ["username"],
        ["text"],
    ),
    EventField(
        "actor",
        "Who did it, where the Admin API's route saw it: `consumer` (`id`, `username`, `custom_id`; null for an "
        "anonymous client), `credential` (its id), `ip`, `user_agent`, `request_id`, `method` and `path`, in which "
        "keys are `***`. null where a reconciliation found the change.",
        _ACTOR,
    ),
    EventField(
        "seen_by",
        "`route` where the Admin API's route saw the change, `reconciliation` where the Admin API's lists did.",
        "route",
    ),
    EventField(
        "old_at",
        "When the state before (`old_entity`; of a delete `entity`) was last known to hold, Unix seconds. null where "
        "none was known.",
        1795278761.25,
        "number",
    ),
    EventField(
        "workspace", "The workspace's name, under Kong Enterprise where there are several. null else.", kind="text"
    ),
    EventField(
        "deleted_with",
        "The entity whose delete removed this one too, as `schema:id`: a consumer's credentials go with it. null else.",
        kind="text",
    ),
    EventField(
        "omitted_fields",
        "Fields of `entity` and `old_entity` that are left out because the entity is larger than 1 MiB, as dotted "
        "paths; mostly empty.",
        [],
        ["text"],
    ),
)


_EXAMPLES: dict[str, dict[str, Any]] = {
    "create": {"operation": "create", "old_entity": None, "changed": [], "old_at": None},
    "delete": {"operation": "delete", "old_entity": None, "changed": []},
}


def _entry(name: str, description: str) -> EventEntry:
    entity, _, operation = name.partition(":")
    examples = _of_entity(entity) | _EXAMPLES.get(operation or name, {})
    fields = tuple(field._replace(example=examples.get(field.name, field.example)) for field in _FIELDS)
    return EventEntry(name, description, fields, _UNIQUE)


def _of_entity(entity: str) -> dict[str, Any]:
    """Return what differs in the example of another entity than a consumer."""
    if entity not in ENTITIES or entity == _EXAMPLE:
        return {}
    state = {"id": "4b1c4b6e-4f0a-4b61-8a0e-2c9a3a6f6a11", "name": "example", "created_at": 1795278761}
    renewed = {**state, "updated_at": 1795278775}
    return {"entity": renewed, "old_entity": {**state, "name": "before"}, "schema": entity, "changed": ["name"]}


_EXAMPLE = "consumers"
"""The entity that the examples of both sources show."""

_NAME = "[a-z][a-z0-9_]*"

_FAMILIES = (
    EventFamily("<entity>", _NAME, _entry("<entity>", "An entity of that kind was created, changed or deleted.")),
    *(
        EventFamily(f"<entity>:{name}", f"{_NAME}:{name}", _entry(f"<entity>:{name}", f"One was {done}."))
        for name, done in OPERATIONS.items()
    ),
)


def _crud_events() -> Iterator[EventEntry]:
    for entity in ENTITIES:
        yield _entry(entity, f"An entity of the kind {entity} was created, changed or deleted.")
        for name, done in OPERATIONS.items():
            yield _entry(f"{entity}:{name}", f"An entity of the kind {entity} was {done}.")


_WHAT_IT_NEEDS = (
    "It needs the setting `admin_url`. Changes made through a route with the plugin `event-hooks-crud` on it "
    "(docs/admin-api-route.md) are reported at once and with who made them. All others (straight at the admin port, by "
    "a node without the route, by a new kong.yml) are found by the next reconciliation, which reads all entities every "
    "`crud_reconcile_seconds`: one event for each entity that differs between two of them. A whole configuration that "
    "is sent through the route (`POST /config` of a DB-less Kong) starts one at once: its changes come within seconds, "
    "without `actor`. Each change is reported once, whichever way and by whichever node it was seen. Where nodes share "
    "a store, one with `admin_url` reports what the routes of those without it see. It reads the entity first: a "
    "change through such a route that is changed again, or deleted, before it is read is no event of its own "
    "(docs/cluster.md). The first reconciliation ever reports nothing; after a restart, and after up to ten minutes "
    "without hooks on it, the next one reports what changed meanwhile."
)
_TWO_EVENTS = (
    "One change is one event `<entity>` and one `<entity>:<operation>` here, and one of `dao:crud`. A hook that names "
    "no event receives `<entity>` alone, so once for each change; its `filter` finds the operation in "
    "`data.operation`. `<entity>:<operation>` reaches the hooks that name it; for one operation of every entity use "
    "`dao:crud`. `<entity>` is as Kong calls it, in the plural: {} and whatever else this Kong has, custom plugins' "
    "entities included."
).format(", ".join(f"`{entity}`" for entity in ENTITIES))
_SECRETS = (
    "Secrets are shown as `***`: fields that Kong marks as `encrypted` or `referenceable`, and keys, passwords and "
    "secrets of credentials, private keys, vaults' configuration, headers of health checks, what request-transformer "
    "writes into requests and the bodies of hooks, which it does not mark; and all that is not harmless of an entity "
    "that Kong has no schema for. A reference to a vault stays. `crud_reveal` lets single fields through "
    "(`keyauth_credentials.key`, `plugins.config.http_endpoint`). `changed` names a masked field that changed."
)
_WHICH_HOOKS_MATCH = (
    "A hook that is declared on a service, a route or a consumer fires for changes of that entity and of those that "
    "refer to it: a consumer's credentials, a service's routes and plugins."
)
_NOT_AT_ONCE = (
    "What the route sees and cannot be read, or comes while 1,000 changes or 64 MiB wait, is counted as lost and "
    "found by the next reconciliation, without `actor`. Nor does the route see requests with `Upgrade: websocket`."
)
_WHAT_IS_NONE = (
    "Refused requests, validations, deletes of what was not there and marking targets healthy or unhealthy are no "
    "events. A write that changed nothing is an `update`, as in Kong Enterprise, with `changed` empty."
)

SOURCES: tuple[SourceEntry, ...] = (
    SourceEntry(
        CRUD,
        "An entity of Kong was created, changed or deleted.",
        "0.1.0",
        tuple(_crud_events()),
        _FAMILIES,
        notes=(_WHAT_IT_NEEDS, _TWO_EVENTS, _WHAT_IS_NONE, _SECRETS, _WHICH_HOOKS_MATCH, _NOT_AT_ONCE),
        needs_admin_api=True,
        named_only=".+:.+",
        example=_EXAMPLE,
    ),
    SourceEntry(
        DAO_CRUD,
        "The same as crud, with the operation as the event.",
        "0.1.0",
        tuple(_entry(name, f"An entity was {done}.") for name, done in OPERATIONS.items()),
        needs_admin_api=True,
        example="update",
    ),
)
