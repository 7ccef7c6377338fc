"""Texts that say what is wrong: user code makes them, too."""

import msgspec

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed, TaskFailed
from kong_eventhooks_plugin.sandbox.tasks import MAX_TEXT, Checked, CompileError, Failed


def test_a_long_text_is_cut() -> None:
    long = "x" * (MAX_TEXT + 1)
    assert str(TaskFailed("template", long)) == "x" * MAX_TEXT
    refused = CompilationFailed(CompileError(1, 2, long))
    assert refused.error == CompileError(1, 2, "x" * MAX_TEXT)
    assert str(refused) == str(refused.error)


def test_what_no_message_can_hold_is_replaced() -> None:
    failed = TaskFailed("template", "half: \ud800")
    assert msgspec.msgpack.encode(Failed(failed.reason, str(failed)))
    assert str(failed) == "half: ?"
    assert msgspec.msgpack.encode(Checked(CompilationFailed(CompileError(1, 1, "\ud800")).error))
