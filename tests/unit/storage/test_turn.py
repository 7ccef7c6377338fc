"""One process of those over a data directory polls; another has its turn when that one leaves it."""

from pathlib import Path

from kong_eventhooks_plugin.storage.turn import Turn


def test_the_next_has_its_turn_when_the_first_ends(tmp_path: Path) -> None:
    """Two locks of one process exclude each other as two processes' do (flock)."""
    first, second = Turn(tmp_path), Turn(tmp_path)
    assert first.taken()
    assert first.taken()
    assert not second.taken()
    first.end()
    assert second.taken()
    assert not first.taken(), "it has left it for good"
    second.end()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    turn = Turn(tmp_path / "later")
    assert not turn.taken()
    (tmp_path / "later").mkdir()
    assert turn.taken()
    turn.end()
