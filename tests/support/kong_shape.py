"""What a recorded Kong says of its own shape: paths, schemas, a few entities (captures/admin-api/schemas)."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules

CAPTURES = Path(__file__).parents[1] / "captures" / "admin-api"
SHAPE = CAPTURES / "schemas"
KEY = bytes(range(32))
NO_SCHEMAS = {"endpoints", "entities", "root"}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def schemas() -> dict[str, Any]:
    return {path.stem: read(path) for path in SHAPE.glob("*.json") if path.stem not in NO_SCHEMAS}


def plugin_schemas() -> dict[str, Any]:
    return {path.stem: read(path) for path in (SHAPE / "plugins").glob("*.json")}


def endpoint_paths() -> list[str]:
    return list(read(SHAPE / "endpoints.json")["data"])


def recorded(schema: str) -> list[dict[str, Any]]:
    """Return the entities of a schema; a new copy each time."""
    return list(read(SHAPE / "entities.json")[schema])


def plugin(name: str) -> dict[str, Any]:
    return next(each for each in recorded("plugins") if each["name"] == name)


def rules(open_fields: Collection[str] = (), key: bytes = KEY) -> EntityRules:
    return EntityRules(schemas(), plugin_schemas(), key, open_fields)
