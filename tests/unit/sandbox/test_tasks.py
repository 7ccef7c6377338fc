"""Framing of messages, and what needs which engine."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sandbox.tasks import Check, Decide, Failed, Result, engine_of, is_plain, pack, unpack
from tests.support.sandbox import call, render


@given(st.lists(st.text(), max_size=5), st.integers(1, 7))
def test_messages_come_out_whole_however_they_are_cut(texts: list[str], step: int) -> None:
    messages = [Failed("template", text) for text in texts]
    stream = b"".join(map(pack, messages)) + b"\x05\0\0\0tail"
    buffer, bodies = bytearray(), []
    for at in range(0, len(stream), step):
        buffer += stream[at : at + step]
        bodies += unpack(buffer)
    assert [msgspec.msgpack.decode(body, type=Result) for body in bodies] == messages
    assert bytes(buffer) == b"\x05\0\0\0tail"


def test_each_task_knows_its_engine() -> None:
    tasks = [
        render("x"), render("x", dialect="jinja2"), call("x"), Decide(("x",), {}, "", ""), Check("resty", ""),
        Check("jinja2", ""), Check("lambda", ""), Check("filter", ""),
    ]  # fmt: skip
    assert [engine_of(task) for task in tasks] == ["lua", "jinja2", "lua", "cel", "lua", "jinja2", "lua", "cel"]


@pytest.mark.parametrize(
    ("text", "resty", "jinja2"),
    [
        ("", True, True), ("plain { text }", True, True), ('{"a":{"b":1}}', True, True), ("{{ x }}", False, False),
        ("{% x %}", False, False), ("{# x #}", False, False), ("{* x *}", False, True), ("{-raw-}", False, True),
        ("{(x)}", False, True), ("{[x]}", False, True),
    ],
)  # fmt: skip
def test_a_text_without_tags_is_known(text: str, resty: bool, jinja2: bool) -> None:
    assert (is_plain(text, "resty"), is_plain(text, "jinja2")) == (resty, jinja2)
