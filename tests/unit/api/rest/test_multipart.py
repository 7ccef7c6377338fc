"""Multipart forms as clients write them, and what is counted of those that no client writes."""

import pytest

from kong_eventhooks_plugin.api.rest.form_names import MAX_ARGUMENTS
from kong_eventhooks_plugin.api.rest.multipart import MAX_HEAD, fields
from kong_eventhooks_plugin.errors import BadArgument

B = "multipart/form-data; boundary=b"
END = b"--b--\r\n"


def part(name: bytes, value: bytes = b"x", more: bytes = b"") -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name, more, value)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (B, END, []),
        (B, b"--b--", []),
        (B, part(b"a") + part(b"a", b"y") + END, [("a", "x"), ("a", "y")]),
        (B, part(b"a", b"--b\n--bb\r\n--bc\r\n\r\n") + END, [("a", "--b\n--bb\r\n--bc\r\n\r\n")]),
        (B, part(b"a", b"", b'; filename="f; name=\\"n\\".lua"\r\nContent-Type: text/plain') + END, [("a", "")]),
        (B, b'--b\r\ncontent-disposition:form-data; f="name=\\"x"; name=a\r\n\r\n\xc3\xbc\r\n' + END, [("a", "ü")]),
        (B, part(b'config[\\"a\\"]') + END, [('config["a"]', "x")]),
        (B, b"a preamble\r\n" + part(b"a") + b"--b-- \t\r\nan epilogue\r\n--b\r\n", [("a", "x")]),
        (B, b"--b\r\n\r\nno name\r\n--b\r\nx: y\r\n\r\nno name\r\n" + part(b"a") + END, [("a", "x")]),
        ('multipart/form-data; charset=utf-8; boundary="b ?"', b"--b ?--", []),
        ("multipart/form-data; boundary=b.+; x=y", b"--b.+--", []),
    ],
)  # fmt: skip
def test_a_form(content_type: str, body: bytes, expected: list[tuple[str, str]]) -> None:
    assert fields(body, content_type) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("multipart/form-data", END, "Cannot parse multipart body"),
        (f"{B}{'x' * 70}", END, "Cannot parse multipart body"),
        (B, b"", "Cannot parse multipart body"),
        (B, b"x", "Cannot parse multipart body"),
        (B, part(b"a"), "Cannot parse multipart body"),
        (B, b"--b\r\nno end of the headers\r\n" + END, "Cannot parse multipart body"),
        (B, b"--b\r\n" + END, "Cannot parse multipart body"),
        (B, part(b"\x01") + END, "Cannot parse multipart body"),
        (B, part(b"\xff") + END, "a part of the form is not UTF-8"),
        (B, part(b"a", b"\xff") + END, "a part of the form is not UTF-8"),
        (B, b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n" + END,
         "a multipart form inside another is not accepted"),
        (B, part(b"a", more=b"; " + b"x" * MAX_HEAD) + END, "a part of the form has more than 8,190 bytes of headers"),
    ],
)  # fmt: skip
def test_no_form(content_type: str, body: bytes, text: str) -> None:
    with pytest.raises(BadArgument) as refused:
        fields(body, content_type)
    assert str(refused.value) == text


@pytest.mark.parametrize("one", [b"--b\r\n\r\n\r\n", b"--b\r\nx: y\r\n\r\nz\r\n", part(b"a"), b"--b\r\n"])
def test_every_part_counts(one: bytes) -> None:
    if one != b"--b\r\n":
        fields(one * MAX_ARGUMENTS + END, B)
        with pytest.raises(BadArgument, match="Too many arguments"):
            fields(one * (MAX_ARGUMENTS + 1) + END, B)
    with pytest.raises(BadArgument):
        fields(one * 200_000, B)
