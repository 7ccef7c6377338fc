"""MkDocs' hooks: the top level's pages and files stand beside those of docs/; no page loads what is elsewhere."""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#]+)")
WORDS = re.compile(r"^( *```\w+) .+$", re.MULTILINE)
ELSEWHERE = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>")


PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
MARKUP = re.compile(r"^(?:```|- |\d+\. |\|)", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the README, its neighbours and every file that a page links to outside docs/, by its path."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    linked = {(page.parent / target).resolve() for page in pages for target in LINK.findall(page.read_text())}
    for path in sorted({*pages, *linked}):
        if path.is_file() and (ROOT / "docs") not in path.parents:
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    files.append(File.generated(config, "site.css", abs_src_path=str(Path(__file__).with_name("site.css"))))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to where the site has the files: docs/ is its top. A block keeps its language alone, not our marks."""
    here = ROOT if (ROOT / page.file.src_uri).exists() else ROOT / "docs"
    markdown = WORDS.sub(r"\1", markdown)
    return LINK.sub(lambda found: _on_site((here / found[1]).resolve()), markdown)


def _on_site(path: Path) -> str:
    docs = ROOT / "docs"
    return path.relative_to(docs if docs in path.parents else ROOT).as_posix()


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Fail where a page loads something from another host, or shows markup that GitHub reads and MkDocs does not."""
    if found := ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    for text in PARAGRAPH.findall(output):
        if MARKUP.search(text):
            raise PluginError(
                f"{page.file.src_uri} shows markup; it wants an empty line before, or an indentation of 4: {text}"
            )
    return output
