from kong_eventhooks_plugin.terminal_text import on_one_line


def test_what_moves_hides_or_ends_is_escaped_and_writing_stays() -> None:
    assert on_one_line("a\x1b[2J\r\nb\x00\x7f\x9b\u2028\u202e\u200f") == (
        r"a\x1b[2J\r\nb\x00\x7f\x9b\u2028\u202e\u200f"
    )
    kept = "tab\there, Jörg, 日本\u3000語, \u200d\U0001f469, \\n"
    assert on_one_line(kept) == kept
