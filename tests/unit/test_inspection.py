"""What the command line prints of a store, where an endpoint had a say in it."""

from kong_eventhooks_plugin.inspection import _table


def test_a_cell_cannot_steer_the_terminal_or_break_its_line() -> None:
    told = _table(("TRY", "DETAIL"), [("1", "\x1b[2Jgone\r\nTRY  forged\u202e"), ("2", "Grüße, 世界")], "none")
    assert told.splitlines() == ["TRY  DETAIL", "1     [2Jgone  TRY  forged", "2    Grüße, 世界"]
