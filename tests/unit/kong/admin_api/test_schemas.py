"""Recorded schemas, and garbage in their place."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.kong.admin_api.schemas import MAX_DEPTH, MAX_FIELDS, SchemaField, pruned, read_schema
from tests.support.kong_shape import plugin_schemas, schemas

ALL = {**schemas(), **{f"plugins/{name}": schema for name, schema in plugin_schemas().items()}}


def fields(document: Any) -> Any:
    return read_schema(document).fields


def test_what_is_kept_reads_the_same() -> None:
    for name, schema in ALL.items():
        kept = pruned(schema)
        assert read_schema(kept) == read_schema(schema), name
        assert pruned(kept) == kept, name
        assert len(json.dumps(kept)) < len(json.dumps(schema)), name


def test_a_default_is_not_kept() -> None:
    """Kong makes up a secret for each process as the session plugin's default."""
    text = json.dumps(pruned(plugin_schemas()["session"]))
    assert "default" not in text
    assert "description" not in text


def test_fields() -> None:
    assert fields(schemas()["plugins"])["service"] == SchemaField("foreign", reference="services", on_delete="cascade")
    assert fields(schemas()["consumers"])["username"].unique
    assert fields(schemas()["consumers"])["created_at"].stamp
    assert fields(schemas()["certificates"])["snis"].transient
    assert fields(schemas()["keys"])["pem"].fields["private_key"].secret
    assert fields(schemas()["plugins"])["config"].fields is None, "abstract: only the plugin's own schema says"


def test_older_names() -> None:
    config = fields(plugin_schemas()["rate-limiting"])["config"].fields
    assert config["redis_password"] == SchemaField("string", secret=True, shorthand=True, copy_of=("redis", "password"))
    assert config["redis_host"].copy_of == ("redis", "host")
    assert not config["redis_host"].secret
    assert fields(plugin_schemas()["opentelemetry"])["config"].fields["endpoint"].secret, (
        "nobody says of what it is one"
    )


def test_older_names_as_kong_before_3_8_writes_them() -> None:
    config = fields({
        "fields": [{"redis": {"type": "record", "fields": [{"password": {"type": "string", "encrypted": True}}]}}],
        "shorthand_fields": [{"redis_password": {"type": "string", "translate_backwards": ["redis", "password"]}}],
    })  # fmt: skip
    assert config["redis_password"] == SchemaField("string", secret=True, shorthand=True, copy_of=("redis", "password"))


def test_limits() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(MAX_DEPTH * 2):
        deep = {"type": "record", "fields": [{"a": deep}]}
    at, depth = read_schema(deep), 0
    while at.fields:
        at, depth = at.fields["a"], depth + 1
    assert depth == MAX_DEPTH
    assert read_schema(pruned(deep)) == read_schema(deep)
    assert len(fields({"fields": [{str(n): {"type": "string"}} for n in range(MAX_FIELDS + 5)]})) == MAX_FIELDS


NAMES = st.sampled_from([
    "fields", "type", "record", "array", "map", "elements", "values", "shorthand_fields", "deprecation",
    "replaced_with", "path", "translate_backwards", "reference", "on_delete", "a",
])  # fmt: skip


@given(st.recursive(st.none() | NAMES | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)))
def test_any_document(document: Any) -> None:
    assert read_schema(pruned(document)) == read_schema(document)
