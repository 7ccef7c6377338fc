"""The architecture's promise: imports run one way."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "kong_eventhooks_plugin"
ARCHITECTURE = PACKAGE.parent / "docs" / "architecture.md"

# A part may import parts of a lower rank and its own. Below `kong`, each package is a part of its own.
RANK = {
    "errors": 0, "files": 0, "__init__": 0, "interpreter": 0, "kong": 0, "linux": 0, "terminal_text": 0,
    "acceptor": 1, "bounded_json": 1, "descriptors": 1, "outgoing_tls": 1,
    "tls_groups": 0, "time_limits": 0,
    "http_errors": 1, "http_heads": 0, "http_protocol": 2, "model": 1, "settings": 1, "suggestions": 0, "telemetry": 1,
    "storage": 2, "background": 2, "kong.wire": 2, "kong.supervisor": 2,
    "kong.admin_api": 3, "queue": 3, "sandbox": 3,
    "handlers": 4,
    "sources": 5, "hooks": 5,
    "kong.plugin_server": 6, "dispatch": 6, "delivery": 6,
    "preview": 7, "api": 8, "settings_files": 9, "settings_groups": 9, "stores": 10,
    "components": 11, "app": 12, "cli": 13, "__main__": 14,
}  # fmt: skip
# The same within `hooks`, whose modules are named where they are not in a folder.
HOOKS_RANK = {
    "contract": 0, "patterns": 0, "references": 0, "schema": 1, "secret_files": 2, "reference_values": 3,
    "validation": 3, "definition": 4, "masking": 4, "lint": 5, "declarations": 6, "in_force": 7,
}  # fmt: skip
SETTINGS_READERS = {"settings_files", "settings_groups", "stores", "components", "app", "cli"}


def part_of(path: Path) -> str:
    module = path.relative_to(PACKAGE).with_suffix("").parts
    return part(module[:-1] if module[-1] == "__init__" and len(module) > 1 else module)


def part(module: Sequence[str]) -> str:
    return ".".join(module[: 2 if module[0] == "kong" else 1])


def imports(path: Path) -> Iterator[str]:
    """Yield what a module imports, each name of a ``from`` import behind its module."""
    for node in import_statements(path, path.stat().st_mtime_ns):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@cache
def import_statements(path: Path, _modified: int) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]


def imported_parts(path: Path) -> set[str]:
    names = (name for name in imports(path) if name.startswith("kong_eventhooks_plugin."))
    return {part(name.split(".")[1:]) for name in names} - {"__version__"}


def import_cycle(modules: Mapping[str, Path]) -> list[str]:
    """Return a cycle of modules that import each other, also for types alone or inside a function; ``[]``: none."""

    def module_of(name: str) -> str:
        return name if name in modules else name.rpartition(".")[0]

    graph = {name: {module_of(imported) for imported in imports(path)} - {name} for name, path in modules.items()}
    try:
        TopologicalSorter({name: imported & modules.keys() for name, imported in graph.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def names_of_settings(path: Path) -> set[str]:
    """Return what a module takes of the settings; a part's limits may have their defaults from there."""
    return {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "kong_eventhooks_plugin.settings"
        for alias in node.names
    }


def violations(path: Path) -> Iterator[str]:
    """Say what a module of the package imports and may not."""
    own = part_of(path)
    for other in sorted(imported_parts(path) - {own}):
        if RANK[other] >= RANK[own]:
            yield f"{path.relative_to(PACKAGE)}: {own} -> {other}"
        if other == "settings" and own not in SETTINGS_READERS and names_of_settings(path) != {"DEFAULTS"}:
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


def described_parts() -> dict[str, list[str]]:
    """Return the parts of the architecture's table, in its order, each with its imports as they are written there."""
    found: dict[str, list[str]] = {}
    for row in ARCHITECTURE.read_text().partition("## The parts\n\n")[2].partition("\n\n")[0].splitlines()[2:]:
        names, *_, imported = row.strip("| ").split(" | ")
        wanted = [] if imported == "nothing" else imported.replace("/", ".").split(", ")
        parts = re.findall("`([a-z_/]+?)(?:/|[.]py)`", names)
        found |= dict.fromkeys((name.replace("/", ".") for name in parts), wanted)
    return found


def test_the_architecture_has_every_part_with_its_imports_below_them() -> None:
    direct: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        direct.setdefault(part_of(path), set()).update(imported_parts(path) - {part_of(path)})
    below: dict[str, set[str]] = {}
    for name in TopologicalSorter(direct).static_order():
        below[name] = direct[name].union(*(below[each] for each in direct[name]))
    expected = {name: each - set().union(*(below[one] for one in each)) for name, each in direct.items()}
    described = described_parts()
    assert {name: set(each) for name, each in described.items()} == {
        name: each for name, each in expected.items() if name not in {"__init__", "__main__", "kong"}
    }
    order = list(described)
    assert all(order.index(each) < order.index(name) for name, imported in described.items() for each in imported)


def imported_rooms(path: Path) -> set[str]:
    """Return the folders and modules of `hooks` that a module imports."""
    return {name.split(".")[2] for name in imports(path) if name.startswith("kong_eventhooks_plugin.hooks.")}


def test_imports_within_hooks_run_one_way() -> None:
    folder = PACKAGE / "hooks"
    for path in sorted(folder.rglob("*.py")):
        own = path.relative_to(folder).with_suffix("").parts[0]
        for other in imported_rooms(path) - {own}:
            assert HOOKS_RANK[other] < HOOKS_RANK[own], f"{path.relative_to(PACKAGE)}: {own} -> {other}"


def test_no_modules_import_each_other() -> None:
    modules = {}
    for path in PACKAGE.rglob("*.py"):
        *folders, name = path.relative_to(PACKAGE.parent).with_suffix("").parts
        modules[".".join(folders if name == "__init__" else [*folders, name])] = path
    assert import_cycle(modules) == []


def test_the_check_sees_a_cycle(tmp_path: Path) -> None:
    texts = {"p.one": "from p import two", "p.two": "def late(): import p.three", "p.three": "from p.one import run"}
    modules = {name: tmp_path / f"{name}.py" for name in texts}
    for name, text in texts.items():
        modules[name].write_text(text)
    assert set(import_cycle(modules)) == set(texts)
    modules["p.three"].write_text("from p.four import run")
    assert import_cycle(modules) == []
