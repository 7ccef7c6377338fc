"""What a form's texts say: JSON, times in UTC as the input `datetime-local` gives them; and a definition's errors."""

from datetime import UTC, datetime
from typing import Any

from kong_eventhooks_plugin import bounded_json
from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks.validation.json_values import MAX_SEPARATORS


def json_object(text: str) -> dict[str, Any]:
    """Return a JSON object. Raises ``ValidationError`` and ``DecodeError``."""
    data = bounded_json.decode(text.encode("utf-8", "replace"), MAX_SEPARATORS)
    if not isinstance(data, dict):
        raise ValidationError({"data": "expected a JSON object"})
    return data


def moment(query: queries.Query, name: str) -> float | None:
    """Return a time, in UTC where it has no zone. May raise ``ValidationError``."""
    text = query.get(name) or None
    if text is not None and len(text) <= queries.MAX_TEXT and "T" in text and text[-1] != "Z" and "+" not in text:
        text += "Z"
    return queries.as_moment(text, name)


def shown_moment(seconds: float | None) -> str:
    try:
        return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return ""


def by_path(error: ValidationError) -> dict[str, str]:
    """Return the texts of an error by the path of their field."""
    found: dict[str, str] = {}
    for path, text in error.leaves():
        found[path] = f"{found[path]}; {text}" if path in found else text
    return found
