"""What a request to the Admin API that Kong took can have changed, by its method and path."""

from typing import Final

from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.model.observation import ChangeTarget

_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_CONFIG: Final = ChangeTarget(config=True)


def change_target(endpoints: AdminEndpoints, method: str, path: str) -> ChangeTarget | None:
    """Return it; None where no entity. While no paths are known, any path may lead to one."""
    if method not in _CHANGING:
        return None
    place = changed_place(endpoints, path)
    if place is None and method == "POST" and _is_config(endpoints, path):
        return _CONFIG
    if place is None and endpoints:
        return None
    return ChangeTarget(place, wants_answer=method != "DELETE")


def changed_place(endpoints: AdminEndpoints, path: str) -> EntityPath | None:
    """Return where a path leads; None where to no entity, or to an action, which changes none."""
    place = endpoints.resolve(path)
    return None if place is None or place.action is not None else place


def _is_config(endpoints: AdminEndpoints, path: str) -> bool:
    return endpoints.is_config(path) if endpoints else path.partition("?")[0].rstrip("/").endswith("/config")
