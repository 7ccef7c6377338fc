"""Reduces two states of one entity to what can be compared.

The same state can come in two forms:

- Kong's answer to a write and its list may not have the same fields: where one of them came from the route, a field at
  the top that only one has means nothing;
- the rules that mask and compare can have changed between them (Kong was upgraded, a setting lets a field through, a
  plugin's schema was not known): then a field that only one has means nothing wherever it is, and neither does a value
  that is masked in one and open in the other. A secret that is set or unset does.
"""

from typing import Any

from kong_eventhooks_plugin.kong.admin_api.entities import MaskedEntity
from kong_eventhooks_plugin.model.masking import MASK


def comparable(
    old: MaskedEntity, new: MaskedEntity, *, same_rules: bool, same_origin: bool
) -> tuple[MaskedEntity, MaskedEntity]:
    """Return both without what cannot be compared."""
    if same_rules and same_origin:
        return old, new
    left, right = dict(old.shown), dict(new.shown)
    _keep_common(left, right)
    dropped = [] if same_rules else _narrow(left, right, "")
    return _cut(old, left, dropped), _cut(new, right, dropped)


def _keep_common(left: dict[str, Any], right: dict[str, Any]) -> None:
    for field in left.keys() ^ right.keys():
        left.pop(field, None)
        right.pop(field, None)


def _narrow(left: dict[str, Any], right: dict[str, Any], prefix: str) -> list[str]:
    """Remove from both, and from the records in them, what only one shows; return the paths of what one masks."""
    dropped = []
    for field in list(left):
        one, other = left[field], right[field]
        if _half_masked(one, other):
            del left[field], right[field]
            dropped.append(prefix + field)
        elif isinstance(one, dict) and isinstance(other, dict) and one != other:
            left[field], right[field] = dict(one), dict(other)
            _keep_common(left[field], right[field])
            dropped += _narrow(left[field], right[field], f"{prefix}{field}.")
    return dropped


def _half_masked(one: Any, other: Any) -> bool:
    return _masks(one) != _masks(other) and one is not None and other is not None


def _masks(value: Any) -> bool:
    return value == MASK or (isinstance(value, list) and MASK in value)


def _cut(state: MaskedEntity, shown: dict[str, Any], dropped: list[str]) -> MaskedEntity:
    digests = {
        path: digest
        for path, digest in state.digests.items()
        if path.partition(".")[0] in shown and not any(path == cut or path.startswith(f"{cut}.") for cut in dropped)
    }
    return MaskedEntity(shown, digests)
