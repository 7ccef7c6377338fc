"""The architecture's promise: imports run one way."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "kong_eventhooks_plugin"

# A part may import parts of a lower rank and its own. Below `kong`, each package is a part of its own.
RANK = {
    "errors": 0, "__init__": 0, "kong": 0,
    "model": 1, "settings": 1, "telemetry": 1,
    "storage": 2, "background": 2, "kong.wire": 2, "kong.supervisor": 2,
    "kong.admin_api": 3, "queue": 3, "sandbox": 3,
    "handlers": 4,
    "sources": 5, "hooks": 5,
    "kong.plugin_server": 6, "dispatch": 6, "delivery": 6,
    "api": 7, "app": 8, "cli": 9, "__main__": 10,
}  # fmt: skip
# The same within `hooks`, whose modules are named where they are not in a folder.
HOOKS_RANK = {
    "contract": 0, "schema": 0, "references": 0, "reference_values": 1, "validation": 1,
    "definition": 2, "masking": 2, "lint": 3, "declarations": 4, "in_force": 5,
}  # fmt: skip
SETTINGS_READERS = {"app", "cli"}


def part_of(path: Path) -> str:
    module = path.relative_to(PACKAGE).with_suffix("").parts
    return part(module[:-1] if module[-1] == "__init__" and len(module) > 1 else module)


def part(module: Sequence[str]) -> str:
    return ".".join(module[: 2 if module[0] == "kong" else 1])


def imported_parts(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module in {"kong_eventhooks_plugin", "kong_eventhooks_plugin.kong"}:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {part(name.split(".")[1:]) for name in names if name.startswith("kong_eventhooks_plugin.")}
    return {part for part in found if part != "__version__"}


def violations(path: Path) -> Iterator[str]:
    """Say what a module of the package imports and may not."""
    own = part_of(path)
    for other in sorted(imported_parts(path) - {own}):
        if RANK[other] >= RANK[own]:
            yield f"{path.relative_to(PACKAGE)}: {own} -> {other}"
        if other == "settings" and own not in SETTINGS_READERS:
            yield f"{path.relative_to(PACKAGE)}: {own} reads settings; hand it values"


def test_imports_run_one_way() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > len(RANK)
    assert [each for path in modules for each in violations(path)] == []


def test_the_check_sees_a_wrong_import(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from kong_eventhooks_plugin.app import run\nimport kong_eventhooks_plugin.queue.sqlite\n"
        "from kong_eventhooks_plugin.kong import wire\n"
    )
    assert imported_parts(wrong) == {"app", "queue", "kong.wire"}


def imported_rooms(path: Path) -> set[str]:
    """Return the folders and modules of `hooks` that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name.split(".")[2] for name in names if name.startswith("kong_eventhooks_plugin.hooks.")}
    return found


def test_imports_within_hooks_run_one_way() -> None:
    folder = PACKAGE / "hooks"
    for path in sorted(folder.rglob("*.py")):
        own = path.relative_to(folder).with_suffix("").parts[0]
        for other in imported_rooms(path) - {own}:
            assert HOOKS_RANK[other] < HOOKS_RANK[own], f"{path.relative_to(PACKAGE)}: {own} -> {other}"
