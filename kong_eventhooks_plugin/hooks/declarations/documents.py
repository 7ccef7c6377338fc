"""Reads and parses a declarative file.

A file of more than 16 MiB is refused (100,000 entities are about 19 MB of Kong's own export; a kong.yml that a person
writes is far below), as is anything that is not a regular file. Reading blocks: on an event loop, call it in a thread.
"""

import json
from collections.abc import Callable
from typing import Any

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.declarations import yaml_values
from kong_eventhooks_plugin.hooks.validation import json_values

MAX_BYTES = 16 << 20


class Unreadable(Exception):
    """A file or its text cannot be read."""

    def __init__(self, where: str, message: str, path: str = "") -> None:
        self.error = DeclarationError(where, path, message)
        super().__init__(str(self.error))


def read_bytes(path: str) -> bytes:
    """Return a file's content; raises ``Unreadable``."""
    try:
        return files.read(path, MAX_BYTES)
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {error.strerror}") from error


def parse(
    data: bytes,
    where: str,
    warn: Callable[[DeclarationError], None] = lambda _: None,
    report: Callable[[DeclarationError], None] | None = None,
) -> Any:
    """Return the document's value: JSON where the name ends in ``.json``, else YAML; raises ``Unreadable``.

    ``warn`` is called for each value that decK reads differently from Kong, ``report`` for each repeated key of YAML;
    without it the first one is raised.
    """

    def ambiguous(scalar: yaml_values.Ambiguous) -> None:
        differ = f"{scalar.text} is {_shown(scalar.value)} for Kong and {_shown(scalar.deck)} for decK"
        path = _at(scalar.line, scalar.column)
        warn(DeclarationError(where=where, path=path, message=f"{differ}; put it in quotes, or write what you mean"))

    def repeated(error: yaml_values.YamlError) -> None:
        if report is None:
            raise error
        report(DeclarationError(where, _at(error.line, error.column), str(error)))

    try:
        return json_values.parse_json(data) if where.endswith(".json") else yaml_values.load(data, ambiguous, repeated)
    except yaml_values.YamlError as error:
        raise Unreadable(where, str(error), _at(error.line, error.column)) from error
    except json.JSONDecodeError as error:
        raise Unreadable(where, error.msg, _at(error.lineno, error.colno)) from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(where, "is nested too deep" if isinstance(error, RecursionError) else str(error)) from error


def _shown(value: Any) -> str:
    return f"the text {json.dumps(value)}" if isinstance(value, str) else json.dumps(value)


def _at(line: int | None, column: int | None) -> str:
    return "" if line is None else f"line {line}, column {column}"
