"""Lambdas: what results mean, what is written, what the modes of untrusted_lua allow."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed, TaskFailed
from kong_eventhooks_plugin.sandbox.lua import Lambdas
from kong_eventhooks_plugin.sandbox.tasks import Called, CompileError, Line, LuaRules, SandboxLimits
from tests.support.sandbox import DATA, call, value_of

LAMBDAS = Lambdas(LuaRules(), SandboxLimits(lines=5, line_bytes=1000))
STRICT = Lambdas(LuaRules("strict"), SandboxLimits())


def run(*functions: str, **more: Any) -> Called:
    return LAMBDAS.call(call(*functions, **more))


def test_a_function_gets_data_event_source_and_pid() -> None:
    code = "return function(data, event, source, pid) return {data.consumer.username, event, source, pid} end"
    assert value_of(run(code)) == ["Joanna", "consumers", "crud", 7]


def test_the_result_is_the_next_ones_data() -> None:
    first, second = "return function(d) return {n = d.limit} end", "return function(d, e) return e .. d.n end"
    assert run(first, second) == Called("done", "", b'"consumers4"', ())


def test_a_function_without_a_result_hands_its_data_on() -> None:
    assert value_of(run("return function(d) d.limit = 9 end", "return function(d) return d.limit end")) == 9


def test_a_last_function_without_a_return_is_done() -> None:
    assert run("return function() end") == Called("done", "", b"", ())
    assert run("return function() return nil end") == Called("done", "", b"", ())


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("return function() return false end", "a function answered false"),
        ("return function() return false, 'busy' end", "busy"),
        ("return function() return nil, 'not yet' end", "not yet"),
        ("return function() return nil, {code = 5} end", '{"code":5}'),
    ],
)
def test_false_and_nil_with_an_error_stop_the_chain(code: str, error: str) -> None:
    never = "return function() error('never') end"
    assert run(code, never) == Called("refused", error, b"", ())


def test_error_has_the_chunks_name_and_line_as_in_kongs_documentation() -> None:
    code = (
        "return function (data, event, source, pid)\n"
        "  local user = data.entity.username\n"
        '  error("Event hook on consumer " .. user .. "")\n'
        "end\n"
    )
    result = run(code, data={"entity": {"username": "Lois Lane"}})
    assert result.end == "raised"
    assert result.text == '[string "return function (data, event, source, pid)..."]:3: Event hook on consumer Lois Lane'


def test_a_mistake_is_an_error_too_and_nil_cannot_be_indexed_as_in_kong() -> None:
    result = run("return function(d) return d.nope.x end")
    assert result.end == "raised"
    assert result.text.endswith(":1: attempt to index field 'nope' (a nil value)")


def test_lines_come_back_with_level_place_and_text() -> None:
    code = (
        "return function(d)\n"
        " kong.log.err('a', 1, nil, true)\n"
        " kong.log('plain')\n"
        " kong.log.inspect({1, x = 2}, 'two', print)\n"
        "end"
    )
    assert run(code).lines == (
        Line("err", '[string "return function(d)..."]:2', "a1niltrue"),
        Line("notice", '[string "return function(d)..."]:3', "plain"),
        Line("notice", '[string "return function(d)..."]:?:4', "", '{\n  ["1"] = 1,\n  x = 2\n} "two" null'),
    )


@pytest.mark.parametrize("level", ["debug", "info", "notice", "warn", "err", "crit", "alert"])
def test_every_level_of_kong_is_there(level: str) -> None:
    (line,) = run(f"return function() kong.log.{level}('x') end").lines
    assert (line.level, line.text) == (level, "x")


def test_lines_before_an_error_are_kept() -> None:
    result = run("return function() kong.log.warn('before') error('x') end")
    assert (result.end, [line.text for line in result.lines]) == ("raised", ["before"])


def test_lines_have_limits_and_cuts_are_noted() -> None:
    result = run("return function() for i = 1, 9 do kong.log.info(i) end end")
    assert [line.text for line in result.lines] == ["1", "2", "3", "4", "5", "4 more lines were cut"]
    (long,) = run("return function() kong.log(('x'):rep(5000)) end").lines
    assert long.text == "x" * 1000
    (value,) = run("return function() kong.log.inspect(('x'):rep(5000)) end").lines
    assert (value.text, value.inspected) == ("(a value too long to show)", None)


def test_upvalues_and_globals_live_with_their_hook() -> None:
    code = "local n = 0 return function() n = n + 1 g = (g or 0) + 1 return {n, g} end"
    assert [value_of(run(code, owner=owner)) for owner in ("a", "a", "b")] == [[1, 1], [2, 2], [1, 1]]


def test_what_json_does_not_have_is_named() -> None:
    code = "return function() local t = {f = function() end, n = 0/0} t.t = t return t end"
    assert value_of(run(code)) == {"f": "<function>", "n": None, "t": "<cycle>"}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("return function(", CompileError(1, 1, "<name> or '...' expected near '<eof>'")),
        ("local x = 1\nreturn = 2", CompileError(2, 1, "unexpected symbol near '='")),
        ("return 5", CompileError(1, 1, "it must return a function, and returns a number")),
        ("local x = 1", CompileError(1, 1, "it must return a function, and returns nothing")),
        ("error('at once')", CompileError(1, 1, "at once")),
        ("\x1bLJ\x02", CompileError(1, 1, "attempt to load chunk with wrong mode")),
    ],
)
def test_what_is_no_function_is_refused(code: str, error: CompileError) -> None:
    with pytest.raises(CompilationFailed) as refused:
        LAMBDAS.check(code)
    assert refused.value.error == error


def test_a_very_long_answer_is_a_failure() -> None:
    small = Lambdas(LuaRules(), SandboxLimits(output_bytes=100))
    with pytest.raises(TaskFailed) as failed:
        small.call(call("return function() return ('x'):rep(200) end"))
    assert failed.value.reason == "output"


def test_off_refuses_lambdas() -> None:
    off = Lambdas(LuaRules("off"), SandboxLimits())
    with pytest.raises(CompilationFailed, match="untrusted_lua = off"):
        off.check("return function() end")


def test_on_opens_everything(tmp_path: Path) -> None:
    on = Lambdas(LuaRules("on"), SandboxLimits())
    path = tmp_path / "written"
    code = f"""return function()
      local file = io.open("{path}", "w") file:write("by lua") file:close()
      kong.log.info("still there")
      return {{type(debug), type(load), type(ffi or require("ffi")), type(_G.python)}}
    end"""
    result = on.call(call(code))
    assert value_of(result) == ["table", "function", "table", "nil"]
    assert path.read_text() == "by lua"
    assert [line.text for line in result.lines] == ["still there"]


def test_requires_lets_modules_in_by_name(tmp_path: Path) -> None:
    (tmp_path / "greeting.lua").write_text("return {hello = function(n) return 'hello ' .. n end}")
    rules = LuaRules(requires=("greeting", "not_there", "bit"), path=f"{tmp_path}/?.lua")
    wide = Lambdas(rules, SandboxLimits())
    code = "return function() return {require('greeting').hello('x'), require('bit').band(6, 3)} end"
    assert value_of(wide.call(call(code))) == ["hello x", 2]
    missing = wide.call(call("return function() return require('not_there') end")).text
    assert "module 'not_there' was not found" in missing
    refused = wide.call(call("return function() local o = require('os') return o end")).text
    assert "require 'os' is not allowed in the sandbox" in refused


def test_environment_shows_globals_by_dotted_name() -> None:
    wide = Lambdas(LuaRules(environment=("os.getenv", "jit", "nope.nothing")), SandboxLimits())
    code = """return function()
      local ok = pcall(function() jit.version = 'changed' end)
      return {type(os.getenv), type(os.time), type(os.execute), type(jit.version), ok, type(nope)}
    end"""
    assert value_of(wide.call(call(code))) == ["function", "function", "nil", "string", False, "nil"]


def test_environment_shows_whole_libraries_and_one_name_may_hold_another() -> None:
    wide = Lambdas(
        LuaRules(environment=("os", "os.getenv", "jit.version", "jit.arch", "string.dump.x")), SandboxLimits()
    )
    code = """return function()
      return {type(os.getenv), type(os.execute), type(os.time), type(jit.version), type(jit.arch), type(jit.on),
              type(string.dump)}
    end"""
    assert value_of(wide.call(call(code))) == ["function"] * 3 + ["string"] * 2 + ["nil"] * 2


def test_one_hook_cannot_change_what_another_sees_of_the_environment() -> None:
    wide = Lambdas(LuaRules(environment=("jit.version", "os")), SandboxLimits())
    change = """return function()
      local done = {pcall(function() jit.version = 'changed' end), pcall(function() os.left = 1 end)}
      table.insert(jit, 'left') table.insert(os, 'left')
      return done
    end"""
    assert value_of(wide.call(call(change, owner="a")))[0] is False
    look = "return function() return {jit.version ~= 'changed', #jit, #os, os.left == nil} end"
    assert value_of(wide.call(call(look, owner="b"))) == [True, 0, 0, True]


def test_what_is_only_checked_is_not_kept() -> None:
    checked = Lambdas(LuaRules(), SandboxLimits())
    code = "local kept = ('x'):rep(1e5) .. %d return function() return kept end"
    checked.check(code % 0)
    checked._collect(b"collect")
    before = checked._used()
    for number in range(20):
        checked.check(code % number)
    checked._collect(b"collect")
    assert checked._used() - before < 500, "KiB"


def test_one_hook_cannot_change_what_another_calls() -> None:
    change = """return function()
      local done = {}
      for _, lib in ipairs({string, table, math, os, coroutine, kong, kong.log}) do
        done[#done + 1] = pcall(function() lib.format = 1 lib.err = 1 lib.log = 1 end)
      end
      return done
    end"""
    assert value_of(run(change)) == [False] * 7
    assert value_of(run("return function() table.insert(string, 'mine') return #string end", owner="a")) == 1
    assert value_of(run("return function() return string[1] == nil end", owner="b")) is True


def test_data_is_each_calls_own() -> None:
    run("return function(d) d.consumer.username = 'changed' end")
    assert value_of(run("return function(d) return d.consumer.username end")) == DATA["consumer"]["username"]


class TestStrictAndLax:
    """The modes of Kong Gateway 3.14, as its documentation lists them."""

    @pytest.fixture(params=["strict", "lax"])
    def lambdas(self, request: pytest.FixtureRequest) -> Lambdas:
        return Lambdas(LuaRules(request.param), SandboxLimits())

    def test_what_they_add(self, lambdas: Lambdas) -> None:
        code = """return function()
          local t = {1, 2, n = 3}
          local copy = table.clone(t)
          table.clear(t)
          return {bit.band(6, 3), type(jit.version), io.type(1) == nil, table.isempty(t), table.nkeys(copy),
                  table.isarray({1, 2}), table.isarray(copy), table.pack(1, nil).n, table.unpack({7}),
                  #table.new(1, 0), type(ngx.time()), ngx.WARN}
        end"""
        assert value_of(lambdas.call(call(code))) == [
            2, "string", True, True, 3, True, False, 2, 7, 0, "number", 5,
        ]  # fmt: skip

    def test_what_they_do_not_have(self, lambdas: Lambdas) -> None:
        code = """return function()
          return {type(io.open), type(load), type(debug), type(ffi), type(os.getenv), type(setmetatable), type(jit.on),
                  type(ngx.socket), type(collectgarbage)}
        end"""
        assert value_of(lambdas.call(call(code))) == ["nil"] * 9

    def test_modules(self, lambdas: Lambdas) -> None:
        code = """return function(data)
          local cjson = require "cjson"
          local text = cjson.encode({a = {1, cjson.null}, s = 'x"y'})
          local back = cjson.decode(text)
          local value, err = require("cjson.safe").decode("{")
          return {text, back.a[1], back.a[2] == ngx.null, back.s, value == nil, err, require("bit").bor(1, 2)}
        end"""
        assert value_of(lambdas.call(call(code))) == [
            '{"a":[1,null],"s":"x\\"y"}', 1, True, 'x"y', True, "expected a name at character 2", 3,
        ]  # fmt: skip

    def test_modules_that_are_one_function(self, lambdas: Lambdas) -> None:
        code = """return function()
          local new, clone, clear = require "table.new", require "table.clone", require "table.clear"
          local t = new(2, 0)
          t[1] = 5
          local copy = clone(t)
          clear(t)
          local nkeys, isempty, isarray = require "table.nkeys", require "table.isempty", require "table.isarray"
          return {copy[1], #t, nkeys({1, x = 2}), isempty(t), isarray({1})}
        end"""
        assert value_of(lambdas.call(call(code))) == [5, 0, 2, True, True]

    @pytest.mark.parametrize("name", ["resty.http", "os", "ffi", "string.buffer", "kong.tools.utils"])
    def test_other_modules_are_named(self, lambdas: Lambdas, name: str) -> None:
        result = lambdas.call(call(f"return function() local m = require '{name}' return m end"))
        assert result.end == "raised"
        assert f"module '{name}' is not available (untrusted_lua = " in result.text

    def test_the_settings_of_the_mode_sandbox_do_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "mine.lua").write_text("return {}")
        rules = LuaRules("lax", requires=("mine",), environment=("os.getenv",), path=f"{tmp_path}/?.lua")
        lambdas = Lambdas(rules, SandboxLimits())
        assert value_of(lambdas.call(call("return function() return type(os.getenv) end"))) == "nil"
        assert "not available" in lambdas.call(call("return function() return require('mine') end")).text

    def test_lines(self, lambdas: Lambdas) -> None:
        code = """return function()
          print("a", 1) ngx.log(ngx.ERR, "b", 2) ngx.log(ngx.EMERG, "c") kong.log.warn("d")
        end"""
        lines = lambdas.call(call(code)).lines
        assert [(line.level, line.text) for line in lines] == [
            ("notice", "a1"), ("err", "b2"), ("alert", "c"), ("warn", "d"),
        ]  # fmt: skip
        assert all(line.where.endswith(":2") for line in lines)

    def test_one_lambda_cannot_change_what_another_has(self, lambdas: Lambdas) -> None:
        change = """return function()
          local b = require "bit"
          return {pcall(function() b.band = 1 end), pcall(function() table.clone = 1 end)}
        end"""
        assert value_of(lambdas.call(call(change, owner="a")))[0] is False
        code = "return function() return {require('bit').band(3, 1), type(table.clone)} end"
        assert value_of(lambdas.call(call(code, owner="b"))) == [1, "function"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text() | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
).filter(lambda value: "Infinity" not in json.dumps(value))


@given(JSON_VALUES)
def test_cjson_reads_what_json_is(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        code = "return function(data) return {require('cjson').decode(data.text)} end"
        assert value_of(STRICT.call(call(code, data={"text": text}))) == [value]


@pytest.mark.parametrize(
    "text",
    ["", "nul", "{", "[1,]", '{"a"}', '{"a":1,}', "{a:1}", '"\\x"', '"\\u12"', '"\\ud800"', '"a\nb"', "1 2", "[1 2]",
     "-", "+1", "." , '"', "[" * 100],
)  # fmt: skip
def test_cjson_refuses_what_is_none(text: str) -> None:
    code = "return function(data) local ok, err = pcall(require('cjson').decode, data.text) return {ok, err} end"
    ok, error = value_of(STRICT.call(call(code, data={"text": text})))
    assert ok is False
    assert " at character " in error


def test_an_error_of_lua_outside_user_code_fails_the_task_alone() -> None:
    """A wrong piece of data stands for what nothing foresees; the text has neither our stack nor its addresses."""
    with pytest.raises(TaskFailed) as failed:
        STRICT._guarded(STRICT._call, 0, b"\xff")
    assert failed.value.reason == "template"
    assert "\n" not in str(failed.value)
