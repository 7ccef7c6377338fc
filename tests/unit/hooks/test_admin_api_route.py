"""What is said of a route to the Admin API: a key that was not filled in, and a route that anybody can use."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.cli import cli
from kong_eventhooks_plugin.hooks.declarations import documents
from kong_eventhooks_plugin.hooks.lint.admin_api_route import RouteFindings, check

ROOT = Path(__file__).parents[3]
GOOD = "6f1ed002ab5595859014ebf0951522d9"
CRUD = {"name": "event-hooks-crud"}
GUARDS = [{"name": "key-auth"}, {"name": "acl", "config": {"allow": ["operators"]}}]


def document(key: Any = GOOD, *, route: list[Any] | None = None, **rest: Any) -> dict[str, Any]:
    plugins = [CRUD, *(GUARDS if route is None else route)]
    service = {"name": "admin-api", "routes": [{"name": "admin-api", "paths": ["/admin"], "plugins": plugins}]}
    credentials = {"username": "operators", "keyauth_credentials": [{"key": GOOD}, {"key": key}]}
    return {"_format_version": "3.0", "services": [service], "consumers": [credentials], **rest}


def located(found: RouteFindings) -> list[tuple[str, str]]:
    return [(error.path, error.message) for error in [*found.errors, *found.warnings]]


def test_a_proper_route_has_no_findings() -> None:
    assert located(check(document(), "a.yml")) == []


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ('${{ env "DECK_KONG_ADMIN_KEY" }}', "decK has not filled this in yet"),
        ("{vault://env/kong-admin-key}", "is a vault reference, which Kong does not resolve here"),
        ("DECK_KONG_ADMIN_KEY", "is a variable's name instead of its value"),
        ("${KONG_ADMIN_KEY}", "is a variable that nothing has filled in yet"),
        ("${KONG_ADMIN_KEY:-none}", "is a variable that nothing has filled in yet"),
        ("$KONG_ADMIN_KEY", "is a variable that nothing has filled in yet"),
        ("CHANGE-ME", "is a placeholder"),
        ("change_me", "is a placeholder"),
        ("  Your API key ", "is a placeholder"),
        ("<key>", "is a placeholder"),
        ("xxxxxxxx", "is a placeholder"),
        ("", "is empty"),
        ("  ", "is empty"),
        (1234, "expected a string"),
    ],
)
def test_a_key_that_nobody_made_up_is_an_error_with_its_place_and_the_fix(key: Any, why: str) -> None:
    ((path, message),) = located(check(document(key), "a.yml"))
    assert path == "consumers[0].keyauth_credentials[1].key"
    assert message.startswith(why)
    assert "openssl rand -hex 32" in message


@pytest.mark.parametrize(
    "key", [GOOD, None, "a$b", "price-of-$5-or-more", "deck_lower", "changeme-9c1f", "{vault-like}"]
)
def test_a_key_that_is_one_is_none(key: Any) -> None:
    assert located(check(document(key), "a.yml")) == []


def test_credentials_at_the_top_count_too() -> None:
    apart = document(keyauth_credentials=[{"consumer": "operators", "key": "CHANGE-ME"}])
    assert [path for path, _ in located(check(apart, "a.yml"))] == ["keyauth_credentials[0].key"]


@pytest.mark.parametrize("crud", [{"name": "event-hooks"}, {**CRUD, "enabled": False}])
def test_a_file_without_the_plugin_may_hold_any_key(crud: dict[str, Any]) -> None:
    plain = document("CHANGE-ME")
    plain["services"][0]["routes"][0]["plugins"] = [crud]
    assert located(check(plain, "a.yml")) == []


OPEN = "and no authentication plugin is on it"
ANYBODYS = "the credential of any consumer of this gateway opens it"
ACL = {"name": "acl", "config": {"allow": ["operators"]}}


@pytest.mark.parametrize(
    ("route", "rest", "error"),
    [
        ([], {}, OPEN),
        ([ACL, {"name": "ip-restriction", "config": {"allow": ["10.0.0.0/8"]}}], {}, OPEN),
        ([{"name": "key-auth", "enabled": False}, ACL], {}, OPEN),
        ([{"name": "key-auth", "config": {"anonymous": "anybody"}}, ACL], {}, OPEN),
        ([], {"plugins": [{"name": "key-auth", "consumer": "operators"}]}, OPEN),
        ([], {"plugins": [{"name": "key-auth", "route": "another"}]}, OPEN),
        ([{"name": "key-auth"}], {}, ANYBODYS),
        ([{"name": "basic-auth"}, ACL], {}, None),
        ([], {"plugins": [{"name": "key-auth"}, {"name": "acl", "service": {"name": "admin-api"}}]}, None),
        ([ACL], {"plugins": [{"name": "jwt", "route": "admin-api"}]}, None),
        ([], {"plugins": [{"name": "openid-connect", "service": "admin-api"}, ACL]}, None),
    ],
)
def test_a_route_that_anybody_can_use_is_warned_of(route: list[Any], rest: dict[str, Any], error: str | None) -> None:
    found = check(document(route=route, **rest), "a.yml")
    assert found.errors == []
    if error is None:
        assert found.warnings == []
    else:
        (warning,) = found.warnings
        assert (warning.where, warning.path) == ("a.yml", "services[0].routes[0]")
        assert error in warning.message


def test_plugins_and_routes_may_stand_apart() -> None:
    apart = {
        "services": [{"name": "admin-api", "plugins": [{"name": "key-auth"}]}],
        "routes": [{"id": "r1", "service": {"name": "admin-api"}}, {"id": "r2"}],
        "plugins": [{**CRUD, "route": {"id": "r1"}}, {**CRUD, "route": "r2"}, {**ACL, "route": "r1"}],
    }
    assert [warning.path for warning in check(apart, "a.yml").warnings] == ["routes[1]"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["event-hooks-crud", "key-auth"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["services", "routes", "plugins", "consumers", "keyauth_credentials", "name", "key", "route"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(JSON)
def test_no_document_is_too_odd(value: Any) -> None:
    check(value, "a.yml")


def filled(key: str) -> str:
    return re.sub(r'\$\{\{ env "DECK_KONG_ADMIN_KEY" \}\}', key, (ROOT / "kong-admin.yml").read_text())


def test_the_file_that_comes_along_is_refused_until_its_key_is_filled_in(tmp_path: Path) -> None:
    ended = CliRunner().invoke(cli, ["check", str(ROOT / "kong-admin.yml")])
    assert ended.exit_code == 1
    assert "kong-admin.yml: consumers[0].keyauth_credentials[0].key: decK has not filled this in yet" in ended.output
    good = tmp_path / "kong-admin.yml"
    good.write_text(filled(GOOD))
    ended = CliRunner().invoke(cli, ["check", str(good)])
    assert (ended.exit_code, ended.output) == (0, "1 file checked: no hooks, no errors\n")


@pytest.mark.skipif(shutil.which("perl") is None, reason="needs perl")
def test_the_guides_command_fills_the_key_in_and_stops_without_one() -> None:
    guide = (ROOT / "docs" / "admin-api-route.md").read_text()
    found = re.search(r"^perl -pe '(.+)' joined\.yml", guide, re.MULTILINE)
    assert found is not None
    command = ["perl", "-pe", found[1], str(ROOT / "kong-admin.yml")]
    done = subprocess.run(command, env={"DECK_KONG_ADMIN_KEY": GOOD}, capture_output=True, text=True, check=True)
    assert done.stdout == filled(GOOD)
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr == "DECK_KONG_ADMIN_KEY is not set\n"


def test_the_file_that_comes_along_guards_both_routes() -> None:
    data = filled(GOOD)
    read = documents.parse(data.encode(), "kong-admin.yml")
    assert read == yaml.safe_load(data)
    guards = [route["plugins"][-3:] for service in read["services"] for route in service["routes"]]
    assert guards[0] == guards[1]
    assert [plugin["name"] for plugin in guards[0]] == ["key-auth", "acl", "ip-restriction"]
    assert guards[0][0]["config"]["hide_credentials"] is True
    assert all(service["retries"] == 0 for service in read["services"])


def test_a_warning_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "open.yml"
    path.write_text(yaml.safe_dump(document(route=[])))
    ended = CliRunner().invoke(cli, ["check", str(path)])
    assert ended.exit_code == 0
    assert ended.stdout == "1 file checked: no hooks, no errors\n"
    assert ended.stderr.startswith(f"warning: {path}: services[0].routes[0]: leads to Kong's Admin API")
