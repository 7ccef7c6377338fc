import os
import subprocess
import sys
import termios

import pytest

from kong_eventhooks_plugin.cli.printing import pretty, printable, when
from tests.support.waiting import SECONDS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 世界\n\tok", "Grüße, 世界\n\tok"),
        ("a: 1\r\n\r\nb", "a: 1\n\nb"),
        ("\x1b[2Jgone\r", "\ufffd[2Jgone\ufffd"),
        ("\x9b2J\x7f\u202eform", "\ufffd2J\ufffd\ufffdform"),
        ("\ud800", "\ufffd"),
    ],
)
def test_a_terminal_is_not_steered(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_times_and_json() -> None:
    assert when(1_795_278_776.25) == "2026-11-21T16:32:56.250Z"
    assert pretty({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'


PRINT = """
from kong_eventhooks_plugin.cli.printing import table
rows = [("a-hook-with-a-name-of-30-letters", "kong.yml: plugins[0].config.hooks[5]", "0")]
heads = ("NAME", "DECLARED IN", "WAITING")
print(table(heads, rows, "none", shrink=("DECLARED IN", "NAME"), drop=("WAITING", "DECLARED IN")))
"""


@pytest.mark.parametrize(
    ("columns", "printed"),
    [
        (79, "a-hook-with-a-name-of-30-letters  kong.yml: plugins[0].config.hooks[5]  0"),
        (70, "a-hook-with-a-name-of-30-letters  kong.yml:…].config.hooks[5]  0"),
        (51, "a-hook-…f-30-letters  kong.ym…fig.hooks[5]  0"),
        (50, "a-hook-wi…name-of-30-letters  kong.ym…fig.hooks[5]"),
        (41, "a-hook-with-a-name-of-30-letters  0"),
        (19, "a-hook-…f-30-letters"),
    ],
)
def test_a_table_fits_a_terminal_as_far_as_it_can(columns: int, printed: str) -> None:
    ours, its = os.openpty()
    termios.tcsetwinsize(its, (24, columns))
    environ = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    subprocess.run([sys.executable, "-c", PRINT], stdout=its, env=environ, check=True, timeout=SECONDS)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    os.close(its)
    assert shown.splitlines()[1] == printed


def test_a_table_that_goes_elsewhere_is_whole() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", PRINT], stdout=subprocess.PIPE, text=True, check=True, timeout=SECONDS
    )
    assert shown.stdout.splitlines()[1].endswith("30-letters  kong.yml: plugins[0].config.hooks[5]  0")
