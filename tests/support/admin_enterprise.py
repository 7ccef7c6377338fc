"""What only Kong Enterprise has, written from its public documentation: no recording of one is at hand."""

from typing import Any

_ID = {"id": {"type": "string", "uuid": True, "auto": True}}
_TIMES = [{name: {"type": "integer", "timestamp": True, "auto": True}} for name in ("created_at", "updated_at")]
_TAGS = {"tags": {"type": "set", "elements": {"type": "string", "required": True}}}


def _answer(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"fields": [_ID, *_TIMES, *fields], "entity_checks": []}


SCHEMAS = {
    "workspaces": _answer(
        {"name": {"type": "string", "required": True, "unique": True}},
        {"comment": {"type": "string"}},
        {"config": {"type": "map"}},
        {"meta": {"type": "map"}},
    ),
    "admins": _answer(
        {"username": {"type": "string", "required": True, "unique": True}},
        {"custom_id": {"type": "string", "unique": True}},
        {"email": {"type": "string", "unique": True}},
        {"status": {"type": "integer", "default": 4}},
        {"rbac_token_enabled": {"type": "boolean", "default": True}},
    ),
    "consumer_groups": _answer({"name": {"type": "string", "required": True, "unique": True}}, _TAGS),
}
GLOBAL = {"admins", "workspaces"}  # not an entity of one workspace
PATHS = [
    "/workspaces", "/workspaces/{workspaces}", "/admins", "/admins/{admins}",
    "/consumer_groups", "/consumer_groups/{consumer_groups}",
    "/consumer_groups/{consumer_groups}/consumers", "/consumer_groups/{consumer_groups}/consumers/{consumers}",
    "/consumers/{consumers}/consumer_groups", "/consumers/{consumers}/consumer_groups/{consumer_groups}",
]  # fmt: skip
