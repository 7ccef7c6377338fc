"""What a plain installation lacks is said where it is needed, and nothing else needs it."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin.components import Components
from kong_eventhooks_plugin.errors import MissingExtra, SettingsError
from kong_eventhooks_plugin.sandbox.tasks import Check, CompileError, Decide, Decided, Judge, LuaRules, SandboxLimits
from kong_eventhooks_plugin.sandbox.worker import Languages, Setup
from kong_eventhooks_plugin.settings import Settings
from kong_eventhooks_plugin.sources.certificates.reading import read_certificates
from tests.support.certificates import pem

ROOT = Path(__file__).parents[2]
MODULES = {
    "filter": "cel_expr_python",
    "certificate": "cryptography",
    "tracing": "opentelemetry",
    "postgresql": "asyncpg",
}
"""What an extra installs, by the name that it is imported under."""


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where only the package itself was installed."""
    for module in MODULES.values():
        for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, module, None)
    for needing in ("sandbox.expressions", "sandbox.filters", "sandbox.success_rules", "telemetry.span_export"):
        monkeypatch.delitem(sys.modules, f"kong_eventhooks_plugin.{needing}", raising=False)


@pytest.mark.usefixtures("plain")
def test_a_filter_does_not_compile_and_is_not_true() -> None:
    text = "a filter needs a package that is missing: pip install 'kong-eventhooks-plugin[filter]'"
    languages = Languages(Setup(("cel",), SandboxLimits(), LuaRules()))
    checked = languages.answer(Check(kind="filter", text="true"))
    assert checked.error == CompileError(1, 1, text)  # type: ignore[union-attr]
    assert languages.answer(Decide(("true", "false"), {}, "consumers", "crud")) == Decided((text, text))
    text = text.replace("a filter", "config.success")
    checked = languages.answer(Check(kind="success", text="true"))
    assert checked.error == CompileError(1, 1, text)  # type: ignore[union-attr]
    assert languages.answer(Judge("true", 200, {}, "")) == Decided((text,))


def test_certificates_are_not_read(request: pytest.FixtureRequest) -> None:
    text = pem("a.example", 2_000_000_000)
    request.getfixturevalue("plain")
    with pytest.raises(MissingExtra, match=r"pip install 'kong-eventhooks-plugin\[certificate\]'"):
        read_certificates("certificates", [{"id": "a", "cert": text}])


@pytest.mark.usefixtures("plain")
def test_tracing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"otlp_endpoint .*: pip install 'kong-eventhooks-plugin\[tracing\]'"):
        Components(Settings(data_dir=str(tmp_path), otlp_endpoint="http://127.0.0.1:4318"))


def imports(path: Path) -> Iterator[str]:
    text = path.read_text()
    for node in ast.walk(ast.parse(text)) if any(module in text for module in MODULES.values()) else ():
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_no_other_module_needs_an_extra() -> None:
    package = ROOT / "kong_eventhooks_plugin"
    needing = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if {*imports(path)} & {*MODULES.values()}
    }
    assert needing == {
        "queue/postgresql/connection.py",
        "queue/postgresql/errors.py",
        "sandbox/expressions.py",
        "sandbox/filters.py",
        "sandbox/success_rules.py",
        "sources/certificates/reading.py",
        "telemetry/span_export.py",
    }


def test_the_extras_are_what_the_errors_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(MODULES) | {"all", "test", "bench"} == set(extras)
    assert extras["all"] == [f"kong-eventhooks-plugin[{','.join(sorted(MODULES))}]"]
