"""A hook's form, made of the schema, so that it has every field that a hook may have; and the definition that it posts.

A record's fields stand in the form one by one; a list of texts has one on a line, or a box of its own for each where
they are long; headers are ``name: value`` on lines; whatever else is JSON. A secret is not shown: an empty field keeps
it.

Limit: ``MAX_LINES`` lines of a field that is read line by line, more than any field may have of them.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from kong_eventhooks_plugin import bounded_json
from kong_eventhooks_plugin.api.rest.form_values import Field, number
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks.schema import API_CONFIG, HANDLERS_OF, NEEDED
from kong_eventhooks_plugin.hooks.validation.json_values import MAX_SEPARATORS
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.masking import MASK, is_reference

LONG: Final = 1_024
"""Bytes from which a text has a box of several lines."""

MAX_LINES: Final = 1_000

LEFT_OUT: Final = frozenset({"handler"})
SECRET: Final = "encrypted"  # noqa: S105 - an attribute of the schema
REMOVE: Final = "remove"


class Input(NamedTuple):
    """One input of the form. ``name`` is its path; ``kind`` how it is shown; ``value`` is text, or a list of texts."""

    name: str
    label: str
    kind: str
    help: str
    value: Any
    choices: tuple[str, ...] = ()
    required: bool = False
    is_set: bool = False
    error: str | None = None


class Section(NamedTuple):
    title: str
    inputs: list[Input]


def sections(schema: Field, handler: str, hook: Mapping[str, Any], errors: Mapping[str, str]) -> list[Section]:
    """Return the form. ``hook`` has its values, in the definition's shape; ``errors`` are texts by path."""
    basic: list[Input] = []
    groups = [Section("What it fires for", basic)]
    for name, field in _fields(schema):
        if name in LEFT_OUT:
            continue
        if name != API_CONFIG:
            basic.append(_input(name, field, hook.get(name), errors, required=bool(field.get("required"))))
            continue
        config = hook.get(API_CONFIG) or {}
        for title, inputs in _config(field, handler, config, errors):
            groups.append(Section(title, inputs))
    return groups


def _config(
    field: Field, handler: str, config: Mapping[str, Any], errors: Mapping[str, str]
) -> Iterator[tuple[str, list[Input]]]:
    plain: list[Input] = []
    records: list[tuple[str, list[Input]]] = []
    for name, each in _fields(field):
        if handler not in HANDLERS_OF.get(name, (handler,)):
            continue
        path, value = f"{API_CONFIG}.{name}", config.get(name)
        if each["type"] == "record":
            values = value or {}
            inner = [_input(f"{path}.{key}", one, values.get(key), errors) for key, one in _fields(each)]
            records.append((name.replace("_", " ").capitalize(), inner))
        else:
            plain.append(_input(path, each, value, errors, required=handler in NEEDED.get(name, ())))
    yield f"What it does ({handler})", plain
    yield from records


def _input(path: str, field: Field, value: Any, errors: Mapping[str, str], *, required: bool = False) -> Input:
    kind = kind_of(field)
    if value is None and "default" in field:
        value = field["default"]
    is_set = kind == "secret" and value is not None
    return Input(
        name=path,
        label=path.removeprefix(f"{API_CONFIG}."),
        kind=kind,
        help=str(field.get("description", "")),
        value=None if kind == "secret" and not is_reference(value) else _shown(kind, value),
        choices=tuple(field.get("one_of", ())),
        required=required and kind not in {"secret", "flag"},
        is_set=is_set,
        error=errors.get(path),
    )


def kind_of(field: Field) -> str:
    """Return how a field is shown: its kind of input."""
    kind = field["type"]
    if kind == "boolean":
        return "flag"
    if kind in {"integer", "number"}:
        return "number"
    if kind in {"array", "set"} and field["elements"]["type"] == "string":
        return "texts" if field["elements"].get("len_max", 0) >= LONG else "lines"
    if kind == "map" and field["values"]["type"] == "string":
        return "pairs"
    if kind != "string":
        return "json"
    if field.get(SECRET):
        return "secret"
    if "one_of" in field:
        return "choice"
    return "text" if field.get("len_max", 0) < LONG or field.get("referenceable") or "match_all" in field else "box"


def _shown(kind: str, value: Any) -> Any:
    if kind == "texts":
        return [*(value or ()), ""]
    if value is None:
        return False if kind == "flag" else ""
    if kind == "lines":
        return "\n".join(map(str, value))
    if kind == "pairs":
        return "\n".join(f"{name}: {each if is_reference(each) else MASK}" for name, each in value.items())
    if kind == "json":
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return value


def definition(
    schema: Field, handler: str, form: Mapping[str, Any], before: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the definition that a form posts: a change of ``before`` where there is one.

    Raises ``ValidationError`` where a field is not of its form.
    """
    errors: dict[str, Any] = {}
    given: dict[str, Any] = {} if before is not None else {"handler": handler}
    old = before or {}
    for name, field in _fields(schema):
        if name in LEFT_OUT:
            continue
        if name != API_CONFIG:
            _read(given, errors, name, field, form, old)
            continue
        config: dict[str, Any] = {}
        wrong: dict[str, Any] = {}
        posted = _record(form.get(API_CONFIG))
        for key, each in _fields(field):
            if handler not in HANDLERS_OF.get(key, (handler,)):
                continue
            if each["type"] == "record":
                _read_record(config, wrong, key, each, posted, _record(old.get(API_CONFIG)))
            else:
                _read(config, wrong, key, each, posted, _record(old.get(API_CONFIG)), removed=form.get(REMOVE))
        given[API_CONFIG] = config
        if wrong:
            errors[API_CONFIG] = wrong
    if errors:
        raise ValidationError(errors)
    return given


def changes(
    schema: Field, handler: str, form: Mapping[str, Any], before: Mapping[str, Any], names: Collection[str]
) -> dict[str, Any] | None:
    """Return what a form changes of these fields; None: nothing. Raises ``ValidationError``."""
    posted = definition(schema, handler, form, before)
    found: dict[str, Any] = {}
    for name in names:
        group, _, field = name.rpartition(".")
        new, old = (posted.get(group, {}), _record(before.get(group))) if group else (posted, before)
        if field in new and new[field] != old.get(field):
            (found.setdefault(group, {}) if group else found)[field] = new[field]
    return found or None


def values(hook: Hook) -> dict[str, Any]:
    """Return a hook's values as its definition has them."""
    names = ("source", "event", "on_change", "snooze", "filter", "enabled")
    return {name: getattr(hook, name) for name in names} | {
        "name": hook.given_name,
        "tags": list(hook.tags) or None,
        "config": dict(hook.config),
    }


def reposted(field: Input, form: Mapping[str, Any]) -> Input:
    """Return an input with what was posted, where the form is shown again."""
    if not form or field.kind == "secret":
        return field
    value: Any = form
    for step in field.name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if field.kind == "flag":
        return field._replace(value=bool(value))
    if field.kind == "texts":
        texts = value if isinstance(value, list) else [value]
        return field._replace(value=[*(each for each in texts if isinstance(each, str) and each), ""])
    return field._replace(value=value if isinstance(value, str) else "")


def _read_record(
    given: dict[str, Any],
    errors: dict[str, Any],
    name: str,
    field: Field,
    form: Mapping[str, Any],
    old: Mapping[str, Any],
) -> None:
    inner: dict[str, Any] = {}
    wrong: dict[str, Any] = {}
    for key, each in _fields(field):
        _read(inner, wrong, key, each, _record(form.get(name)), _record(old.get(name)))
    set_values = {key: value for key, value in inner.items() if value is not None}
    if set_values or old.get(name) is not None:
        given[name] = inner if set_values else None
    if wrong:
        errors[name] = wrong


def _read(
    given: dict[str, Any],
    errors: dict[str, Any],
    name: str,
    field: Field,
    form: Mapping[str, Any],
    old: Mapping[str, Any],
    removed: Any = None,
) -> None:
    """Add what a form says of a field; an empty one is unset, and of a new hook left out."""
    kind = kind_of(field)
    posted = form.get(name)
    try:
        value = _parsed(kind, posted, field, old.get(name))
    except ValueError as error:
        errors[name] = str(error)
        return
    if kind == "secret" and value is None:
        if removed is not None and name in _texts(removed):
            given[name] = None
    elif value is not None or old.get(name) is not None:
        given[name] = value


def _parsed(kind: str, posted: Any, field: Field, old: Any) -> Any:
    """Return a field's value, None where it is unset. Raises ``ValueError`` with a text for people."""
    if kind == "flag":
        checked = bool(posted)
        return checked if checked or "default" in field or old is not None else None
    if kind == "texts":
        return [_unix(each) for each in _texts(posted) if each.strip()] or None
    if not isinstance(posted, str) or not posted.strip():
        return None
    text = _unix(posted)
    if kind == "number":
        found = number(text)
        if found is None:
            raise ValueError("expected a number")
        return found
    if kind == "lines":
        return [line.strip() for line in _lines(text)]
    if kind == "pairs":
        return dict(_pairs(_lines(text), old))
    if kind == "json":
        return _json(text, field)
    return text if kind == "box" else text.strip()


def _json(text: str, field: Field) -> Any:
    try:
        return bounded_json.decode(text.encode("utf-8", "replace"), MAX_SEPARATORS)
    except msgspec.DecodeError as error:
        if field["type"] == "json":
            return text  # a template whose result is JSON
        raise ValueError(f"expected JSON: {error}") from error


def _lines(text: str) -> list[str]:
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise ValueError(f"expected at most {MAX_LINES} lines")
    return [line for line in lines if line.strip()]


def _pairs(lines: list[str], old: Any) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("expected lines of the form name: value")
        before = _record(old).get(name.strip())
        yield name.strip(), before if value.strip() == MASK and isinstance(before, str) else value.strip()


def _texts(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")


def _record(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _fields(record: Field) -> Iterator[tuple[str, Field]]:
    for entry in record["fields"]:
        yield from entry.items()
