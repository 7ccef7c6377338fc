"""Paths of Kong's Admin API, read from recorded /endpoints: what each of them means, and what garbage does."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kong_eventhooks_plugin.kong.admin_api.endpoints import MAX_PATH, MAX_SEGMENTS, AdminEndpoints
from kong_eventhooks_plugin.model.entity_path import EntityPath
from tests.support.kong_shape import CAPTURES, endpoint_paths, rules

UUID = "0dceb7b7-188b-5de4-b65e-92d8bef33de2"
STOCK = json.loads((CAPTURES / "pg-endpoints.json").read_text())["data"]
TARGETS = rules().targets()
NO_ENTITIES = {"tags", "key", "name", "db_entity_name", "address", "cache_key", "plugin_id", "log_level"}

# Paths as Enterprise's public Admin API reference has them; no open-source Kong lists them.
ENTERPRISE = [
    *STOCK, "/workspaces", "/workspaces/{workspaces}", "/workspaces/{workspaces}/meta",
    "/admins", "/admins/{admins}", "/admins/{admins}/roles", "/admins/{admins}/workspaces",
    "/consumer_groups", "/consumer_groups/{consumer_groups}", "/consumer_groups/{consumer_groups}/consumers",
    "/consumer_groups/{consumer_groups}/consumers/{consumers}", "/consumers/{consumers}/consumer_groups",
    "/consumers/{consumers}/consumer_groups/{consumer_groups}", "/rbac/users", "/rbac/users/{rbac_users}",
    "/{workspace_name}/consumers", "/{workspace_name}/consumers/{consumers}",
]  # fmt: skip


@pytest.fixture(scope="module", params=["guessed", "by schemas"])
def kong(request: pytest.FixtureRequest) -> AdminEndpoints:
    return AdminEndpoints(endpoint_paths(), TARGETS if request.param == "by schemas" else None)


def place(schema: str, key: str | None = None, *parents: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"schema": schema, "key": key, "parents": parents, "relation": None, "action": None, **more}


def meaning(found: EntityPath | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {name: value for name, value in found._asdict().items() if name not in {"workspace", "masked"}}


MEANINGS = [
    ("/consumers", place("consumers")),
    ("/consumers/grace", place("consumers", "grace")),
    ("/consumers/grace/", place("consumers", "grace")),
    ("/consumers/grace?size=5&x=/a/b", place("consumers", "grace")),
    ("/consumers/a+b", place("consumers", "a b")),
    ("/consumers/a%2Fb%20c", place("consumers", "a/b c")),
    ("/consumers/%C3%A9", place("consumers", "é")),
    ("/consumers/%FF", place("consumers", "\ufffd")),
    ("/consumers/..", place("consumers", "..")),
    ("/consumers/plugins", place("consumers", "plugins")),
    ("/consumers/grace/acls", place("acls", None, ("consumers", "grace"))),
    ("/consumers/grace/key-auth", place("keyauth_credentials", None, ("consumers", "grace"))),
    ("/consumers/grace/key-auth/k1", place("keyauth_credentials", "k1", ("consumers", "grace"))),
    ("/oauth2/c/oauth2_tokens/t", place("oauth2_tokens", "t", ("oauth2_credentials", "c"))),
    ("/acme_storage/x", place("acme_storage", "x")),
    (f"/plugins/{UUID}/consumer", place("consumers", None, ("plugins", UUID), relation="consumer")),
    ("/keys/k/set", place("key_sets", None, ("keys", "k"), relation="set")),
    ("/snis/s/certificate", place("certificates", None, ("snis", "s"), relation="certificate")),
    ("/services/s/client_certificate",
     place("certificates", None, ("services", "s"), relation="client_certificate")),
    ("/oauth2_tokens/t/credential", place("oauth2_credentials", None, ("oauth2_tokens", "t"), relation="credential")),
    ("/upstreams/u/targets/t:80/healthy", place("targets", "t:80", ("upstreams", "u"), action="healthy")),
    ("/upstreams/u/targets/t:80/1.2.3.4:80/unhealthy",
     place("targets", "t:80", ("upstreams", "u"), action="{address}/unhealthy")),
    ("/upstreams/u/targets/all", place("targets", None, ("upstreams", "u"), action="all")),
    ("/upstreams/u/health", place("upstreams", "u", action="health")),
    ("/routes/r/filters/all", place("routes", "r", action="filters/all")),
    ("/plugins/enabled", place("plugins", action="enabled")),
    ("/plugins/schema/x", place("plugins", action="schema/{name}")),
    ("/plugins/schema", place("plugins", "schema")),
    *((path, None) for path in (
        "", "/", "?", "/status", "/config", "/tags", "/tags/x", "/cache", "/cache/plugins:x", "/cache/consumers",
        "/schemas/consumers", "/schemas/plugins/validate", "/schemas/consumers/validate", "/schemas/vaults/env",
        "/debug/node/log-level/info", "/proxy-cache/x", "/proxy-cache/x/caches/y", "/clustering/data-planes",
        "/acme/certificates", "/acme/certificates/example.com", "/nonsense", "/consumers/grace/nonsense",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("path", "expected"), MEANINGS)
def test_what_a_path_means(kong: AdminEndpoints, path: str, expected: dict[str, Any] | None) -> None:
    assert meaning(kong.resolve(path)) == expected


@pytest.mark.parametrize("prefix", ["/admin", "//kong/admin-api", "/a/b/c/d"])
def test_an_unknown_prefix(kong: AdminEndpoints, prefix: str) -> None:
    for path, expected in (each for each in MEANINGS if each[1]):
        found = kong.resolve(prefix + path)
        assert meaning(found) == expected, path
        assert found is not None, path
        assert found.workspace is None, f"{path}: this Kong has no workspaces"


def test_a_prefix_has_a_limit(kong: AdminEndpoints) -> None:
    assert kong.resolve("/a/b/c/d/e/consumers") is None


def test_every_recorded_path_and_only_entities(kong: AdminEndpoints) -> None:
    for path in endpoint_paths():
        found = kong.resolve(path)
        if found is not None:
            assert {found.schema, *(schema for schema, _ in found.parents)} <= TARGETS.keys() - NO_ENTITIES


def test_without_schemas_the_same_entities_are_found() -> None:
    assert set(AdminEndpoints(endpoint_paths()).lists()) == set(AdminEndpoints(endpoint_paths(), TARGETS).lists())
    for path in endpoint_paths():
        guessed, known = (AdminEndpoints(endpoint_paths(), schemas).resolve(path) for schemas in (None, TARGETS))
        assert guessed == known, path


def test_an_entity_without_a_schema_is_none() -> None:
    kong = AdminEndpoints(["/things", "/things/{things}", "/consumers", "/consumers/{consumers}"], {"consumers": {}})
    assert kong.resolve("/things/x") is None
    assert kong.lists() == (("consumers", "/consumers"),)
    assert AdminEndpoints.candidates(["/things", "/things/{things}/{a}"]) == ("a", "things")


def test_lists_have_what_is_referred_to_first(kong: AdminEndpoints) -> None:
    lists = dict(kong.lists())
    order = list(lists)
    assert lists["keyauth_credentials"] == "/key-auths"
    assert not order[0].startswith("plugin")
    for schema, fields in TARGETS.items():
        for target in fields.values():
            if schema in lists:
                assert order.index(target) < order.index(schema), f"{target} before {schema}"
    assert not set(lists) & NO_ENTITIES


def test_references_in_a_circle_end() -> None:
    paths = [path for name in "ab" for path in (f"/{name}", f"/{name}/{{{name}}}")]
    assert [schema for schema, _ in AdminEndpoints(paths, {"a": {"x": "b"}, "b": {"x": "a"}}).lists()] == [
        "a",
        "b",
    ]


def test_collections_under_another_entity(kong: AdminEndpoints) -> None:
    assert kong.nested("targets") == (("upstreams", "/upstreams/{}/targets"),)
    assert ("consumers", "/consumers/{}/key-auth") in kong.nested("keyauth_credentials")
    assert kong.nested("consumers") == kong.nested("nonsense") == ()


def test_enterprise() -> None:
    kong = AdminEndpoints(ENTERPRISE)
    assert kong.resolve("/team-a/admins/ada") == EntityPath(
        "admins", "ada", (), "team-a", None, None, "/team-a/admins/ada"
    )
    assert meaning(kong.resolve("/consumer_groups/gold/consumers/grace")) == place(
        "consumers", "grace", ("consumer_groups", "gold")
    )
    assert meaning(kong.resolve("/rbac/users/ada")) == place("rbac_users", "ada")
    assert ("rbac_users", "/rbac/users") in kong.lists()
    found = kong.resolve("/team%20a/consumers")
    assert found is not None
    assert found.workspace == "team a"


def test_what_an_entity_does_not_refer_to_is_no_parent_of_it() -> None:
    """A membership: to take a consumer out of a group deletes no consumer, and the answer to a POST is no consumer."""
    kong = AdminEndpoints(ENTERPRISE, {**TARGETS, "consumer_groups": {}, "admins": {}})
    gold = "consumer_groups", "gold"
    for path in ("consumers", "consumers/grace"):
        found = kong.resolve(f"/consumer_groups/gold/{path}")
        assert found is not None
        assert (found.schema, found.key, found.parents, found.action is None) == (*gold, (), False)
    assert kong.nested("consumers") == ()


@pytest.mark.parametrize(
    ("path", "masked"),
    [
        ("/consumers/grace/key-auth/hush?apikey=hush", "/consumers/grace/key-auth/***"),
        (f"/key-auths/{UUID}", f"/key-auths/{UUID}"),
        ("/key-auths/hush/consumer", "/key-auths/***/consumer"),
        ("/oauth2/c/oauth2_tokens/hush", "/oauth2/c/oauth2_tokens/***"),
        ("/sessions/hush", "/sessions/***"),
        ("/admin/consumers/gr%20ace", "/admin/consumers/gr%20ace"),
        ("/things/hush", "/things/***"),
        ("/upstreams/u/targets/t/1.2.3.4/healthy", "/upstreams/u/targets/t/***/healthy"),
    ],
)
def test_the_path_for_people(path: str, masked: str) -> None:
    kong = AdminEndpoints([*endpoint_paths(), "/things", "/things/{things}"])
    found = kong.resolve(path)
    assert found is not None
    assert found.masked == masked


def test_config(kong: AdminEndpoints) -> None:
    assert kong.is_config("/config?check_hash=1")
    assert kong.is_config("/admin/config/")
    assert not kong.is_config("/consumers/config")
    assert not kong.is_config("/")
    assert not AdminEndpoints().is_config("/config")


def test_nothing_known() -> None:
    assert AdminEndpoints().resolve("/consumers") is None
    assert AdminEndpoints().lists() == ()


WORDS = st.sampled_from([*{part for path in STOCK for part in path.split("/")}, "", ".", "..", "%", "%2", "%2F", UUID])


@given(st.lists(WORDS | st.text(max_size=8), max_size=40).map("/".join) | st.text(max_size=100))
@example("/" * 100_000)
@example("/consumers" * 10_000)
@example("/consumers/" + "x" * MAX_PATH)
@example("/consumers/\ud800")
def test_any_path(path: str) -> None:
    kong = AdminEndpoints(STOCK, TARGETS)
    found = kong.resolve(path)
    kong.is_config(path)
    if found is not None:
        json.dumps(found, ensure_ascii=False).encode()
        assert found.schema in TARGETS
        assert path.count("/") <= MAX_SEGMENTS
        assert len(found.masked) <= MAX_PATH + 1


@given(st.text(min_size=1, max_size=50))
def test_any_key_comes_back(key: str) -> None:
    text = key.encode("utf-8", "replace").decode()
    found = AdminEndpoints(STOCK).resolve("/consumers/grace/key-auth/" + quote(text, safe=""))
    assert found is not None
    assert found.key == text
    assert found.masked == "/consumers/grace/key-auth/***"


@given(st.lists(st.text(max_size=20) | st.integers() | st.lists(WORDS, max_size=20).map("/".join), max_size=30))
def test_any_endpoints(paths: list[Any]) -> None:
    kong = AdminEndpoints(paths)
    for path in (*filter(lambda each: isinstance(each, str), paths), "/consumers/x"):
        kong.resolve(path)
    kong.lists()
