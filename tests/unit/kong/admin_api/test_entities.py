"""Recorded entities under recorded schemas: what is hidden, what differs, what names an entity, where it leads."""

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.hooks import masking
from kong_eventhooks_plugin.kong.admin_api.entities import EntityReference, EntityRules, MaskedEntity
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import plugin_info
from kong_eventhooks_plugin.model.masking import MASK
from tests.support.hooks import plugin_config
from tests.support.kong_shape import KEY, plugin, plugin_schemas, recorded, rules, schemas

RULES = rules()
HUSH = "hush-3f1c"


def hide(schema: str, entity: dict[str, Any], **more: Any) -> MaskedEntity:
    return (rules(**more) if more else RULES).mask(schema, entity)


def with_field(entity: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with one field set, by dotted path."""
    copied = copy.deepcopy(entity)
    *heads, last = path.split(".")
    at = copied
    for head in heads:
        at = at[head] if isinstance(at.get(head), dict) else at.setdefault(head, {})
    at[last] = value
    return copied


def at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[part]
    return value


def test_the_mask_is_that_of_the_hooks() -> None:
    assert MASK == masking.MASK


# Secrets


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("keyauth_credentials", "key"), ("basicauth_credentials", "password"), ("hmacauth_credentials", "secret"),
        ("jwt_secrets", "secret"), ("oauth2_credentials", "client_secret"), ("certificates", "key"),
        ("certificates", "key_alt"), ("certificates", "cert"), ("keys", "jwk"), ("keys", "pem.private_key"),
        ("vaults", "config"),
    ],
)  # fmt: skip
def test_a_secret_is_hidden(schema: str, path: str) -> None:
    entity = with_field(recorded(schema)[0], path, HUSH)
    hidden = hide(schema, entity)
    assert HUSH not in json.dumps(hidden)
    assert at(hidden.shown, path) == MASK
    assert list(hidden.digests) == [path] or path in hidden.digests
    assert at(entity, path) == HUSH, "what was handed in stays"


@pytest.mark.parametrize("schema", ["oauth2_tokens", "sessions", "acme_storage"])
def test_secrets_of_what_was_not_recorded(schema: str) -> None:
    secret = {"oauth2_tokens": ("access_token", "refresh_token"), "sessions": ("session_id", "data"),
              "acme_storage": ("value",)}[schema]  # fmt: skip
    hidden = hide(schema, {"id": "x", **dict.fromkeys(secret, HUSH)})
    assert hidden.shown == {"id": "x", **dict.fromkeys(secret, MASK)}
    assert sorted(hidden.digests) == sorted(secret)


@pytest.mark.parametrize(
    "schema", ["consumers", "services", "routes", "upstreams", "targets", "acls", "snis", "key_sets"]
)
def test_an_entity_without_secrets_is_shown_as_it_is(schema: str) -> None:
    for entity in recorded(schema):
        hidden = hide(schema, entity)
        assert hidden == MaskedEntity(entity, {})
        assert hidden.shown is entity


def test_what_is_not_set_is_not_hidden() -> None:
    entity = with_field(recorded("keyauth_credentials")[0], "key", None)
    assert hide("keyauth_credentials", entity) == MaskedEntity(entity, {})


def test_what_an_upstream_s_health_check_sends_along_is_hidden() -> None:
    upstream = with_field(recorded("upstreams")[0], "healthchecks.active.headers", {"Authorization": [HUSH]})
    hidden = hide("upstreams", upstream)
    assert HUSH not in json.dumps(hidden)
    assert hidden.shown["healthchecks"]["passive"] == upstream["healthchecks"]["passive"]


@pytest.mark.parametrize("how", ["add", "append", "replace"])
@pytest.mark.parametrize("what", ["headers", "querystring", "body"])
def test_what_request_transformer_writes_on_requests_is_hidden(how: str, what: str) -> None:
    strings = {"type": "array", "elements": {"type": "string"}}
    parts = [{"headers": strings}, {"querystring": strings}, {"body": strings}]
    record = {"type": "record", "fields": parts}
    config = {"type": "record", "fields": [{name: record} for name in ("add", "append", "replace", "remove")]}
    plugins = {"request-transformer": {"fields": [{"config": config}]}}
    entity = {"id": "p", "name": "request-transformer", "config": {
        how: {what: [f"Authorization:{HUSH}"]}, "remove": {what: ["X-Old"]},
    }}  # fmt: skip
    hidden = EntityRules(schemas(), plugins, KEY).mask("plugins", entity)
    assert hidden.shown["config"] == {how: {what: [MASK]}, "remove": {what: ["X-Old"]}}


def test_of_our_own_plugin_no_more_is_shown_than_our_api_shows() -> None:
    plugins = {name: plugin_info(name, "/x.sock")["Plugins"][0]["Schema"] for name in ("event-hooks",)}
    config = {"url": f"http://u:{HUSH}@h/{HUSH}", "headers": {"x": HUSH}, "secret": HUSH, "previous_secret": HUSH,
              "payload": {"routing_key": HUSH}, "body": f'{{"routing_key": "{HUSH}"}}', "method": "POST"}  # fmt: skip
    hook = {"name": "pager", "source": "crud", "handler": "webhook-custom", "config": config}
    other = hook | {"name": "by-text", "config": {"method": "POST", "payload": f'{{"routing_key": "{HUSH}"}}'}}
    entity = {"id": "p", "name": "event-hooks", "config": plugin_config(hook, other)}
    hidden = EntityRules(schemas(), plugins, KEY).mask("plugins", entity)
    assert HUSH not in json.dumps(hidden)
    assert [each["handler_config"]["method"] for each in hidden.shown["config"]["hooks"]] == ["POST", "POST"]


def test_a_jwt_key_is_no_secret() -> None:
    hidden = hide("jwt_secrets", recorded("jwt_secrets")[0] | {"rsa_public_key": "public"})
    assert (hidden.shown["key"], hidden.shown["rsa_public_key"]) == ("jk", "public")


def test_a_plugin_s_secrets() -> None:
    hidden = hide("plugins", plugin("http-log"))
    config = hidden.shown["config"]
    assert config["http_endpoint"] == MASK
    assert config["headers"] == {"X-Token": MASK, "X-Ref": "{vault://env/token}"}
    assert config["queue"] == plugin("http-log")["config"]["queue"]
    assert sorted(hidden.digests) == ["config.headers.X-Token", "config.http_endpoint"]


def test_a_reference_is_shown_and_a_literal_in_its_place_is_not() -> None:
    hidden = hide("plugins", plugin("aws-lambda"))
    assert hidden.shown["config"]["aws_key"] == "{vault://env/aws-key}"
    assert hidden.shown["config"]["aws_secret"] == MASK
    for text in ("{vault://", "vault://env/x}", "x{vault://env/x}"):
        entity = with_field(plugin("aws-lambda"), "config.aws_key", text)
        assert hide("plugins", entity).shown["config"]["aws_key"] == MASK


def test_an_older_name_that_kong_prints_beside_the_new_one() -> None:
    entity = plugin("rate-limiting")
    assert entity["config"]["redis_password"] == entity["config"]["redis"]["password"] == "pw"
    hidden = hide("plugins", entity)
    assert hidden.shown["config"]["redis_password"] == hidden.shown["config"]["redis"]["password"] == MASK
    assert hidden.shown["config"]["redis_host"] == "h"
    assert list(hidden.digests) == ["config.redis.password"]


def test_an_older_name_without_the_new_one() -> None:
    hidden = hide("plugins", with_field(plugin("opentelemetry"), "config.endpoint", f"https://x/{HUSH}"))
    assert hidden.shown["config"]["endpoint"] == MASK


# Types as openid-connect's public documentation has them: it is no part of the open-source Kong.
OPENID = {"fields": [{"config": {"type": "record", "fields": [
    {"client_secret": {"type": "array", "elements": {"type": "string", "encrypted": True, "referenceable": True}}},
    {"session_secret": {"type": "string", "encrypted": True, "referenceable": True}},
    {"client_jwk": {"type": "array", "elements": {"type": "record", "fields": [
        {"kid": {"type": "string"}}, {"k": {"type": "string", "encrypted": True, "referenceable": True}}]}}},
    {"scopes": {"type": "array", "elements": {"type": "string"}}},
    {"anything": {"type": "json"}},
    {"untold": {"type": "map"}},
    {"by_name": {"type": "map", "keys": {"type": "string"}, "values": {"type": "record", "fields": [
        {"secret": {"type": "string", "encrypted": True}}, {"plain": {"type": "string"}}]}}},
]}}]}  # fmt: skip


def openid(config: dict[str, Any], open_fields: tuple[str, ...] = ()) -> MaskedEntity:
    made = EntityRules(schemas(), {"openid-connect": OPENID}, KEY, open_fields)
    return made.mask("plugins", {"id": "x", "name": "openid-connect", "config": config})


@pytest.mark.parametrize(
    ("config", "shown", "digests"),
    [
        ({"client_secret": [HUSH, "{vault://env/a}", HUSH]}, {"client_secret": [MASK, "{vault://env/a}", MASK]},
         ["client_secret"]),
        ({"client_jwk": [{"kid": "1", "k": HUSH}, {"kid": "2", "k": None}]},
         {"client_jwk": [{"kid": "1", "k": MASK}, {"kid": "2", "k": None}]}, ["client_jwk"]),
        ({"scopes": ["a"], "client_secret": [], "client_jwk": []},
         {"scopes": ["a"], "client_secret": [], "client_jwk": []}, []),
        ({"anything": {"a": HUSH}}, {"anything": MASK}, ["anything"]),
        ({"untold": {"a": HUSH}}, {"untold": MASK}, ["untold"]),
        ({"by_name": {"a.b": {"secret": HUSH, "plain": "p"}}}, {"by_name": {"a.b": {"secret": MASK, "plain": "p"}}},
         ["by_name.a.b.secret"]),
        ({"new_in_3_12": HUSH, "flag": True, "none": None}, {"new_in_3_12": MASK, "flag": True, "none": None},
         ["new_in_3_12"]),
        ({"client_jwk": HUSH, "by_name": HUSH}, {"client_jwk": MASK, "by_name": MASK}, ["by_name", "client_jwk"]),
        ({"client_jwk": {}, "by_name": []}, {"client_jwk": {}, "by_name": []}, []),
        (HUSH, MASK, [""]),
    ],
)  # fmt: skip
def test_fields_in_records_lists_and_maps(config: Any, shown: Any, digests: list[str]) -> None:
    hidden = openid(config)
    assert hidden.shown["config"] == shown
    assert sorted(hidden.digests) == [f"config.{path}".rstrip(".") for path in digests]
    assert HUSH not in json.dumps(hidden)


# Let through by setting


@pytest.mark.parametrize(
    ("opened", "schema", "path"),
    [
        ("keyauth_credentials.key", "keyauth_credentials", "key"),
        ("plugins.config.http_endpoint", "plugins", "config.http_endpoint"),
        ("plugins.config.headers.X-Token", "plugins", "config.headers.X-Token"),
        ("plugins.config.headers", "plugins", "config.headers.X-Token"),
        ("plugins.config", "plugins", "config.headers.X-Token"),
        ("vaults.config", "vaults", "config.prefix"),
        ("vaults.config.prefix", "vaults", "config.prefix"),
    ],
)
def test_a_field_is_let_through(opened: str, schema: str, path: str) -> None:
    entity = plugin("http-log") if schema == "plugins" else recorded(schema)[0]
    hidden = hide(schema, entity, open_fields=[opened])
    assert at(hidden.shown, path) == at(entity, path)
    assert path not in hidden.digests


def test_nothing_beside_it_is_let_through() -> None:
    hidden = hide("plugins", plugin("http-log"), open_fields=["plugins.config.headers.X-Token"])
    assert hidden.shown["config"]["http_endpoint"] == MASK
    entity = recorded("vaults")[0] | {"config": {"prefix": "X", "token": HUSH}}
    hidden = hide("vaults", entity, open_fields=["vaults.config.prefix"])
    assert hidden.shown["config"] == {"prefix": "X", "token": MASK}


@pytest.mark.parametrize(
    ("opened", "shown"),
    [
        ("by_name", {"a": {"secret": HUSH, "plain": "p"}, "b": {"secret": HUSH}}),
        ("by_name.a", {"a": {"secret": HUSH, "plain": "p"}, "b": {"secret": MASK}}),
        ("by_name.a.secret", {"a": {"secret": HUSH, "plain": "p"}, "b": {"secret": MASK}}),
        ("by_name.a.plain", {"a": {"secret": MASK, "plain": "p"}, "b": {"secret": MASK}}),
        ("by_name.secret", {"a": {"secret": MASK, "plain": "p"}, "b": {"secret": MASK}}),
    ],
)
def test_what_is_let_through_of_a_map(opened: str, shown: Any) -> None:
    config = {"by_name": {"a": {"secret": HUSH, "plain": "p"}, "b": {"secret": HUSH}}}
    assert openid(config, (f"plugins.config.{opened}",)).shown["config"]["by_name"] == shown


@pytest.mark.parametrize(("opened", "shown"), [("client_jwk.k", HUSH), ("client_jwk", HUSH), ("client_jwk.kid", MASK)])
def test_what_is_let_through_of_a_list_of_records(opened: str, shown: str) -> None:
    hidden = openid({"client_jwk": [{"kid": "1", "k": HUSH}]}, (f"plugins.config.{opened}",))
    assert hidden.shown["config"]["client_jwk"] == [{"kid": "1", "k": shown}]


def test_a_shorter_path_covers_longer_ones() -> None:
    hidden = hide("vaults", recorded("vaults")[0], open_fields=["vaults.config.prefix", "vaults.config"])
    assert hidden.digests == {}


# Without a schema


def test_an_unknown_entity_is_hidden_but_for_the_harmless() -> None:
    shown = {"id": "x", "created_at": 5, "updated_at": 6, "name": "n", "tags": ["t"], "consumer": {"id": "c"}}
    entity = shown | {"token": HUSH, "more": {"id": "c", "x": HUSH}, "list": [HUSH], "on": True, "none": None, "n": 5}
    hidden = hide("things", entity)
    masked = dict.fromkeys(("token", "more", "n"), MASK) | {"list": [MASK]}
    assert hidden.shown == entity | masked
    assert list(hidden.shown) == list(entity)
    assert sorted(hidden.digests) == ["list", "more", "n", "token"]
    assert not RULES.has_schema("things", entity)
    assert hide("things", {"name": {"a": HUSH}, "tags": [{"a": HUSH}]}).shown == {"name": MASK, "tags": [MASK]}


def test_an_unknown_plugin_s_config_is_hidden() -> None:
    entity = plugin("key-auth") | {"name": "home-made"}
    hidden = hide("plugins", entity)
    assert hidden.shown == entity | {"config": MASK}
    assert not RULES.has_schema("plugins", entity)
    assert RULES.has_schema("plugins", plugin("key-auth"))
    assert RULES.has_schema("consumers", {})


def test_unknown_plugins_leave_nothing_behind() -> None:
    made = rules()
    for number in range(100):
        made.mask("plugins", {"name": f"p{number}", "config": {"a": HUSH}})
        made.mask(f"schema{number}", {"a": HUSH})
    assert len(made._rules) == 1


# What entities may hold


def nested(depth: int, make: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    value: Any = HUSH
    for _ in range(depth):
        value = make(value)
    return value


@pytest.mark.parametrize("depth", [31, 33, 900, 5_000])
@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"a": inner}])
@pytest.mark.parametrize(("schema", "field"), [("consumers", "tags"), ("plugins", "config"), ("things", "x")])
def test_however_deep(depth: int, make: Callable[[Any], Any], schema: str, field: str) -> None:
    hiddens = [hide(schema, {"id": "x", "name": "key-auth", field: nested(depth + more, make)}) for more in (0, 1)]
    for hidden in hiddens:
        msgspec.json.encode(hidden)
        RULES.exact(schema, hidden)
    contents = {RULES.content(schema, hidden) for hidden in hiddens}
    assert len(contents) == 2
    assert RULES.changed(schema, *hiddens) == (field,)


def test_wide() -> None:
    entity = {"id": "x", "tags": ["t"] * 200_000, "custom_id": "c" * 2_000_000}
    hidden = hide("consumers", entity)
    assert hidden.shown == entity
    assert len(RULES.content("consumers", hidden)) == 16


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SCHEMAS = st.sampled_from([*schemas(), "things"])
FIELDS = st.sampled_from(["id", "name", "key", "config", "tags", "consumer", "pem", "secret", "username", "x", "snis"])
ENTITIES = st.dictionaries(
    FIELDS | st.text(max_size=8), JSON | st.sampled_from(["http-log", "rate-limiting"]), max_size=6
)


@given(SCHEMAS, ENTITIES, ENTITIES)
def test_any_two_entities(schema: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    before = copy.deepcopy(one)
    hiddens = [RULES.mask(schema, each) for each in (one, other)]
    same = RULES.content(schema, hiddens[0]) == RULES.content(schema, hiddens[1])
    assert same == (RULES.changed(schema, *hiddens) == ())
    assert one == before
    assert hiddens[0].shown.keys() == one.keys()
    RULES.names(schema, one), RULES.natural_key(schema, one), RULES.references(schema, one)
    RULES.exact(schema, hiddens[0])


@given(st.sampled_from(sorted(plugin_schemas())), JSON)
def test_a_literal_secret_never_shows(name: str, value: Any) -> None:
    """Every string that a schema marks is given a text that must not come back, wherever it is."""
    filled = _filled(plugin_schemas()[name]["fields"])
    hidden = RULES.mask("plugins", {"id": "x", "name": name, **filled, "more": value})
    assert HUSH not in json.dumps(hidden)


def _filled(fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: _value(field) for entry in fields for name, field in entry.items()}


def _value(field: dict[str, Any]) -> Any:
    marked = field.get("encrypted") or field.get("referenceable")
    if field["type"] == "record":
        return _filled(field.get("fields", []))
    if field["type"] in {"array", "set"}:
        return [_value(field["elements"])]
    if field["type"] == "map":
        return {"a": _value(field["values"])}
    return HUSH if marked else "plain"


# Differences


def changed(schema: str, old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    hiddens = RULES.mask(schema, old), RULES.mask(schema, new)
    found = RULES.changed(schema, *hiddens)
    assert (RULES.content(schema, hiddens[0]) == RULES.content(schema, hiddens[1])) == (found == ())
    return found


@pytest.mark.parametrize(
    ("schema", "path", "value"),
    [
        ("consumers", "username", "other"), ("consumers", "custom_id", "c"), ("consumers", "tags", ["t"]),
        ("services", "port", 81), ("services", "enabled", False), ("keyauth_credentials", "key", HUSH),
        ("keyauth_credentials", "consumer", {"id": "other"}), ("routes", "paths", ["/c"]),
        ("upstreams", "healthchecks.active.healthy.interval", 5), ("vaults", "config", {"prefix": "Y"}),
        ("keys", "pem.public_key", HUSH), ("plugins", "config.redis.password", HUSH),
        ("plugins", "config.minute", 6), ("plugins", "service", None),
    ],
)  # fmt: skip
def test_one_field_differs(schema: str, path: str, value: Any) -> None:
    old = plugin("rate-limiting") if schema == "plugins" else recorded(schema)[0]
    assert changed(schema, old, with_field(old, path, value)) == (path,)


def test_several_fields_sorted() -> None:
    old = recorded("services")[0]
    assert changed("services", old, old | {"port": 81, "host": "h", "tags": ["b"]}) == ("host", "port", "tags")


def test_lists_count_as_a_whole_and_map_keys_one_by_one() -> None:
    old = plugin("http-log")
    assert changed("plugins", old, with_field(old, "config.headers.X-Token", HUSH)) == ("config.headers.X-Token",)
    assert changed("plugins", old, with_field(old, "config.headers.X-New", HUSH)) == ("config.headers.X-New",)
    route = recorded("routes")[0]
    assert changed("routes", route, with_field(route, "paths", ["/a", "/b"])) == ("paths",)


def test_numbers_and_booleans_are_not_the_same() -> None:
    old = recorded("services")[0]
    assert changed("services", old | {"retries": 1}, old | {"retries": True}) == ("retries",)
    assert changed("services", old | {"retries": 0}, old | {"retries": False}) == ("retries",)


@pytest.mark.parametrize(
    ("schema", "difference"),
    [
        ("consumers", {"id": "other"}), ("consumers", {"created_at": 1}), ("consumers", {"updated_at": 1.5}),
        ("keyauth_credentials", {"ttl": 59}), ("consumers", {"ws_id": "w"}), ("consumers", {"custom_id_of_3_12": None}),
        ("plugins", {"protocols": ["https", "http", "grpcs", "grpc"]}), ("certificates", {"snis": ["other.example"]}),
    ],
)  # fmt: skip
def test_what_is_no_difference(schema: str, difference: dict[str, Any]) -> None:
    old = recorded(schema)[0]
    assert changed(schema, old, old | difference) == ()


def test_forms_of_the_same() -> None:
    assert changed("services", {"tags": []}, {"tags": {}}) == ()
    assert changed("services", {"tags": []}, {"tags": None}) == ("tags",)
    assert changed("services", {"tags": None}, {}) == ()
    assert changed("acls", {"consumer": {"id": "c"}}, {"consumer": {"id": "c", "username": "grace"}}) == ()
    old = plugin("rate-limiting")
    assert changed("plugins", old, with_field(old, "config.redis_password", None)) == (), "repeats another field"
    assert changed("plugins", old, with_field(old, "config.redis_host", "x")) == ()
    assert changed("things", {"consumer": {"id": "c"}}, {"consumer": None}) == ("consumer",)


def test_the_order_of_an_array_is_a_difference() -> None:
    old = recorded("routes")[0] | {"paths": ["/a", "/b"]}
    assert changed("routes", old, old | {"paths": ["/b", "/a"]}) == ("paths",)


def test_exact() -> None:
    old = recorded("keyauth_credentials")[0]
    exact = RULES.exact("keyauth_credentials", hide("keyauth_credentials", old))
    for field, differs in (("id", True), ("created_at", True), ("key", True), ("ttl", False)):
        other = hide("keyauth_credentials", old | {field: "other"})
        assert (RULES.exact("keyauth_credentials", other) != exact) == differs, field


def test_digests_need_the_key_and_the_place() -> None:
    entity = {"id": "x", "access_token": HUSH, "refresh_token": HUSH}
    mine = hide("oauth2_tokens", entity).digests
    assert mine["access_token"] != mine["refresh_token"]
    assert mine == hide("oauth2_tokens", entity | {"id": "y"}).digests, "an id may be renewed"
    assert mine != hide("oauth2_tokens", entity, key=bytes(32)).digests
    assert RULES.name("consumers", "a") != rules(key=bytes(32)).name("consumers", "a")
    with pytest.raises(ValueError, match="32 bytes"):
        rules(key=b"short")


# Names, natural keys, references


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ("consumers", "username"), ("services", "name"), ("routes", "name"), ("upstreams", "name"), ("snis", "name"),
        ("key_sets", "name"), ("keys", "name"), ("vaults", "prefix"), ("targets", "target"), ("acls", "group"),
        ("keyauth_credentials", "key"), ("basicauth_credentials", "username"), ("hmacauth_credentials", "username"),
        ("jwt_secrets", "key"), ("oauth2_credentials", "client_id"), ("plugins", "instance_name"),
    ],
)  # fmt: skip
def test_names(schema: str, field: str) -> None:
    entity = recorded(schema)[0] | {field: "its name"}
    assert RULES.names(schema, entity) == {RULES.name(schema, "its name"), RULES.name(schema, entity["id"])}
    assert RULES.names(schema, {"id": entity["id"], field: None}) == {RULES.name(schema, entity["id"])}


def test_a_certificate_is_named_by_each_sni() -> None:
    (certificate,) = recorded("certificates")
    assert RULES.name("certificates", "example.com") in RULES.names("certificates", certificate)
    assert len(RULES.names("certificates", certificate)) == 3


def test_a_name_in_another_form() -> None:
    identity = recorded("consumers")[0]["id"]
    assert RULES.name("consumers", identity.upper()) == RULES.name("consumers", identity)
    assert RULES.name("consumers", "Ada") != RULES.name("consumers", "ada")
    assert RULES.name("consumers", "\ud800") != RULES.name("consumers", "\ud801")
    assert RULES.name("consumers", "a") != RULES.name("services", "a")


def test_names_of_an_entity_that_our_table_lacks() -> None:
    made = EntityRules({"things": {"fields": [{"id": {"type": "string"}}, {"label": {"type": "string", "unique":
                    True}}]}}, {}, KEY)  # fmt: skip
    assert made.names("things", {"id": "x", "label": "l"}) == {made.name("things", "x"), made.name("things", "l")}
    assert made.natural_key("things", {"id": "x", "label": "l"}) == made.natural_key(
        "things", {"id": "y", "label": "l"}
    )
    assert made.natural_key("things", {"id": "x"}) is None
    assert made.names("others", {"id": "x", "label": "l"}) == {made.name("others", "x")}
    assert made.natural_key("others", {"id": "x", "label": "l"}) is None


@pytest.mark.parametrize("schema", [
    "consumers", "keyauth_credentials", "acls", "basicauth_credentials", "hmacauth_credentials", "jwt_secrets",
    "oauth2_credentials", "services", "routes", "plugins", "upstreams", "targets", "vaults", "key_sets", "keys", "snis",
])  # fmt: skip
def test_natural_keys(schema: str) -> None:
    entity = recorded(schema)[0]
    natural = RULES.natural_key(schema, entity)
    if natural is None:
        assert schema in {"services", "routes", "key_sets", "consumers"}, "these may have no name"
        entity = recorded(schema)[1]
        natural = RULES.natural_key(schema, entity)
    assert natural is not None
    assert natural == RULES.natural_key(schema, entity | {"id": "other", "created_at": 1, "tags": ["t"]})
    for other in recorded(schema):
        assert other == entity or RULES.natural_key(schema, other) != natural


def test_natural_keys_of_several_fields() -> None:
    acl = {"group": "g", "consumer": {"id": "c"}}
    assert RULES.natural_key("acls", acl) != RULES.natural_key("acls", acl | {"consumer": {"id": "d"}})
    assert RULES.natural_key("acls", acl) != RULES.natural_key("acls", acl | {"group": "h"})
    assert RULES.natural_key("certificates", recorded("certificates")[0]) is None
    assert RULES.natural_key("services", {"name": None}) is None
    kid = {"kid": "k", "set": {"id": "s"}}
    assert RULES.natural_key("keys", kid) not in {None, RULES.natural_key("keys", kid | {"set": None})}
    assert RULES.natural_key("consumers", {"custom_id": "c"}) != RULES.natural_key("consumers", {"username": "c"})


def test_references() -> None:
    entity = plugin("rate-limiting")
    assert RULES.references("plugins", entity) == (
        EntityReference("service", "services", entity["service"]["id"], "cascade"),
    )
    assert RULES.references("services", {"client_certificate": {"id": "c"}}) == (
        EntityReference("client_certificate", "certificates", "c", None),
    )
    assert RULES.references("plugins", {"service": {"id": 5}, "route": "x", "consumer": []}) == ()
    assert RULES.references("things", {"service": {"id": "s"}}) == ()


def test_targets() -> None:
    targets = RULES.targets()
    assert targets["keys"] == {"set": "key_sets"}
    assert targets["consumers"] == {}
    assert "tags" not in targets, "tags have no id"


def test_other_rules_have_another_digest() -> None:
    digest = RULES.rules("plugins", plugin("http-log"))
    assert digest == rules().rules("plugins", plugin("http-log"))
    assert digest != RULES.rules("plugins", plugin("key-auth"))
    assert digest != rules(open_fields=["plugins.config"]).rules("plugins", plugin("http-log"))
    assert digest == rules(open_fields=["vaults.config"]).rules("plugins", plugin("http-log"))
