"""SQL in files beside the code that runs it: named statements in one file, a migration in each of a folder's."""

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType, SimpleNamespace

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*$", re.MULTILINE)


def named_statements(text: str) -> dict[str, str]:
    """Return name -> statement for the ``-- name:`` blocks of ``text``; raises ``ValueError`` for a repeated name."""
    _, *parts = _NAME.split(text)
    names = parts[::2]
    if len(set(names)) != len(names):
        raise ValueError("a statement's name is there twice")
    return {name: _COMMENT.sub("", body).strip() for name, body in zip(names, parts[1::2], strict=True)}


def read_statements(package: str) -> SimpleNamespace:
    """Return every statement of a package's ``queries.sql`` under its name."""
    return SimpleNamespace(**named_statements((resources.files(package) / "queries.sql").read_text("utf-8")))


def read_migrations(package: str) -> Mapping[int, str]:
    """Return a package's migrations by the version that they lead to, from 1, without a gap; else ``ValueError``."""
    files = [entry for entry in (resources.files(package) / "migrations").iterdir() if entry.name.endswith(".sql")]
    found = {int(entry.name.partition("_")[0]): entry.read_text("utf-8") for entry in files}
    if sorted(found) != list(range(1, len(files) + 1)):
        raise ValueError(f"a version of {package}'s migrations is missing, or there twice")
    return MappingProxyType(found)
