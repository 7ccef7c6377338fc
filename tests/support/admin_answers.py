"""What the stand-in of the Admin API answers to one request: the generic endpoints of entities, and Kong's own few."""

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from tests.support import admin_declared
from tests.support.admin_forms import typed
from tests.support.admin_health import HEALTHY, UNHEALTHY
from tests.support.admin_paths import Ask
from tests.support.admin_schemas import (
    CAPTURES,
    ENDPOINT_KEYS,
    NAMED_WITHIN_PARENT,
    pretty,
)
from tests.support.admin_store import Entity, Refused, Store, is_uuid

if TYPE_CHECKING:
    from tests.support.admin_node import AdminNode

Answer = tuple[int, Any]

NOT_FOUND: Answer = (404, {"message": "Not found"})
NOT_ALLOWED: Answer = (405, {"message": "Method not allowed"})
NO_CONTENT: Answer = (204, None)
DB_ONLY = {"message": "this endpoint is only available when Kong is configured to not use a database"}
DEFAULT_SIZE, MAX_SIZE = 100, 1_000
RECORDED = CAPTURES / "admin-api"


class Answers:
    """Answers one request. ``answer`` raises ``Refused`` for what Kong refuses."""

    def __init__(
        self,
        node: "AdminNode",
        method: str,
        ask: Ask,
        workspace: str,
        given: Entity,
        query: dict[str, str],
        *,
        is_form: bool,
    ) -> None:
        self.node, self.method, self.ask, self.given, self.query = node, method, ask, given, query
        self.meaning, self.keys = ask.meaning, ask.keys
        self.schema = self.meaning.schema
        self.store: Store = node.store_of(self.schema or self.meaning.parent, workspace)
        self.is_form = is_form

    def answer(self) -> Answer:
        """Return status and body."""
        if self.method == "OPTIONS":
            return NO_CONTENT
        return getattr(self, "_" + self.meaning.kind)()  # type: ignore[no-any-return] # one method a kind, all alike

    # --- the generic endpoints

    def _collection(self) -> Answer:
        if self.method == "GET":
            return self._list("/" + self.meaning.template.strip("/"), None, with_query=True)
        return self._create({}) if self.method == "POST" else NOT_ALLOWED

    def _nested(self) -> Answer:
        parent = self.store.find(self.meaning.parent, self.keys[0])
        if parent is None:
            return NOT_FOUND
        if self.method == "GET":
            stem = self.meaning.template.replace("{" + self.meaning.parent + "}", quote(self.keys[0], safe=""))
            return self._list(stem, (self.meaning.field, parent["id"]), with_query=False)
        return self._create({self.meaning.field: {"id": parent["id"]}}) if self.method == "POST" else NOT_ALLOWED

    def _entity(self) -> Answer:
        key = self.keys[0]
        if not is_uuid(key) and not self.store.schemas.entities[self.schema].endpoint_key:
            return self._unnameable(key)
        return self._one(key, self.store.find(self.schema, key), {})

    def _nested_entity(self) -> Answer:
        parent = self.store.find(self.meaning.parent, self.keys[0])
        if parent is None:
            return NOT_FOUND
        within = (self.meaning.field, parent["id"])
        row = self.store.find(self.schema, self.keys[1], within)
        # A target is not created by its path; anything else is.
        if row is None and (self.method != "PUT" or self.schema == "targets" or self._elsewhere()):
            return NOT_FOUND
        return self._one(self.keys[1], row, {within[0]: {"id": within[1]}})

    def _relation(self) -> Answer:
        child = self.store.find(self.schema, self.keys[0])
        if child is None:
            return NOT_FOUND
        target = self.store.schemas.entities[self.schema].references[self.meaning.field][0]
        reference = child.get(self.meaning.field)
        if not reference and self.method != "PUT":
            return NOT_FOUND
        if self.method == "DELETE":
            return NOT_ALLOWED
        owner, self.schema = self.schema, target
        key = reference["id"] if reference else str(uuid4())
        answer = self._one(key, self.store.find(target, key), {})
        if not reference:
            self.store.update(owner, child, {self.meaning.field: {"id": key}})
        return answer

    def _one(self, key: str, row: Entity | None, fixed: Entity) -> Answer:
        match self.method:
            case "GET" | "HEAD":
                return NOT_FOUND if row is None else (200, self._shown(row))
            case "PATCH":
                return self._patch(key, row)
            case "PUT":
                return self._put(key, row, fixed)
            case "DELETE":
                return self._delete(key, row)
        return NOT_ALLOWED

    def _create(self, fixed: Entity) -> Answer:
        given = self._typed() | fixed
        self.store.check(self.schema, given)
        self._writable("create '{}' entities")
        row = self.store.insert(self.schema, given)
        if self.schema == "upstreams" and self.node.health.new_are_unbalanced:
            self.node.health.unbalanced.add(row["name"])
        if self.schema == "admins":
            # Enterprise's documentation shows an invited admin so.
            return 200, {"admin": self._shown(row)}
        return 201, self._shown(row)

    def _patch(self, key: str, row: Entity | None) -> Answer:
        given = self._typed()
        if row is None and self.schema == "plugins":
            return NOT_FOUND
        if row is None:
            name = "id" if is_uuid(key) else ENDPOINT_KEYS[self.schema]
            body = {"code": 6, "name": "not found", "fields": {name: key}}
            return 404, body | {"message": f"could not find the entity with '{pretty({name: key})}'"}
        self._writable("update '{}' entities")
        return 200, self._shown(self.store.update(self.schema, row, given))

    def _put(self, key: str, row: Entity | None, fixed: Entity) -> Answer:
        given = self._typed() | fixed
        name = ENDPOINT_KEYS.get(self.schema) or NAMED_WITHIN_PARENT.get(self.schema)
        if name and not is_uuid(key):
            given[name] = key
        if row is None:
            self.store.check(self.schema, given)
        self._writable("create or update '{}' entities")
        if row is None:
            return 200, self._shown(self.store.insert(self.schema, given, key if is_uuid(key) else None))
        replaces = self.schema != "targets"
        return 200, self._shown(self.store.update(self.schema, row, given, replace=replaces))

    def _delete(self, key: str, row: Entity | None) -> Answer:
        if row is not None:
            by = "" if is_uuid(key) else f" by '{ENDPOINT_KEYS.get(self.schema, 'id')}'"
            self._writable("remove '{}' entities" + by)
            self.store.delete(self.schema, row)
        return NO_CONTENT

    def _elsewhere(self) -> bool:
        return self.schema not in NAMED_WITHIN_PARENT and self.store.find(self.schema, self.keys[1]) is not None

    def _writable(self, what: str) -> None:
        if self.node.dbless:
            message = f"cannot {what.format(self.schema)} when not using a database"
            raise Refused(405, {"code": 12, "name": "operation unsupported", "message": message})

    def _unnameable(self, key: str) -> Answer:
        if self.schema == "certificates":
            sni = self.store.find("snis", key)
            row = self.store.find("certificates", sni["certificate"]["id"]) if sni else None
            if row is None and self.method == "PUT":
                self.store.check("certificates", self._typed())
            return self._one(key, row, {}) if row else (404, {"message": "SNI not found"})
        says = "invalid primary key: '{id=\"expected a valid UUID\"}'"
        fields = {"id": "expected a valid UUID"}
        return 400, {"code": 1, "name": "invalid primary key", "message": says, "fields": fields}

    def _typed(self) -> Entity:
        return typed(self.given, self.store.fields(self.schema, self.given)) if self.is_form else dict(self.given)

    def _shown(self, row: Entity) -> Entity:
        self.node.entities_sent += 1
        return row if self.node.dbless and self.schema != "plugins" else self.store.shown(self.schema, row)

    # --- lists

    def _list(self, path: str, within: tuple[str, str] | None, *, with_query: bool) -> Answer:
        size, after = self._size(), self._after()
        tags = self.query.get("tags")
        page = self.store.page(self.schema, size, after, within, tags)
        kept = {"tags": tags, "size": self.query.get("size")} if with_query else {}
        return 200, self._page([self._shown(row) for row in page.entities], page.last, path, kept)

    def _page(self, data: list[Entity], last: str | None, path: str, query: dict[str, str | None]) -> dict[str, Any]:
        shown: Any = data or ({} if self.node.empty_lists_as_objects else [])
        if last is None:
            return {"data": shown, "next": None}
        offset = base64.urlsafe_b64encode(json.dumps([last]).encode()).decode().rstrip("=")
        rest = "".join(f"&{name}={value}" for name, value in query.items() if value is not None)
        return {"data": shown, "offset": offset, "next": f"{path}?offset={offset}{rest}"}

    def _size(self) -> int:
        text = self.query.get("size", str(DEFAULT_SIZE))
        if not text.lstrip("-").isdigit():
            raise Refused(400, {"code": 9, "name": "invalid size", "message": "size must be a number"})
        if not 1 <= int(text) <= MAX_SIZE:
            says = f"size must be an integer between 1 and {MAX_SIZE}"
            raise Refused(400, {"code": 9, "name": "invalid size", "message": says})
        return int(text)

    def _after(self) -> str:
        offset = self.query.get("offset")
        if offset is None:
            return ""
        try:
            (last,) = json.loads(base64.urlsafe_b64decode(offset + "=" * (-len(offset) % 4)))
        except (ValueError, TypeError) as error:
            says = f"'{offset}' is not a valid offset: bad json encoding"
            raise Refused(400, {"code": 7, "name": "invalid offset", "message": says}) from error
        return str(last)

    # --- Kong's own

    def _other(self) -> Answer:
        found = _OTHERS.get(self.meaning.template)
        if found is None:
            return NOT_FOUND
        methods = found[0]
        return found[1](self) if self.method in methods else NOT_ALLOWED

    def root(self) -> Answer:
        if self.node.starts_plugin_server:
            return 500, {"message": "An unexpected error occurred"}
        answer = json.loads((RECORDED / "pg-root.json").read_text())
        answer["node_id"] = self.node.node_id
        answer["configuration"]["database"] = "off" if self.node.dbless else "postgres"
        answer["configuration"]["proxy_error_log"] = self.node.error_log
        if self.node.enterprise:
            answer |= {"edition": "enterprise", "version": "3.9.1.0"}
        return 200, answer

    def status(self) -> Answer:
        answer = json.loads((RECORDED / "pg-status.json").read_text())
        workers = answer["memory"]["workers_lua_vms"]
        answer["memory"]["workers_lua_vms"] = [{**workers[0], "pid": pid} for pid in self.node.workers]
        if self.node.dbless:
            del answer["database"]
            answer["configuration_hash"] = self.node.configuration_hash
        return 200, answer

    def endpoints(self) -> Answer:
        return 200, {"data": self.node.paths}

    def enabled(self) -> Answer:
        return 200, {"enabled_plugins": self.node.plugins_enabled}

    def entity_schema(self) -> Answer:
        answer = self.node.schemas.answers.get(self.keys[0])
        return (200, answer) if answer else (404, {"message": f"No entity named '{self.keys[0]}'"})

    def plugin_schema(self) -> Answer:
        answer = self.node.schemas.plugin_answers.get(self.keys[0])
        return (200, answer) if answer else (404, {"message": f"No plugin named '{self.keys[0]}'"})

    def validate(self) -> Answer:
        name = self.keys[0] if self.keys else "plugins"
        if name not in self.node.schemas.entities:
            return 404, {"message": f"No entity named '{name}'"}
        self.schema = name
        self.store.check(name, self._typed())
        return 200, {"message": "schema validation successful"}

    def config(self) -> Answer:
        if not self.node.dbless:
            return 400, DB_ONLY
        if self.method == "GET":
            return 200, {"config": "_format_version: '3.0'\n"}
        document = admin_declared.read(self.given)
        if self.query.get("check_hash") == "1" and admin_declared.digest(document) == self.node.configuration_hash:
            return 304, None
        return 201, self.node.load(document)

    def health(self) -> Answer:
        upstream = self.store.find("upstreams", self.keys[0])
        if upstream is None:
            return NOT_FOUND
        page = self.store.page("targets", self._size(), self._after(), ("upstream", upstream["id"]))
        data = [self.node.health.report(upstream, target) for target in page.entities]
        answer = self._page(data, page.last, f"/upstreams/{quote(self.keys[0])}/health", {})
        return 200, answer | {"node_id": self.node.node_id}

    def all_targets(self) -> Answer:
        upstream = self.store.find("upstreams", self.keys[0])
        if upstream is None:
            return NOT_FOUND
        self.schema = "targets"
        return self._list(
            f"/upstreams/{quote(self.keys[0])}/targets/all", ("upstream", upstream["id"]), with_query=False
        )

    def post_health(self) -> Answer:
        upstream = self.store.find("upstreams", self.keys[0])
        target = self.store.find("targets", self.keys[1], ("upstream", upstream["id"])) if upstream else None
        if upstream is None or target is None:
            return NOT_FOUND
        address = self.keys[2] if len(self.keys) > 2 else None
        health = HEALTHY if self.meaning.template.endswith("/healthy") else UNHEALTHY
        self.node.health.post(upstream, target, address, health)
        return NO_CONTENT

    def tags(self) -> Answer:
        wanted = self.keys[0] if self.keys else None
        data = [
            {"tag": tag, "entity_name": schema, "entity_id": row["id"]}
            for schema in self.node.schemas.entities
            for row in self.store.all(schema)
            for tag in row.get("tags") or ()
            if wanted in (None, tag)
        ]
        return 200, {"data": data, "next": None}

    # --- Enterprise: which consumers are in a group, from the public documentation

    def group_consumers(self) -> Answer:
        group = self.store.find("consumer_groups", self.keys[0])
        if group is None:
            return NOT_FOUND
        self.schema = "consumers"
        if self.method == "GET":
            members = [row for row in self.store.all("consumers") if (group["id"], row["id"]) in self.node.groups]
            return 200, {"data": members, "next": None}
        names = self.given.get("consumer")
        members = [self.store.find("consumers", name) for name in ([names] if isinstance(names, str) else names or [])]
        if not members or None in members:
            return NOT_FOUND
        self.node.groups |= {(group["id"], row["id"]): None for row in members if row}
        return 201, {"consumer_group": group, "consumers": members}

    def group_consumer(self) -> Answer:
        group = self.store.find("consumer_groups", self.keys[0])
        consumer = self.store.find("consumers", self.keys[1])
        membership = (group["id"], consumer["id"]) if group and consumer else None
        if membership not in self.node.groups:
            return NOT_FOUND
        if self.method == "DELETE":
            del self.node.groups[membership]  # type: ignore[arg-type] # it is in there
            return NO_CONTENT
        return 200, {"consumer_group": group, "consumer": consumer}


_HEALTH = "/upstreams/{upstreams}/targets/{targets}"
_OTHERS: dict[str, tuple[tuple[str, ...], Callable[[Answers], Answer]]] = {
    "/": (("GET",), Answers.root),
    "/status": (("GET",), Answers.status),
    "/endpoints": (("GET",), Answers.endpoints),
    "/plugins/enabled": (("GET",), Answers.enabled),
    "/schemas/{name}": (("GET",), Answers.entity_schema),
    "/schemas/plugins/{name}": (("GET",), Answers.plugin_schema),
    "/schemas/plugins/validate": (("POST",), Answers.validate),
    "/schemas/{db_entity_name}/validate": (("POST",), Answers.validate),
    "/config": (("GET", "POST"), Answers.config),
    "/tags": (("GET",), Answers.tags),
    "/tags/{tags}": (("GET",), Answers.tags),
    "/upstreams/{upstreams}/health": (("GET",), Answers.health),
    "/upstreams/{upstreams}/targets/all": (("GET",), Answers.all_targets),
    _HEALTH + "/healthy": (("PUT",), Answers.post_health),
    _HEALTH + "/unhealthy": (("PUT",), Answers.post_health),
    _HEALTH + "/{address}/healthy": (("PUT",), Answers.post_health),
    _HEALTH + "/{address}/unhealthy": (("PUT",), Answers.post_health),
    "/consumer_groups/{consumer_groups}/consumers": (("GET", "POST"), Answers.group_consumers),
    "/consumer_groups/{consumer_groups}/consumers/{consumers}": (("GET", "DELETE"), Answers.group_consumer),
}
