"""Lua in a worker: LuaJIT 2.1, the Lua that Kong runs, by way of lupa. Templates and lambdas have a state each.

No Python object enters a state, only bytes and numbers, and the bridge (eval, builtins, attributes) is closed.
``prelude.lua`` runs inside. Limits on time and memory are the process's (``isolation``); after a task that left much
garbage, the state collects it at once.
"""

import re
from collections.abc import Callable
from importlib.resources import files
from itertools import count
from typing import Any

import msgspec
from lupa import luajit21

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed, TaskFailed, not_compiled
from kong_eventhooks_plugin.sandbox.inspect_box import render
from kong_eventhooks_plugin.sandbox.json_nulls import MARK, with_nulls
from kong_eventhooks_plugin.sandbox.lru import Key, LruCache
from kong_eventhooks_plugin.sandbox.lua_values import encode
from kong_eventhooks_plugin.sandbox.resty import Compiled, compile_template
from kong_eventhooks_plugin.sandbox.tasks import (
    MAX_SOURCE,
    MAX_TEXT,
    Called,
    CompileError,
    LambdaCall,
    Line,
    LuaRules,
    Render,
    Rendered,
    SandboxLimits,
    Template,
)

COLLECT_OVER = 16 << 10
"""KiB of Lua's memory, past which a task is followed by a full collection."""

_OUT_OF_MEMORY = "not enough memory"
_OPENED = re.compile(r"(\(to close '\w+' at line )(\d+)\)")
_AT_LINE = re.compile(r"^(?:template|\[string .*?\]):(\d+): (.*)$", re.DOTALL)


def _refuse(*_: object) -> Any:
    raise AttributeError("access denied")


def _state(kind: str, rules: LuaRules, limits: SandboxLimits) -> tuple[Any, ...]:
    """Return the functions of a new state's prelude."""
    runtime = luajit21.LuaRuntime(
        encoding=None,
        register_eval=False,
        register_builtins=False,
        unpack_returned_tuples=True,
        attribute_handlers=(_refuse, _refuse),
    )
    source = files(__package__).joinpath("prelude.lua").read_bytes()
    prelude = runtime.compile(source, name=b"=prelude", mode=b"t")
    names = (",".join(rules.requires), ",".join(rules.environment), rules.path)
    functions: tuple[Any, ...] = prelude(
        kind.encode(),
        rules.untrusted_lua.encode(),
        *(name.encode() for name in names),
        limits.lines,
        limits.line_bytes,
        MARK,
    )
    return functions


class _State:
    """What both states have: numbered pieces of code, and garbage."""

    def __init__(self, kind: str, rules: LuaRules, limits: SandboxLimits) -> None:
        self._limits = limits
        self._ids = count(1)
        self._load, self._drop, *self._functions, self._used, self._collect = _state(kind, rules, limits)

    def collect_garbage(self) -> None:
        if self._used() > COLLECT_OVER:
            self._collect(b"collect")

    def _guarded(self, function: Callable[..., Any], *arguments: object) -> Any:
        try:
            return function(*arguments)
        except luajit21.LuaMemoryError:
            raise
        except luajit21.LuaError as error:  # lupa.LuaError is another Lua's, and would load that one
            text = str(error).partition("\nstack traceback:")[0]
            if _OUT_OF_MEMORY in text:
                raise TaskFailed("memory", _OUT_OF_MEMORY) from error
            raise TaskFailed("template", text, "an error of Lua") from error


class Templates(_State):
    def __init__(self, limits: SandboxLimits) -> None:
        super().__init__("templates", LuaRules(), limits)
        self._context, self._render = self._functions
        self._compiled: LruCache[tuple[int, Compiled]] = LruCache(limits.compiled, lambda entry: self._drop(entry[0]))

    def render(self, task: Render) -> Rendered:
        """Return the texts; raises ``TaskFailed``, ``CompilationFailed``."""
        self._guarded(self._context, encode(task.data | {"event": task.event, "source": task.source}))
        room, texts = self._limits.output_bytes, []
        for template in task.templates:
            raw = self._text(template)
            room -= len(raw)
            if room < 0:
                raise TaskFailed("output", f"{template.name}: more than {self._limits.output_bytes} bytes of text")
            texts.append(raw.decode("utf-8", "replace"))
        return Rendered(tuple(texts))

    def check(self, text: str) -> None:
        """Compile a template; raises ``CompilationFailed``."""
        self._compiled.get((text,), self._compile)

    def _text(self, template: Template) -> bytes:
        try:
            number, compiled = self._compiled.get((template.text,), self._compile)
        except CompilationFailed as error:
            raise TaskFailed("template", f"{template.name}: {error}", not_compiled(error, template.name)) from error
        ok, answer = self._guarded(self._render, number, template.place.encode())
        if not ok:
            raise _failure(template.name, compiled, answer.decode("utf-8", "replace"))
        raw: bytes = answer
        return with_nulls(raw) if template.place == "json" else raw

    def _compile(self, key: Key) -> tuple[int, Compiled]:
        compiled, number = compile_template(key[0]), next(self._ids)
        error = self._guarded(self._load, number, compiled.source.encode())
        if error is not None:
            raise CompilationFailed(_compile_error(error.decode("utf-8", "replace"), compiled.place))
        return number, compiled


class Lambdas(_State):
    def __init__(self, rules: LuaRules, limits: SandboxLimits) -> None:
        super().__init__("lambdas", rules, limits)
        (self._call,) = self._functions
        self._off = rules.untrusted_lua == "off"
        self._compiled: LruCache[tuple[int]] = LruCache(limits.compiled, lambda entry: self._drop(entry[0]))

    def call(self, task: LambdaCall) -> Called:
        """Call the functions, chained; raises ``TaskFailed``, ``CompilationFailed``."""
        (number,) = self._compiled.get((task.owner, *task.functions), self._compile)
        names = (task.event.encode(), task.source.encode())
        answer = self._guarded(self._call, number, encode(task.data, for_lambda=True), *names, task.pid)
        end, text, value, lines, more = answer
        room = self._limits.line_bytes if end == b"raised" else MAX_TEXT
        text = text[:room].decode("utf-8", "replace")
        if end == b"raised" and _OUT_OF_MEMORY in text:
            raise TaskFailed("memory", _OUT_OF_MEMORY)
        if len(value) > self._limits.output_bytes:
            raise TaskFailed("output", f"the answer has more than {self._limits.output_bytes} bytes")
        answer = _json(value)
        written = b"" if answer is None else msgspec.json.encode(answer)
        return Called(end.decode(), text, written, _lines(_json(lines), int(more)))

    def check(self, text: str) -> None:
        """Load one function; raises ``CompilationFailed``."""
        (number,) = self._compile(("", text))
        self._drop(number)

    def _compile(self, key: Key) -> tuple[int]:
        if self._off:
            raise CompilationFailed(CompileError(1, 1, "lambdas are switched off: untrusted_lua = off"))
        if any(len(text) > MAX_SOURCE for text in key[1:]):
            raise CompilationFailed(CompileError(1, 1, f"a function may have {MAX_SOURCE} characters"))
        number = next(self._ids)
        error = self._guarded(self._load, number, *(text.encode() for text in key[1:]))
        if error is not None:
            raise CompilationFailed(_compile_error(error.decode("utf-8", "replace"), lambda line: (line, 1)))
        return (number,)


def _compile_error(text: str, place: Callable[[int], tuple[int, int]]) -> CompileError:
    found = _AT_LINE.match(text)
    if found is None:
        return CompileError(1, 1, text)
    message = _OPENED.sub(lambda opened: f"{opened[1]}{place(int(opened[2]))[0]})", found[2])
    return CompileError(*place(int(found[1])), message)


def _failure(name: str, compiled: Compiled, text: str) -> TaskFailed:
    if _OUT_OF_MEMORY in text:
        return TaskFailed("memory", f"{name}: {_OUT_OF_MEMORY}")
    if not _AT_LINE.match(text):
        return TaskFailed("template", f"{name}: {text}", f"{name}: it fails")
    error = _compile_error(text, compiled.place)
    return TaskFailed("template", f"{name}: {error}", f"{name}: {error.place}: it fails")


def _json(raw: bytes) -> Any:
    return msgspec.json.decode(raw.decode("utf-8", "replace"))


def _lines(rows: list[list[Any]], more: int) -> tuple[Line, ...]:
    lines = [
        Line(level, where, text, None if values is None else render(*values)) for level, where, text, values in rows
    ]
    if more:
        lines.append(Line("warn", "", f"{more} more lines were cut"))
    return tuple(lines)
