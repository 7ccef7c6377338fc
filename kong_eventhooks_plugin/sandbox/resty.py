r"""Templates in the dialect of lua-resty-template, turned into Lua source. Pure; the Lua runs elsewhere (``lua``).

The same as in that library, by its documentation and behaviour:

==================================  ===================================================================
``{{ expression }}``                its value, escaped for the place where the text ends up
``{* expression *}``                its value, as it is
``{% code %}``                      runs; spaces before it and one line end after it are dropped
``{# comment #}``                   dropped, with one line end after it
``{-raw-} ... {-raw-}``             the text between, as it is (``{-verbatim-}`` too)
``{-name-} ... {-name-}``           stored as ``blocks.name``, to be written with ``{* blocks.name *}``
``\{{ x }}``                        a backslash before a tag writes the tag
==================================  ===================================================================

Different: there are no files, so ``{( )}`` and ``{[ ]}`` are refused; ``{{``, ``{*`` and ``{%`` that nothing closes are
refused (there they are text); and a text may contain ``]=]``.

Each piece of the result begins on a line of its own, and ``Compiled.lines`` maps each of its lines to its place in the
template, so that an error of the Lua compiler has a line and a column.
"""

from bisect import bisect_left
from collections.abc import Callable

import msgspec

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.tasks import MAX_SOURCE, CompileError

_CLOSERS = {"{": "}}", "*": "*}", "%": "%}", "#": "#}", "-": "-}", "(": ")}", "[": "]}"}
_MUST_CLOSE = "{*%"
_BLANKS = " \t\v\0"
_RAW = ("raw", "verbatim")
_PROLOGUE = "local context,___,___escape,___output,blocks,___echo,___join=... local layout local echo=___echo(___)"
_EPILOGUE = 'if layout then error("layouts are not supported: templates cannot include files",0) end'


class Compiled(msgspec.Struct, frozen=True):
    """A template as Lua source. ``lines`` has for each line of it line and column in the template."""

    source: str
    lines: tuple[tuple[int, int], ...]

    def place(self, line: int) -> tuple[int, int]:
        """Return line and column in the template for a line (from 1) of the source."""
        return self.lines[min(line, len(self.lines)) - 1] if line > 0 else (1, 1)


def compile_template(template: str) -> Compiled:
    """Return the template's Lua; raises ``CompilationFailed``. The Lua in its tags is not checked."""
    if len(template) > MAX_SOURCE:
        raise CompilationFailed(CompileError(1, 1, f"a template may have {MAX_SOURCE} characters"))
    return _Compiler(template).run()


class _Compiler:
    def __init__(self, template: str) -> None:
        self._text = template
        self._done = 0  # what lies before has been written
        self._source: list[str] = []
        self._lines: list[tuple[int, int]] = []
        self._line_ends = [at for at, character in enumerate(template) if character == "\n"]

    def run(self) -> Compiled:
        self._write(_PROLOGUE, 0)
        self._scan(0, len(self._text))
        self._write(_EPILOGUE, len(self._text))
        return Compiled("\n".join(self._source), tuple(self._lines))

    def _scan(self, start: int, end: int) -> None:
        """Turn the part between ``start`` and ``end`` into Lua, text and tags."""
        self._done, at = start, self._text.find("{", start, end)
        while at >= 0:
            kind = self._text[at + 1 : at + 2]
            at = self._text.find("{", self._tag(kind, at, end) if kind in _CLOSERS and kind else at + 1, end)
        self._write_text(self._done, end)

    def _tag(self, kind: str, at: int, end: int) -> int:
        """Handle what looks like a tag; return the position to search on from."""
        close = self._closed(kind, at, end)
        escaped, slashes = self._escaped(at)
        if close < 0:
            if kind in _MUST_CLOSE and not escaped and not self._is_brace_before_tag(at, end):
                raise self._compile_error(at, f"{{{kind} is not closed by {_CLOSERS[kind]}")
            return at + 1
        if escaped or (slashes and not self._takes_blanks(kind, at, close)):
            self._write_text(self._done, at - slashes)
            self._done = at
        return at + 1 if escaped else self._HANDLERS[kind](self, at, close, end)

    def _closed(self, kind: str, at: int, end: int) -> int:
        """Return where the tag's closing begins, -1 where it has none; a block needs its second tag as well."""
        close = self._text.find(_CLOSERS[kind], at + 2, end)
        if kind == "-" and close >= 0 and self._text.find(self._text[at : close + 2], close + 2, end) < 0:
            return -1
        return close

    def _is_brace_before_tag(self, at: int, end: int) -> bool:
        """Return whether it is no tag but a brace before a tag: ``{{* x *}``."""
        kind = self._text[at + 2 : at + 3]
        return self._text[at + 1] == "{" and kind in _CLOSERS and self._closed(kind, at + 1, end) >= 0

    def _takes_blanks(self, kind: str, at: int, close: int) -> bool:
        """Return whether a tag drops the blanks before it; backslashes there both stay, as in the library."""
        return kind == "%" or (kind == "-" and self._text[at + 2 : close].strip() not in _RAW)

    def _escaped(self, at: int) -> tuple[bool, int]:
        """Return whether a backslash escapes the tag, and how many of those before it are not text."""
        if at == 0 or self._text[at - 1] != "\\" or at - 1 < self._done:
            return False, 0
        return not (at > 1 and self._text[at - 2] == "\\"), 1

    def _expression(self, call: str, at: int, close: int) -> int:
        self._write_text(self._done, at)
        if not self._text[at + 2 : close].strip():
            raise self._compile_error(at, "an expression is missing")
        self._write_lua(f"___[#___+1]={call}(", at, close)
        self._write(")", at)
        return self._past(close + 2)

    def _value(self, at: int, close: int, _end: int) -> int:
        return self._expression("___escape", at, close)

    def _raw_value(self, at: int, close: int, _end: int) -> int:
        return self._expression("___output", at, close)

    def _code(self, at: int, close: int, end: int) -> int:
        self._write_text(self._done, self._without_blanks(at))
        self._write_lua("", at, close)
        return self._past(self._after_line_end(close + 2, end))

    def _comment(self, at: int, close: int, end: int) -> int:
        self._write_text(self._done, at)
        return self._past(self._after_line_end(close + 2, end))

    def _include(self, at: int, _close: int, _end: int) -> int:
        tag = self._text[at : at + 2]
        raise self._compile_error(at, f"templates cannot include files; write \\{tag} for the text {tag}")

    def _block(self, at: int, close: int, end: int) -> int:
        tag = self._text[at : close + 2]
        second = self._text.find(tag, close + 2, end)
        name, inside = tag[2:-2].strip(), close + 2
        after = self._after_line_end(second + len(tag), end)
        if name in _RAW:
            self._write_text(self._done, at)
            self._write_text(self._after_line_end(inside, second), second)
        else:
            self._named_block(name, at, inside, second)
        return self._past(after)

    def _named_block(self, name: str, at: int, inside: int, second: int) -> None:
        self._write_text(self._done, self._without_blanks(at))
        last = second - 1 if self._text[second - 1] == "\n" and second > inside else second
        self._write(f"blocks[{_quoted(name)}]=(function(___) local echo=___echo(___)", at)
        self._scan(self._after_line_end(inside, last), last)
        self._write("return ___join(___) end)({})", at)

    _HANDLERS: dict[str, Callable[["_Compiler", int, int, int], int]] = {  # noqa: RUF012 - a table, never changed
        "{": _value,
        "*": _raw_value,
        "%": _code,
        "#": _comment,
        "-": _block,
        "(": _include,
        "[": _include,
    }

    def _past(self, position: int) -> int:
        self._done = position
        return position

    def _after_line_end(self, position: int, end: int) -> int:
        return position + 1 if position < end and self._text[position] == "\n" else position

    def _without_blanks(self, at: int) -> int:
        while at > self._done and self._text[at - 1] in _BLANKS:
            at -= 1
        return at

    def _write_text(self, start: int, end: int) -> None:
        if start < end:
            self._write(f"___[#___+1]={_quoted(self._text[start:end])}", start)

    def _write_lua(self, before: str, at: int, close: int) -> None:
        """Add the content of the tag at ``at``; its position is that of its first line that is not blank."""
        inside = self._text[at + 2 : close]
        first = at + 2 + len(inside) - len(inside.lstrip())
        self._write(before + inside.strip(), first if "\n" in self._text[at:first] else at)

    def _write(self, lua: str, at: int) -> None:
        """Add Lua of position ``at``; each line end in it is one in the template, too."""
        line, column = self._position(at)
        self._source.append(lua)
        self._lines.append((line, column))
        self._lines.extend((line + more, 1) for more in range(1, lua.count("\n") + 1))

    def _position(self, at: int) -> tuple[int, int]:
        before = bisect_left(self._line_ends, at)
        return before + 1, at - (self._line_ends[before - 1] if before else -1)

    def _compile_error(self, at: int, text: str) -> CompilationFailed:
        return CompilationFailed(CompileError(*self._position(at), text))


_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\\000"})


def _quoted(text: str) -> str:
    """Return a Lua string, on one line."""
    return f'"{text.translate(_ESCAPES)}"'
