"""The version stands in one place, and what has to name it agrees; the changelog has the form that it says."""

import re
from collections.abc import Iterator
from pathlib import Path

from kong_eventhooks_plugin import __version__
from tests.support.doc_blocks import ROOT

IMAGE = re.compile(r"\bkong-event-hooks:(\d[\w.]*)")
FOLDERS = ("deploy", "docker", "docs", "README.md")

HEADING = re.compile(r"\[Unreleased\]|\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


def files(*names: str) -> Iterator[Path]:
    for name in names:
        path = ROOT / name
        yield from (each for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())


def tags(text: str) -> list[str]:
    return IMAGE.findall(text)


def test_images_that_are_named_are_this_version_s() -> None:
    named = {file: tags(file.read_text(errors="replace")) for file in files(*FOLDERS)}
    found = {str(file.relative_to(ROOT)): each for file, each in named.items() if each}
    assert "deploy/kubernetes/kong.yaml" in found
    assert {tag for each in found.values() for tag in each} == {__version__}, found


def wrong(changelog: str, version: str) -> list[str]:
    """What of a changelog is not in form, or does not fit the package's version."""
    headings = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    released = [found[1] for heading in headings if (found := HEADING.fullmatch(heading)) and found[1]]
    numbers = [tuple(map(int, each.split("."))) for each in released]
    errors = [f"no heading: {heading}" for heading in headings if not HEADING.fullmatch(heading)]
    errors += [
        f"no kind of change: {kind}" for kind in re.findall(r"^### (.*)$", changelog, re.MULTILINE) if kind not in KINDS
    ]
    if numbers != sorted(numbers, reverse=True):
        errors.append("the newest version is not first")
    if version not in released and "[Unreleased]" not in headings[:1]:
        errors.append(f"nothing about {version}")
    return errors


def test_the_changelog_is_in_form() -> None:
    assert wrong(CHANGELOG, __version__) == []


def test_what_is_not_in_form_is_found() -> None:
    assert tags("image: kong-event-hooks:0.0.9 kong-event-hooks:local") == ["0.0.9"]
    old = "## [0.1.0] - 2026-01-31\n### Added\n"
    assert wrong(f"## [Unreleased]\n{old}", "0.2.0") == []
    assert wrong(old, "0.1.0") == []
    assert wrong(old, "0.2.0") == ["nothing about 0.2.0"]
    assert wrong(f"{old}## [0.2.0] - 2026-02-28\n", "0.2.0") == ["the newest version is not first"]
    assert wrong(f"## 0.2.0\n### News\n{old}", "0.1.0") == ["no heading: 0.2.0", "no kind of change: News"]
