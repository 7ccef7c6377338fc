"""What Kong's schemas say, for the stand-in of the Admin API: defaults, and what Kong answers to bad input.

The schemas are recorded answers of ``/schemas/<entity>`` and ``/schemas/plugins/<name>``. What a recorded schema cannot
say, because it is a function in Kong's source, stands in the tables below.
"""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

CAPTURES = Path(__file__).resolve().parents[1] / "captures"

Field = dict[str, Any]
Faults = dict[str, Any]

# Kong's `endpoint_key`: the field by which a path may name an entity besides its id.
ENDPOINT_KEYS = {
    "acme_storage": "key", "admins": "username", "basicauth_credentials": "username", "consumer_groups": "name",
    "consumers": "username", "filter_chains": "name", "hmacauth_credentials": "username", "jwt_secrets": "key",
    "key_sets": "name", "keyauth_credentials": "key", "keys": "name", "oauth2_credentials": "client_id",
    "oauth2_tokens": "access_token", "plugins": "instance_name", "routes": "name", "services": "name",
    "sessions": "session_id", "snis": "name", "upstreams": "name", "vaults": "prefix", "workspaces": "name",
}  # fmt: skip
# Kong's `cache_key` where it says what may exist once; a nested path names the entity by the last of them.
TOGETHER_UNIQUE = {
    "acls": ("consumer", "group"),
    "plugins": ("consumer", "name", "route", "service"),
    "targets": ("upstream", "target"),
}
NAMED_WITHIN_PARENT = {"acls": "group", "targets": "target"}
# Kong's `ttl = true`: an answer has a field ttl, the seconds that are left (with a database alone).
WITH_TTL = {"acme_storage", "keyauth_credentials", "oauth2_tokens", "sessions"}
# Found on a real Kong: POST /config gives these a new random id each time; what has no endpoint key's value too.
RENEWED = {"keyauth_credentials", "jwt_secrets", "oauth2_credentials", "oauth2_tokens"}

# Rules that Kong writes as functions, which a recorded schema leaves out.
PLAIN_NAME = re.compile(r"[\w.~\-]+")
PLAIN_NAMED = {"routes", "services"}
HOSTNAME = re.compile(r"[\w.\-]+")
MATCHERS = ("methods", "hosts", "headers", "paths", "snis")

_HOOKS = {"hooks": {"type": "array", "elements": {"type": "map"}}}
# Our own, with as much of their schema as an answer of Kong shows.
OUR_PLUGINS = {
    name: {"fields": [{"config": {"type": "record", "required": True, "fields": fields}}], "entity_checks": []}
    for name, fields in (("event-hooks", [_HOOKS]), ("event-hooks-crud", []))
}

EXPECTED = {
    "string": (str, "expected a string"),
    "integer": (int, "expected an integer"),
    "number": ((int, float), "expected a number"),
    "boolean": (bool, "expected a boolean"),
    "array": (list, "expected an array"),
    "set": (list, "expected a set"),
    "map": (dict, "expected a map"),
    "record": (dict, "expected a record"),
    "foreign": (dict, "expected a record"),
}


class Schema:
    """The fields of one entity, in Kong's order, and the checks of several of them."""

    def __init__(self, name: str, answer: dict[str, Any]) -> None:
        self.name = name
        self.fields = _by_name(answer["fields"])
        self.checks: list[dict[str, Any]] = answer.get("entity_checks") or []
        self.references = {
            field: (about["reference"], about.get("on_delete"))
            for field, about in self.fields.items()
            if about["type"] == "foreign"
        }
        self.unique = [field for field, about in self.fields.items() if about.get("unique")]
        self.endpoint_key = ENDPOINT_KEYS.get(name)
        # A certificate's snis go with it: Kong's source does it by hand, the schema does not say so.
        if name == "snis":
            self.references["certificate"] = ("certificates", "cascade")


class Schemas:
    """Every schema: of entities by their name, of plugins by the plugin's."""

    def __init__(self) -> None:
        shared, own = CAPTURES / "admin-api" / "schemas", CAPTURES / "admin-node"
        self.answers = {name: answer for name, answer in _read(shared).items() if "fields" in answer}
        self.plugin_answers = _read(shared / "plugins") | _read(own / "plugins") | OUR_PLUGINS
        self.entities = {name: Schema(name, answer) for name, answer in self.answers.items() if name != "tags"}

    def add(self, name: str, answer: dict[str, Any]) -> None:
        """Take another entity along, as Enterprise's or a plugin's own."""
        self.answers[name] = answer
        self.entities[name] = Schema(name, answer)

    def plugin_config(self, name: str) -> Field:
        """Return the record that is the plugin's config; raises ``KeyError`` where no such plugin is enabled."""
        config: Field = _by_name(self.plugin_answers[name]["fields"])["config"]
        return config

    def plugin_checks(self, name: str) -> list[dict[str, Any]]:
        """Return the checks of a plugin that involve several fields."""
        checks: list[dict[str, Any]] = self.plugin_answers[name].get("entity_checks") or []
        return checks


def _read(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def _by_name(fields: list[dict[str, Field]]) -> dict[str, Field]:
    return {name: about for field in fields for name, about in field.items()}


def fields_of(about: Field) -> dict[str, Field]:
    """Return the fields of a record by their names."""
    return _by_name(about.get("fields") or [])


def completed(fields: dict[str, Field], given: dict[str, Any]) -> dict[str, Any]:
    """Return ``given`` with every field that is missing: its default, or null; records are filled all the way down."""
    return {name: _complete(about, given.get(name)) for name, about in fields.items()} | {
        name: value for name, value in given.items() if name not in fields
    }


def _complete(about: Field, value: Any) -> Any:
    if value is None:
        value = deepcopy(about.get("default"))
    if about["type"] == "record" and "fields" in about:
        if isinstance(value, dict):
            return completed(fields_of(about), value)
        if value is None and about.get("required"):
            return completed(fields_of(about), {})
    return value


def merged(old: dict[str, Any], new: dict[str, Any], fields: dict[str, Field]) -> dict[str, Any]:
    """Return ``old`` patched with ``new`` as Kong does it: records field by field, everything else as a whole."""
    result = dict(old)
    for name, value in new.items():
        about = fields.get(name, {})
        if about.get("type") == "record" and isinstance(value, dict) and isinstance(old.get(name), dict):
            result[name] = merged(old[name], value, fields_of(about))
        else:
            result[name] = value
    return result


def field_faults(fields: dict[str, Field], values: dict[str, Any]) -> Faults:
    """Return what Kong finds wrong with each field, under its name."""
    found: Faults = {name: "unknown field" for name in values if name not in fields}
    for name, about in fields.items():
        fault = _fault(about, values.get(name))
        if fault:
            found[name] = fault
    return found


def name_faults(schema: str, values: dict[str, Any]) -> Faults:
    """Return what Kong finds wrong with a name."""
    name = values.get("name")
    if not isinstance(name, str) or not name:
        return {}
    if schema in PLAIN_NAMED and not PLAIN_NAME.fullmatch(name):
        says = "the only accepted ascii characters are alphanumerics or ., -, _, and ~"
        return {"name": f"invalid value '{name}': {says}"}
    if schema == "upstreams" and not HOSTNAME.fullmatch(name):
        return {"name": f"Invalid name ('{name}'); must be a valid hostname"}
    return {}


def route_faults(schema: str, values: dict[str, Any]) -> list[str]:
    """Return Kong's complaint about a route that matches everything."""
    if schema != "routes" or any(values.get(name) for name in MATCHERS):
        return []
    names = ", ".join(f"'{name}'" for name in MATCHERS)
    return [f"must set one of {names} when 'protocols' is 'https'"]


def _fault(about: Field, value: Any) -> Any:
    if value is None:
        missing = about.get("required") and not about.get("auto") and about.get("default") is None
        return "required field missing" if missing else None
    wanted, says = EXPECTED[about["type"]]
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        return says
    if about["type"] == "record":
        return field_faults(fields_of(about), value) if "fields" in about else None
    return next(_limits(about, value), None)


def _limits(about: Field, value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value) < about.get("len_min", 1):
        yield f"length must be at least {about.get('len_min', 1)}"
    if "between" in about and not about["between"][0] <= value <= about["between"][1]:
        yield "value should be between {} and {}".format(*about["between"])
    if "one_of" in about and value not in about["one_of"]:
        yield "expected one of: " + ", ".join(map(str, about["one_of"]))
    if "not_one_of" in about and value in about["not_one_of"]:
        yield "must not be one of: " + ", ".join(map(str, about["not_one_of"]))


def entity_faults(checks: list[dict[str, Any]], values: dict[str, Any]) -> list[str]:
    """Return the complaints of the checks over several fields; kinds that the stand-in does not know pass."""
    found = []
    for check in checks:
        for kind, names in check.items():
            full = [name for name in names if _filled(values, name)] if kind in _CHECKS else []
            if kind in _CHECKS and not _CHECKS[kind][0](len(full)):
                found.append(_CHECKS[kind][1] + ", ".join(f"'{name}'" for name in names))
    return found


_CHECKS = {
    "at_least_one_of": (lambda count: count > 0, "at least one of these fields must be non-empty: "),
    "mutually_exclusive": (lambda count: count < 2, "only one or none of these fields must be set: "),
}


def _filled(values: dict[str, Any], path: str) -> bool:
    value: Any = values
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value not in (None, "", [], {})


def violation(faults: Faults) -> dict[str, Any]:
    """Return Kong's answer to a schema violation."""
    says = list(faults.get("@entity", []))
    for name in sorted(set(faults) - {"@entity"}):
        fault = faults[name]
        nested = fault.items() if isinstance(fault, dict) else ()
        says += [f"{name}.{part}: {pretty(what)}" for part, what in sorted(nested)] if nested else [f"{name}: {fault}"]
    count = "schema violation" if len(says) == 1 else f"{len(says)} schema violations"
    return {"code": 2, "name": "schema violation", "message": f"{count} ({'; '.join(says)})", "fields": faults}


def pretty(value: Any) -> str:
    """Write a value as Kong's error messages do: a Lua table on one line."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}={quoted(value[key])}" for key in sorted(value)) + "}"
    return str(value)


def quoted(value: Any) -> str:
    """Write a value that stands within a table."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return f'"{value}"'
    return pretty(value)
