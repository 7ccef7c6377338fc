"""Links between the README and the pages of docs/ lead to a file and to a heading that there are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    for file, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / file if file else page
        assert target.exists(), file
        if anchor:
            assert anchor in anchors(target), f"{file}#{anchor}"


def test_every_page_is_in_the_site_s_navigation() -> None:
    navigation = re.findall(r"^ *- [^:]+: (\S+\.md)$", (ROOT / "scripts/site/mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(navigation) == sorted(page.name for page in PAGES)


def texts(module: Path) -> Iterator[str]:
    """The texts of a module that are no docstrings."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    explained = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explained:
            yield node.value


def test_no_text_sends_whoever_installed_the_wheel_to_docs_which_it_lacks() -> None:
    """The catalogues' notes are for docs/sources.md alone."""
    for module in (ROOT / "kong_eventhooks_plugin").rglob("*.py"):
        if module.name != "catalogue.py":
            assert [text for text in texts(module) if re.search(r"\bdocs/[\w-]+\.md", text)] == [], module.name
