"""The fenced blocks of the documentation.

A ``sh`` block is run by a test, unless a word after ``sh`` names what it needs that a test does not have.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = {
    "kong": "a Kong, and where it says so decK",
    "docker": "an engine and images",
    "kubernetes": "a cluster",
    "machine": "a machine to install on, as root",
    "store": "a PostgreSQL that nodes share",
    "grpcurl": "that program",
    "minutes": "minutes",
    "gate": "nothing: .ci/run has the same commands",
}

_FENCED = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s+# .*$")


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language == "sh" and not self.words

    def commands(self) -> list[str]:
        """Its lines without comments."""
        lines = (_COMMENT.sub("", line).strip() for line in self.text.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCED.finditer(text):
        language, *words = found[2].split() or [""]
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, language, tuple(words), dedent(found[3]))


ALL = [block for page in PAGES for block in blocks(page)]
