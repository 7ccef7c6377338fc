import pytest

from kong_eventhooks_plugin.cli.printing import pretty, printable, when


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 世界\n\tok", "Grüße, 世界\n\tok"),
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
