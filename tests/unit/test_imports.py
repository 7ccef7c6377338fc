"""The architecture's promise: imports run one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "kong_eventhooks_plugin"

# A part may import parts of a lower rank and its own. telemetry is a leaf beside the model.
RANK = {
    "errors": 0, "raised": 0, "__init__": 0,
    "model": 1, "telemetry": 1, "storage": 1, "settings": 1,
    "wire": 2, "sources": 2, "queue": 2, "handlers": 2, "hooks": 2, "gateway": 2,
    "pluginserver": 3, "dispatch": 3, "delivery": 3, "api": 3, "observing": 3,
    "definitions": 3, "compilation": 3, "checking": 4,
    "app": 4, "demo": 4, "serve": 4, "documents": 3, "inspection": 3, "logs": 1, "log_output": 0,
    "cli": 5, "__main__": 6, "remote": 3, "remote_commands": 4, "client": 2, "sandbox": 2,
}  # fmt: skip
# Between parts of one rank only these.
BESIDE = {("documents", "pluginserver"), ("hooks", "gateway"), ("handlers", "sandbox")}
SETTINGS_READERS = {"app", "cli", "demo", "serve"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "kong_eventhooks_plugin" else [
                f"{node.module}.{alias.name}" for alias in node.names
            ]  # fmt: skip
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("kong_eventhooks_plugin.")}
    return {part for part in found if part != "__version__"}


def violations(path: Path) -> Iterator[str]:
    """Say what a module of the package imports and may not."""
    part = part_of(path)
    for other in sorted(imported_parts(path) - {part}):
        if RANK[other] >= RANK[part] and (part, other) not in BESIDE:
            yield f"{path.relative_to(PACKAGE)}: {part} -> {other}"
        if other == "settings" and part not in SETTINGS_READERS:
            yield f"{path.relative_to(PACKAGE)}: {part} reads settings; hand it values"


def test_imports_run_one_way() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > len(RANK)
    assert [each for path in modules for each in violations(path)] == []


def test_the_check_sees_a_wrong_import(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from kong_eventhooks_plugin.app import run\nimport kong_eventhooks_plugin.queue.sqlite\n")
    assert imported_parts(wrong) == {"app", "queue"}
