"""Ways out of the Lua sandbox, from lambdas and from templates. None leads anywhere, and the pool goes on serving."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Called, Check, Checked, Failed, Rendered, Result
from tests.support.sampling import sample
from tests.support.sandbox import call, render, value_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
Serves = Callable[[], Awaitable[None]]

# Expressions that would be something in a Lua that is open. Here each is nil or false.
NOTHING = [
    "getmetatable",
    "setmetatable",
    "rawget",
    "rawset",
    "rawequal",
    "rawlen",
    "load",
    "loadstring",
    "loadfile",
    "dofile",
    "getfenv",
    "setfenv",
    "module",
    "package",
    "io",
    "debug",
    "jit",
    "ffi",
    "bit",
    "collectgarbage",
    "gcinfo",
    "newproxy",
    "print",
    "python",
    "lupa",
    "os.execute",
    "os.getenv",
    "os.exit",
    "os.remove",
    "os.rename",
    "os.tmpname",
    "os.setlocale",
    "string.dump",
    "string.buffer",
    "math.randomseed",
    "coroutine.isyieldable",
    "coroutine.close",
    "table.new",
    "table.clear",
    "(''):dump(print)",
    "('').dump",
    "ngx.config",
    "ngx.re",
    "kong and kong.configuration",
    "_G and _G.io",
    "_G and _G._G and _G._G.debug",
    "_ENV",
    # what string methods lead to
    "('').format.x",
    "#('').gsub == 0",
    "('').__index",
    "('').__metatable",
    "('').gmatch.upvalue",
    # LuaJIT's 64-bit and complex numbers are C's: the type's own methods must lead nowhere
    "(1LL).x",
    "(1ULL)[0]",
    "(1i).re.x",
    "(1LL)()",
    "ngx.null.x",
    "ngx.null()",
    "pcall(coroutine.wrap(getfenv or error), 0)",
    "xpcall(error, debug and debug.getregistry or error)",
    "select(2, pcall(error)).x",
    "next(string)",
    "next(ngx)",
    "kong and (next(kong) or next(kong.log))",
    "table.maxn(string) > 0",
    "unpack(string)",
]

# Functions that would hand out more than they may. Each ends in an error.
REFUSED = [
    "string.rep = 1",
    "string.x = 1",
    "table.concat = nil",
    "math.pi = 3",
    "os.time = nil",
    "coroutine.wrap = nil",
    "string.format('%s', setmetatable({}, {}))",
    "return string.format('%99999d', 1)",
    "return ('x'):rep(-1):rep(1e308):rep(1e308).x.y.z",
    "return require('ffi')",
    "return require('os')",
    "return require('kong')",
    "return require('lupa')",
    "return tostring(load)()",
    "local f = ('').dump return f(f)",
    "kong.x = 1",
    "kong.log.err = tostring",
    "ngx.null = 1",
    "return 1LL .. ''",
    "for _ in pairs(1LL) do end",
    "return unpack({}, -2147483648, 2147483647)",
    "return table.concat({}, 'x', -2147483648, 2147483647)",
    "return ('x'):rep(1e7):byte(1, -1)",
    "return ('a'):find(('(a*)'):rep(33))",
    "return string.char(('x'):rep(7000):byte(1, -1), 256)",
    "local co = coroutine.wrap(function() ('abc'):gsub('.', coroutine.yield) end) co()",
    "local co = coroutine.wrap(function() table.sort({3, 2, 1}, coroutine.yield) end) co()",
    "local co = coroutine.wrap(function() end) co() co()",
    "local t = {} for i = 1, 9 do t[i] = i end table.sort(t, function(a, b) t[#t] = nil return a < b end)",
    "local t = {} t[0/0] = 1",
    "return select('#', table.unpack)()",
]

# Code that would run for ever, or fill the machine. Each breaks a limit.
ENDLESS = {
    "a loop": ("while true do end", {"cpu"}),
    "a loop in pcall": ("while true do pcall(function() while true do end end) end", {"cpu"}),
    "pcall in pcall": ("local function f() pcall(f) return f() end f()", {"cpu"}),
    "xpcall with a handler that loops": ("xpcall(error, function() while true do end end)", {"cpu"}),
    "a coroutine": ("coroutine.wrap(function() while true do end end)()", {"cpu"}),
    "coroutines without end": (
        "local c = {} while true do c[#c + 1] = coroutine.create(function() end) end",
        {"cpu", "memory"},
    ),
    "an iterator": ("for _ in function() return 1 end do end", {"cpu"}),
    "a pattern that backtracks": ("string.find(('a'):rep(5000) .. 'b', ('.-'):rep(30) .. 'c')", {"cpu"}),
    "a pattern of optional letters": ("string.match(('a'):rep(40), ('a?'):rep(40) .. ('a'):rep(40) .. 'b')", {"cpu"}),
    "gsub that feeds itself": ("local s = 'x' while true do s = s:gsub('x', 'xx') end", {"cpu", "memory"}),
    "a giant string": ("local s = ('x'):rep(1e9)", {"memory"}),
    "a giant string, kept by pcall": ("while true do pcall(string.rep, 'x', 1e9) end", {"cpu", "memory"}),
    "strings that double": ("local s = 'xxxxxxxx' while true do s = s .. s end", {"cpu", "memory"}),
    "many strings": ("local t = {} while true do t[#t + 1] = ('x'):rep(1e5) .. #t end", {"cpu", "memory"}),
    "many strings in pcall": (
        "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1e6) .. #t end) end",
        {"cpu", "memory"},
    ),
    "a table that grows": ("local t = {} while true do t[#t + 1] = {{}} end", {"cpu", "memory"}),
    "concat of much": (
        "local t = {} for i = 1, 1e5 do t[i] = 'x' end while true do table.concat(t) end",
        {"cpu", "memory"},
    ),
    "a sort without order": (
        "local t = {} for i = 1, 3e5 do t[i] = i end while true do pcall(table.sort, t, tostring) end",
        {"cpu"},
    ),
    "recursion": ("local function f(t) return 1 + f({t}) end while true do pcall(f, {}) end", {"cpu", "memory"}),
    "os.clock as a clock to wait for": ("local t = os.clock() while os.clock() < t + 1e9 do end", {"cpu"}),
    # Each of these is one call, or a few, that stay in C code.
    "an insert far below": ("table.insert({}, -2147483648, 1)", {"cpu"}),
    "nothing, often": ("while true do (''):rep(2147483647) end", {"cpu"}),
    "a long needle": ("local a = ('a'):rep(2e6) a:find(('a'):rep(1e6) .. 'b', 1, true)", {"cpu"}),
    "a lazy pattern": ("(('a'):rep(1e6)):gsub('.-b', '')", {"cpu"}),
    "brackets that nothing closes": ("(('('):rep(2e5)):gsub('%b()', '')", {"cpu"}),
    "captures": ("string.find(('a'):rep(1e4), ('(a*)'):rep(31) .. 'b')", {"cpu"}),
    "a long number": ("while true do tonumber(('z'):rep(1e5), 36) end", {"cpu"}),
    "the largest key": ("local t = {} for i = 1, 1e6 do t[i] = 1 end while true do table.maxn(t) end", {"cpu"}),
    "an emptied table": (
        "local t = {} for i = 1, 3e5 do t['' .. i] = i end for k in pairs(t) do t[k] = nil end while 1 do next(t) end",
        {"cpu", "memory"},
    ),
    "a format": ("local x = ('x'):rep(1e7) string.format('%s%s%s%s%s%s', x, x, x, x, x, x)", {"memory"}),
    "a date's format": ("while true do pcall(os.date, ('%c'):rep(1e5)) end", {"cpu", "memory"}),
    "C's numbers": ("local x = 1LL while true do x = x * x + 1 end", {"cpu", "memory"}),
    "coroutines in coroutines": (
        "local function f() return coroutine.wrap(function() return f() end)() end while true do pcall(f) end",
        {"cpu", "memory"},
    ),
    "an answer with many keys": ("local t = {} for i = 1, 2e5 do t[i + 0.5] = i end return t", {"cpu", "memory"}),
    "lines without end": ("while true do kong.log.inspect(('x'):rep(1e5)) end", {"cpu", "memory"}),
    "a date of a far year": ("while true do pcall(os.date, '%c', 1e18) end", {"cpu"}),
}


async def lam(pool: Pool, body: str, lane: str = "evil") -> Result:
    return await pool.run(call(f"return function(data, event, source, pid) {body} end", owner=lane), lane)


@pytest.mark.parametrize("expression", NOTHING)
async def test_a_lambda_finds_nothing(pool: Pool, expression: str) -> None:
    answer = await lam(pool, f"local ok, found = pcall(function() return {expression} end) return not (ok and found)")
    assert isinstance(answer, Called)
    assert (answer.end, answer.value) == ("done", b"true")


@pytest.mark.parametrize("expression", NOTHING)
async def test_a_template_finds_nothing(pool: Pool, expression: str) -> None:
    code = f"{{% ok, found = pcall(function() return {expression} end) %}}{{{{ ok and found and 'found' }}}}"
    result = await pool.run(render(code), "evil")
    assert isinstance(result, Rendered)
    assert result.texts[0] in ("", "false")


@pytest.mark.parametrize("body", REFUSED)
async def test_what_is_not_allowed_is_an_error(pool: Pool, body: str, still_serves: Serves) -> None:
    answer = await lam(pool, body)
    assert getattr(answer, "end", "") == "raised" or isinstance(answer, Failed), answer
    await still_serves()


async def test_bytecode_is_not_loaded(pool: Pool) -> None:
    for code in ("\x1bLJ\x02\x00", "\x1bLua\x51"):
        result = await pool.run(call(code), "evil")
        assert isinstance(result, Failed)
        assert result.reason == "template"
    assert await pool.run(render("\x1bLJ\x02 {{ 1 }}")) == Rendered(("\x1bLJ\x02 1",))


async def test_errors_and_upvalues_carry_nothing_out(pool: Pool) -> None:
    # What error handlers, coroutine.running and _G give is the sandbox's own.
    body = """
      local seen = {}
      xpcall(function() error({}) end, function(e) for k in pairs(e) do seen[#seen + 1] = k end end)
      local co = coroutine.running()
      local globals = {}
      for name in pairs(_G) do globals[name] = true end
      return {#seen, type(co), globals.debug or false, globals.load or false, globals._G or false}
    """
    answer = await lam(pool, body)
    assert isinstance(answer, Called)
    assert value_of(answer) == [0, "nil", False, False, True]


async def test_no_python_object_is_within_reach(pool: Pool) -> None:
    # Whatever a lambda is handed or can call: no userdata but ngx.null, nothing that is Python's.
    body = """
      local seen, odd = {}, {}
      local function walk(value, path)
        if type(value) == 'userdata' and value ~= ngx.null or type(value) == 'cdata' then
          odd[#odd + 1] = path
        elseif type(value) == 'table' and not seen[value] then
          seen[value] = true
          for key, inner in pairs(value) do walk(key, path) walk(inner, path .. '.' .. tostring(key)) end
        end
      end
      walk({data, event, source, pid, _G}, '')
      return odd
    """
    answer = await lam(pool, body)
    assert isinstance(answer, Called)
    assert value_of(answer) in ([], {})


async def test_string_methods_cannot_be_changed_for_others(pool: Pool, still_serves: Serves) -> None:
    answer = await lam(pool, "local s = '' s.x = 1")
    assert getattr(answer, "end", "") == "raised"
    await pool.run(render("{% string = {rep = 1} table = nil json = nil %}{{ 1 }}"), "evil")
    await pool.run(render("{% context.consumer = {username = 'Mallory'} %}"), "evil")
    await still_serves()


@pytest.mark.parametrize("name", sample(ENDLESS, 6))
async def test_a_lambda_breaks_a_limit_and_costs_itself_alone(pool: Pool, name: str, still_serves: Serves) -> None:
    body, reasons = ENDLESS[name]
    answer = await lam(pool, body)
    assert isinstance(answer, Failed), answer
    assert answer.reason in reasons | {"crash", "cpu"}
    assert not answer.temporary
    await still_serves()


@pytest.mark.parametrize("name", sample(["a loop", "a pattern that backtracks", "a giant string", "recursion"], 4))
async def test_a_template_breaks_a_limit_and_costs_itself_alone(pool: Pool, name: str, still_serves: Serves) -> None:
    body, reasons = ENDLESS[name]
    answer = await pool.run(render("{% " + body + " %}"), "evil")
    assert isinstance(answer, Failed), answer
    assert answer.reason in reasons | {"crash", "cpu"}
    await still_serves()


@pytest.mark.parametrize(
    "template",
    [
        "{% for i = 1, 1e6 do %}xxxxxxxxxx{% end %}",
        "{{ ('x'):rep(200000) }}",
        "{-a-}{{ ('x'):rep(1e5) }}{-a-}{*blocks.a*}{*blocks.a*}",
        "{% for i = 1, 1e6 do echo('xxxxxxxxxx') end %}",
        "{{ json({('x'):rep(200000)}) }}",
    ],
)
async def test_output_bombs(pool: Pool, template: str, still_serves: Serves) -> None:
    answer = await pool.run(render(template), "evil")
    assert isinstance(answer, Failed)
    assert answer.reason in ("output", "memory", "cpu")
    await still_serves()


async def test_template_recursion(pool: Pool, still_serves: Serves) -> None:
    for code in (
        "{% function f() return f end %}{{ f }}",
        "{% local function f() return 1 + f() end %}{{ f() }}",
        "{% context.context = context %}{{ context }}",
        "{-a-}{*blocks.a*}{-a-}{*blocks.a*}",
        "{{ include('{{ include(1) }}') }}",
    ):
        answer: Any = await pool.run(render(code), "evil")
        assert isinstance(answer, Failed | Rendered)
        if isinstance(answer, Rendered):
            assert len(answer.texts[0]) < 2_000
    await still_serves()


async def test_log_bombs_are_cut(pool: Pool, still_serves: Serves) -> None:
    answer = await lam(pool, "for i = 1, 5e3 do kong.log.err(('x'):rep(100)) end")
    assert isinstance(answer, Called)
    assert len(answer.lines) == 51
    assert sum(len(line.text) for line in answer.lines) < 11_000
    await still_serves()


async def test_checks_are_bounded_as_well(pool: Pool, still_serves: Serves) -> None:
    endless = await pool.run(Check("lambda", "while true do end"))
    assert isinstance(endless, Failed)
    assert endless.reason == "cpu"
    nested = await pool.run(Check("lambda", "return " + "(" * 10_000 + "1" + ")" * 10_000))
    assert isinstance(nested, Checked | Failed)
    tags = await pool.run(Check("resty", "{#" * 200_000))
    assert isinstance(tags, Checked | Failed)
    await still_serves()


LONG = "a" * 50_000


@pytest.mark.parametrize(
    "body",
    [
        "error(('x'):rep(1e6))",
        "error({('x'):rep(1e6)})",
        "return nil, ('x'):rep(1e6)",
        "return false, {('x'):rep(1e6)}",
        f"local function {LONG}() for _ = 1, 40 do kong.log.inspect(1) end end {LONG}()",
        f"local {LONG} return {LONG}.x",
    ],
)
async def test_what_a_lambda_says_is_cut(pool: Pool, body: str) -> None:
    answer = await lam(pool, body)
    assert isinstance(answer, Called)
    assert len(repr(answer)) < 20_000


async def test_what_is_said_of_code_that_fails_is_cut(pool: Pool) -> None:
    said = [
        await pool.run(render("{% error(('x'):rep(1e6)) %}"), "evil"),
        await pool.run(call("error(('x'):rep(1e6))"), "evil"),
        await pool.run(Check("lambda", "error(('x'):rep(1e6))")),
    ]
    assert all(isinstance(each, Failed | Checked) for each in said)
    assert all(len(repr(each)) < 5_000 for each in said)


async def test_a_hook_leaves_nothing_where_another_could_find_it(pool: Pool) -> None:
    leave = """
      left = 1 _G.left = 1
      for _, each in ipairs({string, table, math, os, coroutine, ngx, kong, kong.log}) do table.insert(each, 'left') end
      kong.log.inspect.left = 1 data.left = 1 data.consumer.left = 1
      local all = {left, string[1], kong.log[1], data.left}
      return #all
    """
    look = """
      local found = {left or false, _G.left or false, kong.log.inspect.left or false, data.left or false}
      for _, each in ipairs({string, table, math, os, coroutine, ngx, kong, kong.log}) do
        found[#found + 1] = #each > 0
      end
      found[#found + 1] = data.consumer.left or false
      for _, each in ipairs(found) do if each then return found end end
    """
    for _ in range(2):
        assert getattr(await lam(pool, leave, "evil"), "value", None) == b"4"
        assert await lam(pool, look, "honest") == Called("done", "", b"", ())
