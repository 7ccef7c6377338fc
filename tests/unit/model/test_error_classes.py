"""What an attempt's error says is in docs/delivery.md, every class of it."""

import re
from pathlib import Path
from typing import get_args

from kong_eventhooks_plugin.model.delivery import ErrorClass

DOCS = Path(__file__).parents[3] / "docs/delivery.md"


def test_every_error_has_its_row() -> None:
    _, _, table = DOCS.read_text(encoding="utf-8").partition("| `error` |")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table.partition("\n\n")[0], re.MULTILINE)
    assert sorted(re.findall(r"\w+", " ".join(rows))) == sorted(get_args(ErrorClass))
