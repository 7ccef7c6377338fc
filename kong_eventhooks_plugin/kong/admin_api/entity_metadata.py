"""What Kong's Admin API does not say of its entities, in one table, with fallbacks for entities that it lacks.

From Kong 3.9's definitions (kong/db/schema/entities, kong/plugins/*/daos.lua, kong/api/routes) and, for Enterprise's
entities, its public Admin API reference. An entity that is missing here still works: its names and its natural key are
then the fields that its schema marks unique, and a key of it in a path is not shown.
"""

from collections.abc import Mapping
from types import MappingProxyType

PATH_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "acls": ("group",),
    "acme_storage": (),
    "basicauth_credentials": ("username",),
    "ca_certificates": (),
    "certificates": ("snis",),
    "consumers": ("username",),
    "filter_chains": ("name",),
    "hmacauth_credentials": ("username",),
    "jwt_secrets": ("key",),
    "key_sets": ("name",),
    "keyauth_credentials": ("key",),
    "keys": ("name",),
    "oauth2_credentials": ("client_id",),
    "oauth2_tokens": ("access_token",),
    "plugins": ("instance_name",),
    "routes": ("name",),
    "services": ("name",),
    "sessions": ("session_id",),
    "snis": ("name",),
    "targets": ("target",),
    "upstreams": ("name",),
    "vaults": ("prefix",),
    # Enterprise
    "admins": ("username", "custom_id", "email"),
    "consumer_groups": ("name",),
    "event_hooks": (),
    "groups": ("name",),
    "keyauth_enc_credentials": ("key",),
    "mtls_auth_credentials": (),
    "rbac_roles": ("name",),
    "rbac_users": ("name",),
    "workspaces": ("name",),
})  # fmt: skip
"""Schema -> the fields beside the id that may name an entity in a path (a list's every item may)."""

NATURAL_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "acls": (("group", "consumer"),),
        "keys": (("name",), ("kid", "set")),
        "plugins": (("name", "route", "service", "consumer", "consumer_group"),),
        "targets": (("target", "upstream"),),
    }
)
"""Schema -> fields that are unique together; of several the first whose first field is set.

Kong keeps the same in ``cache_key``, which it does not expose. For other schemas: each field that the schema marks
unique. Kong derives the id of an entity that kong.yml gives none from these, and so keeps it over a reload, unless a
field of them is missing or may be made up by Kong (``auto``: the key of key-auth, jwt and oauth2). Seen on a real Kong:
those credentials and unnamed routes, services, consumers and key sets get new ids at every reload, and so
does a plugin on an unnamed route.
"""

SECRETS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "acme_storage": ("value",),
    "basicauth_credentials": ("password",),
    "certificates": ("key", "key_alt"),
    "hmacauth_credentials": ("secret",),
    "jwt_secrets": ("secret",),
    "keyauth_credentials": ("key",),
    "keys": ("jwk", "pem.private_key"),
    "oauth2_authorization_codes": ("code", "challenge"),
    "oauth2_credentials": ("client_secret",),
    "oauth2_tokens": ("access_token", "refresh_token"),
    "sessions": ("data", "session_id"),
    "upstreams": ("healthchecks.active.headers",),
    "vaults": ("config",),
    # Enterprise
    "admins": ("register_url", "token"),
    "consumer_reset_secrets": ("secret",),
    "credentials": ("credential_data",),
    "developers": ("password",),
    "event_hooks": ("config",),
    "keyauth_enc_credentials": ("key", "key_ident"),
    "licenses": ("payload",),
    "oic_issuers": ("keys", "secret"),
    "oic_jwks": ("jwks",),
    "partials": ("config",),
    "jwt_signer_jwks": ("keys", "previous"),
    "rbac_users": ("user_token", "user_token_ident"),
    "vault_auth_vaults": ("vault_token",),
})  # fmt: skip
"""Schema -> secrets by dotted path, whether or not Kong marks them ``encrypted`` or ``referenceable``."""

_WRITTEN_ON = tuple(f"config.{how}.{what}" for how in ("add", "append", "replace")
                    for what in ("body", "headers", "querystring"))  # fmt: skip

PLUGIN_SECRETS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "event-hooks": ("config.hooks.handler_config.body",),
    "request-transformer": _WRITTEN_ON,
    "request-transformer-advanced": _WRITTEN_ON,
})  # fmt: skip
"""The same for single plugins.

What they put on requests to a service or to an alerting service authenticates the caller there: ``Authorization``, a
routing key. Our own API shows a hook's body to nobody either.
"""

VIEWS = frozenset({"tags"})
"""Looks like an entity in /endpoints and has a schema; its items are lists of other entities' tags."""


def is_open_name(schema: str) -> bool:
    """Return whether what names an entity of the schema in a path is certainly no secret."""
    names = PATH_NAMES.get(schema)
    return names is not None and not set(names) & set(SECRETS.get(schema, ()))
