-- The trusted Lua of a sandbox process, run once for each Lua state before any user code.
--
-- There are two states, so that neither kind of code can use what the other needs: in the one for templates nil can be
-- indexed (a missing field is empty), in the one for lambdas it cannot, as in Kong. Strings go in and out as bytes; no
-- Python object ever comes in, and the bridge to Python is removed below.
--
-- Sandboxed code sees Kong's list: the basic functions without load, dofile, raw access, metatables and collectgarbage;
-- coroutine, math, string, table without what can harm; four functions of os. Each piece of code has tables of its own
-- for these, so that no code can change what another one calls.

local KIND, MODE, REQUIRES, ENVIRONMENT, PATH, MAX_LINES, MAX_LINE_BYTES, JSON_NULL = ...

local buffer = require "string.buffer"
-- For whole numbers of 64 bits. No code can reach it (strip), but number_text holds it: LuaJIT keeps tables of its own in
-- the library's, and a collected one is used after that (a crash).
local ffi = KIND == "templates" and require "ffi"
local assert, error, ipairs, next, pairs, pcall, rawset, select = assert, error, ipairs, next, pairs, pcall, rawset, select
local tonumber, tostring, type, load, setmetatable, getmetatable = tonumber, tostring, type, load, setmetatable, getmetatable
local setfenv = setfenv
local concat, sort = table.concat, table.sort
local byte, find, format, gmatch, gsub, match = string.byte, string.find, string.format, string.gmatch, string.gsub, string.match
local floor, huge, os_time = math.floor, math.huge, os.time
local char, sub = string.char, string.sub
local getinfo, set_base_metatable, get_real_metatable = debug.getinfo, debug.setmetatable, debug.getmetatable
local collect, require, package, jit = collectgarbage, require, package, jit
local _G = _G

-- User code is short: a compiler would gain little and adds to the surface that such code can attack.
jit.off()

local NULL = buffer.decode("\3") -- a light userdata, as ngx.null
local ARRAY = { __metatable = false } -- marks arrays
local MAX_NAME = 60 -- of a function's name in a line: it may be as long as the code
local WHOLE = 2 ^ 63 -- whole numbers under this are written with all their digits
local MAX_DEPTH = 90


--------------------------------------------------------------------------------------------------- JSON

local QUOTED = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quoted(text)
  return (gsub(text, '[%c\\"\127]', function(char)
    return QUOTED[char] or format("\\u%04x", byte(char))
  end))
end

-- A whole number beyond 2^53 is a cdata, in the state for templates alone.
local function number_text(number)
  if ffi and type(number) == "cdata" then
    return (gsub(tostring(number), "U?LL$", ""))
  elseif number == floor(number) and number < WHOLE and number > -WHOLE then
    return format("%.0f", number)
  end
  return tostring(number)
end

local nulls = setmetatable({}, { __mode = "k" }) -- object -> names of its fields that came as null

local function keys_of(object)
  local keys, n = {}, 0
  for key in next, object do
    if type(key) == "string" or type(key) == "number" then
      n = n + 1
      keys[n] = key
    end
  end
  for _, key in ipairs(nulls[object] or {}) do
    if object[key] == nil then
      n = n + 1
      keys[n] = key
    end
  end
  sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function is_array(object)
  if getmetatable(object) == false then -- the mark's __metatable
    return true
  end
  local n = #object
  if n == 0 then
    return false
  end
  local count = 0
  for _ in next, object do
    count = count + 1
  end
  return count == n
end

local to_json

local function json_object(value, seen, depth)
  local parts = {}
  if is_array(value) then
    for i = 1, #value do
      parts[i] = to_json(value[i], seen, depth)
    end
    return "[" .. concat(parts, ",") .. "]"
  end
  for i, key in ipairs(keys_of(value)) do
    parts[i] = '"' .. quoted(tostring(key)) .. '":' .. to_json(value[key], seen, depth)
  end
  return "{" .. concat(parts, ",") .. "}"
end

-- What JSON does not have becomes its type's name in angle brackets.
function to_json(value, seen, depth)
  local kind = type(value)
  if kind == "string" then
    return '"' .. quoted(value) .. '"'
  elseif kind == "number" then
    if value ~= value or value == huge or value == -huge then
      return "null"
    end
    return value == floor(value) and value < WHOLE and value > -WHOLE and number_text(value) or format("%.17g", value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind == "cdata" then
    return number_text(value)
  elseif value == nil or value == NULL then
    return "null"
  elseif kind ~= "table" then
    return '"<' .. kind .. '>"'
  end
  seen, depth = seen or {}, depth or MAX_DEPTH
  if seen[value] or depth == 0 then
    return seen[value] and '"<cycle>"' or '"<too deep>"'
  end
  seen[value] = true
  local text = json_object(value, seen, depth - 1)
  seen[value] = nil
  return text
end

local function json(value)
  return to_json(value)
end

local ESCAPED = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local WORDS = { { "true", true }, { "false", false }, { "null", NULL } }

local function utf8_of(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + floor(code / 64), 0x80 + code % 64)
  elseif code < 0x10000 then
    return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end

-- Reads JSON as cjson does: null is ngx.null. Raises an error that names the place of what is no JSON.
local function from_json(text)
  local at, depth = 1, 0

  local function fail(what)
    error(what .. " at character " .. at, 0)
  end

  local function skip()
    at = find(text, "[^ \t\r\n]", at) or #text + 1
  end

  local function read_escape()
    local kind = sub(text, at + 1, at + 1)
    if kind ~= "u" then
      local value = ESCAPED[kind] or fail("invalid escape")
      at = at + 2
      return value
    end
    local code = tonumber(match(text, "^%x%x%x%x", at + 2) or fail("invalid escape"), 16)
    at = at + 6
    if code >= 0xD800 and code < 0xDC00 then
      local low = tonumber(match(text, "^\\u([dD][c-fC-F]%x%x)", at) or fail("invalid escape"), 16)
      at = at + 6
      code = 0x10000 + (code - 0xD800) * 1024 + low - 0xDC00
    end
    return utf8_of(code)
  end

  local function read_string()
    local parts = {}
    at = at + 1
    while true do
      local stop = find(text, '[%z\1-\31"\\]', at) or fail("unterminated string")
      parts[#parts + 1] = sub(text, at, stop - 1)
      at = stop
      local mark = sub(text, at, at)
      if mark == '"' then
        at = at + 1
        return concat(parts)
      end
      parts[#parts + 1] = mark == "\\" and read_escape() or fail("control character in a string")
    end
  end

  local function read_members(close, read_member)
    at = at + 1
    skip()
    if sub(text, at, at) == close then
      at = at + 1
      return
    end
    while true do
      read_member()
      skip()
      local mark = sub(text, at, at)
      if mark ~= close and mark ~= "," then
        fail("expected , or " .. close)
      end
      at = at + 1
      if mark == close then
        return
      end
      skip()
    end
  end

  local read

  local function read_array()
    local array = setmetatable({}, ARRAY)
    read_members("]", function() array[#array + 1] = read() end)
    return array
  end

  local function read_object()
    local object = {}
    read_members("}", function()
      local key = sub(text, at, at) == '"' and read_string() or fail("expected a name")
      skip()
      at = sub(text, at, at) == ":" and at + 1 or fail("expected :")
      object[key] = read()
    end)
    return object
  end

  function read()
    skip()
    local mark = sub(text, at, at)
    if mark == '"' then
      return read_string()
    elseif mark == "{" or mark == "[" then
      depth = depth < MAX_DEPTH and depth + 1 or fail("nested too deep")
      local value = mark == "{" and read_object() or read_array()
      depth = depth - 1
      return value
    end
    for _, word in ipairs(WORDS) do
      if sub(text, at, at + #word[1] - 1) == word[1] then
        at = at + #word[1]
        return word[2]
      end
    end
    local digits = match(text, "^-?%d+%.?%d*[eE]?[+-]?%d*", at)
    local number = digits and tonumber(digits) or fail("expected a value")
    at = at + #digits
    return number
  end

  local value = read()
  skip()
  if at <= #text then
    fail("expected the end")
  end
  return value
end

local decoder = buffer.new({ metatable = { ARRAY } })

local function decode(bytes)
  return decoder:reset():put(bytes):decode()
end

local function remember_nulls(value)
  if type(value) ~= "table" then
    return
  end
  local names
  for key, field in next, value do
    if field == NULL and type(key) == "string" then
      names = names or {}
      names[#names + 1] = key
    else
      remember_nulls(field)
    end
  end
  if names then
    for _, name in ipairs(names) do
      value[name] = nil
    end
    nulls[value] = names
  end
end


--------------------------------------------------------------------------------------------------- what user code sees

local BASE, LIBRARIES = {}, { coroutine = {}, math = {}, os = {}, string = {}, table = {} }
local NGX = { null = NULL }

for id in gmatch([[
  _VERSION assert error ipairs next pairs pcall select tonumber tostring type unpack xpcall

  coroutine.create coroutine.resume coroutine.running coroutine.status coroutine.wrap coroutine.yield

  math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos math.cosh math.deg math.exp math.floor math.fmod
  math.frexp math.huge math.ldexp math.log math.log10 math.max math.min math.modf math.pi math.pow math.rad
  math.random math.sin math.sinh math.sqrt math.tan math.tanh

  os.clock os.date os.difftime os.time

  string.byte string.char string.find string.format string.gmatch string.gsub string.len string.lower string.match
  string.rep string.reverse string.sub string.upper

  table.concat table.insert table.maxn table.remove table.sort
]], "%S+") do
  local library, name = match(id, "^(%w+)%.(%w+)$")
  if library then
    LIBRARIES[library][name] = _G[library][name]
  else
    BASE[id] = _G[id]
  end
end

local function read_only(name, values)
  return setmetatable({}, {
    __index = values,
    __newindex = function(_, key)
      error("the sandbox protects " .. name .. "." .. tostring(key), 2)
    end,
    __metatable = false,
  })
end

local function node()
  return { fields = {}, tables = {} }
end

-- Adds to the node ``to`` what a global's dotted name stands for: a value, a whole table, or a part of one.
local function link(path, from, to)
  local head, rest = match(path, "^([^%.]+)%.?(.*)$")
  local value = head and from[head]
  if type(value) == "table" then
    local inner = to.tables[head] or node()
    to.tables[head] = inner
    if rest == "" then
      inner.whole = value
    else
      link(rest, value, inner)
    end
  elseif value ~= nil and rest == "" then
    to.fields[head] = value
  end
end

-- A node as a read-only table, new for each piece of code, on top of ``own``, the sandbox's own table of that name.
local function view(name, linked_node, own)
  local whole = linked_node.whole or own
  local values = setmetatable({}, { __index = whole })
  for key, value in next, linked_node.fields do
    values[key] = value
  end
  for key, inner in next, linked_node.tables do
    values[key] = view(key, inner, whole and whole[key])
  end
  return read_only(name, values)
end

local modules, linked = {}, node()
local allowed_modules -- in the modes strict and lax

local function open_wider()
  if PATH ~= "" then
    package.path = PATH
  end
  for name in gmatch(REQUIRES, "[^,]+") do
    local ok, module = pcall(require, name)
    modules[name] = ok and { module } or { nil, "module '" .. name .. "' was not found when the sandbox started" }
  end
  for path in gmatch(ENVIRONMENT, "[^,]+") do
    link(path, _G, linked)
  end
end

local function sandbox_require(name)
  if allowed_modules then
    local module = allowed_modules[name]
    if not module then
      error("module '" .. tostring(name) .. "' is not available (untrusted_lua = " .. MODE .. ")", 2)
    end
    return type(module) == "table" and read_only(name, module) or module
  end
  local module = modules[name]
  if not module then
    error("require '" .. tostring(name) .. "' is not allowed in the sandbox (untrusted_lua_sandbox_requires)", 2)
  elseif module[2] then
    error(module[2], 2)
  end
  return module[1]
end

local function base_values()
  local values = {}
  for name, value in next, BASE do
    values[name] = value
  end
  for name, functions in next, LIBRARIES do
    values[name] = read_only(name, functions)
  end
  values.ngx = read_only("ngx", NGX)
  return values
end

local function text_of_error(err)
  local kind = type(err)
  if kind == "string" then
    return err
  end
  return (kind == "table" or kind == "boolean" or kind == "nil") and to_json(err) or tostring(err)
end


--------------------------------------------------------------------------------------------------- templates

local templates = {}

local HTML = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;", ["/"] = "&#47;" }
local CODE = setmetatable({ ["{"] = "&#123;", ["}"] = "&#125;" }, { __index = HTML })

local function output(value)
  local kind = type(value)
  if kind == "string" then
    return value
  elseif value == nil or value == NULL then
    return ""
  elseif kind == "number" or kind == "cdata" then
    return number_text(value)
  elseif kind == "function" then
    return output(value())
  elseif kind == "table" then
    return to_json(value)
  end
  return tostring(value)
end

-- The library's own function: called by name in a template, it writes entities wherever the text ends up.
local function escape_html(value, code)
  if type(value) ~= "string" then
    return output(value)
  end
  return (gsub(value, code and "[}{\">/<'&]" or "[\">/<'&]", code and CODE or HTML))
end

local function percent_encoded(value)
  return (gsub(output(value), "[^%w%-._~]", function(char)
    return format("%%%02X", byte(char))
  end))
end

-- Writes a mark for null, which is a value or nothing by its place in the JSON document (json_nulls.py).
local function or_null(write)
  return function(value)
    if type(value) == "function" then
      value = value()
    end
    if value == nil or value == NULL then
      return JSON_NULL
    end
    return write(value)
  end
end

local OUTPUTS = { json = or_null(output) }

local ESCAPES = {
  plain = output,
  -- A table becomes a JSON value; a string is part of one, between the template's quotes.
  json = or_null(function(value)
    local text = output(value)
    return type(value) == "table" and text or quoted(text)
  end),
  html = function(value)
    return escape_html(output(value))
  end,
  form = percent_encoded,
  url = percent_encoded,
}

local function echo_into(out)
  return function(...)
    for i = 1, select("#", ...) do
      out[#out + 1] = tostring((select(i, ...)))
    end
  end
end

local context = {}

local function template_environment()
  local values = base_values()
  values.json, values.escape, values.output = json, escape_html, output
  values.template = read_only("template", { escape = escape_html, output = output })
  -- A field that is missing has no elements.
  values.ipairs = function(list) return ipairs(list == nil and {} or list) end
  values.pairs = function(object) return pairs(object == nil and {} or object) end
  values.type = function(value) return type(value) == "cdata" and "number" or type(value) end
  values.tostring = function(value) return type(value) == "cdata" and number_text(value) or tostring(value) end
  local env = setmetatable({}, {
    __index = function(_, name)
      local value = context[name]
      if value ~= nil then
        return value
      end
      return values[name]
    end,
    __metatable = false,
  })
  local writable = { env } -- table.insert writes into what is read-only, too
  for _, value in next, values do
    if type(value) == "table" then
      writable[#writable + 1] = value
    end
  end
  return env, writable
end

local function template_load(id, source)
  local env, writable = template_environment()
  local template, err = load(source, "=template", "t", env)
  if not template then
    return err
  end
  templates[id] = { template, writable }
end

local function template_drop(id)
  templates[id] = nil
end

local function template_context(bytes)
  context = decode(bytes)
end

local function template_render(id, place)
  local template, writable = templates[id][1], templates[id][2]
  local out = {}
  local ok, err = pcall(template, context, out, ESCAPES[place], OUTPUTS[place] or output, {}, echo_into, concat)
  for i = 1, #writable do -- its globals end with it
    for name in next, writable[i] do
      rawset(writable[i], name, nil)
    end
  end
  if not ok then
    return false, text_of_error(err)
  end
  return pcall(concat, out) -- the template's code can put into it what is no text
end

local function empty_nil()
  local function part(value)
    return value == nil and "" or output(value)
  end
  local function nothing()
    return nil
  end
  set_base_metatable(nil, {
    __index = nothing,
    __concat = function(a, b) return part(a) .. part(b) end,
    __metatable = false,
  })
  -- A field of a value without fields is missing as well.
  local exact = get_real_metatable(decode("\16\0\0\0\0\0\0\0\0"))
  exact.__index = nothing
  exact.__concat = function(a, b) return part(a) .. part(b) end
  set_base_metatable(0, { __index = nothing, __metatable = false })
  set_base_metatable(true, { __index = nothing, __metatable = false })
end


--------------------------------------------------------------------------------------------------- lambdas

local lambdas = {}
local lines, line_bytes, more_lines

local function where(level, with_name)
  local info = getinfo(level, with_name and "Sln" or "Sl")
  if not info then
    return "?"
  end
  local name = with_name and ":" .. (info.name or "?"):sub(1, MAX_NAME) or ""
  return info.short_src .. name .. ":" .. info.currentline
end

local function add_line(level, at, text, values)
  if #lines >= MAX_LINES or line_bytes > MAX_LINE_BYTES then
    more_lines = more_lines + 1
    return
  end
  local room = MAX_LINE_BYTES - line_bytes
  line_bytes = line_bytes + #text
  if values and #text > room then
    text, values = "(a value too long to show)", nil
  end
  lines[#lines + 1] = { level, at, #text > room and text:sub(1, room) or text, values }
end

local function joined(...)
  local parts = {}
  for i = 1, select("#", ...) do
    parts[i] = tostring((select(i, ...)))
  end
  return concat(parts)
end

local function kong_table()
  local log = {}
  for level in gmatch("alert crit err warn notice info debug", "%S+") do
    log[level] = function(...)
      add_line(level, where(3), joined(...))
    end
  end
  local inspect = setmetatable({ on = function() end, off = function() end }, {
    __call = function(_, ...)
      local values = {}
      for i = 1, select("#", ...) do
        values[i] = to_json((select(i, ...)))
      end
      add_line("notice", where(3, true), "[" .. concat(values, ",") .. "]", true)
    end,
    __metatable = false,
  })
  log.inspect = inspect
  return read_only("kong", {
    log = setmetatable({}, {
      __index = log,
      __newindex = function(_, key) error("the sandbox protects kong.log." .. tostring(key), 2) end,
      __call = function(_, ...) add_line("notice", where(3), joined(...)) end,
      __metatable = false,
    }),
  })
end

-- The modes strict and lax of Kong Gateway 3.14: what this Lua has of their published list, and the modules that need
-- neither a file nor a socket. Lax adds modules for the network, which a sandbox process cannot reach, so here they are
-- the same. The two settings for the mode sandbox do not count.
local function open_strict()
  for id in gmatch([[
    bit.arshift bit.band bit.bnot bit.bor bit.bswap bit.bxor bit.lshift bit.rol bit.ror bit.rshift bit.tobit bit.tohex
    io.type jit.arch jit.os jit.version jit.version_num table.foreach table.foreachi table.getn table.move
  ]], "%S+") do
    local library, name = match(id, "^(%w+)%.([%w_]+)$")
    LIBRARIES[library] = LIBRARIES[library] or {}
    LIBRARIES[library][name] = _G[library][name]
  end
  local list = LIBRARIES.table
  list.clear, list.new, list.unpack = require "table.clear", require "table.new", unpack
  list.pack = function(...) return { n = select("#", ...), ... } end
  list.isempty = function(object) return next(object) == nil end
  list.isarray = function(object) return next(object) == nil or is_array(object) end
  list.nkeys = function(object)
    local count = 0
    for _ in next, object do
      count = count + 1
    end
    return count
  end
  list.clone = function(object)
    local copy = {}
    for key, value in next, object do
      copy[key] = value
    end
    return copy
  end
  allowed_modules = { bit = LIBRARIES.bit, cjson = { encode = json, decode = from_json, null = NULL }, ["cjson.safe"] = {
    encode = json, decode = function(text)
      local ok, value = pcall(from_json, text)
      if ok then
        return value
      end
      return nil, value
    end, null = NULL,
  } }
  for name in gmatch("clear clone isarray isempty new nkeys", "%w+") do
    allowed_modules["table." .. name] = list[name]
  end

  BASE.print = function(...)
    add_line("notice", where(3), joined(...))
  end
  local levels = { [0] = "alert", "alert", "alert", "crit", "err", "warn", "notice", "info", "debug" }
  NGX.STDERR, NGX.EMERG, NGX.ALERT, NGX.CRIT, NGX.ERR, NGX.WARN, NGX.NOTICE, NGX.INFO, NGX.DEBUG = 0, 1, 2, 3, 4, 5, 6, 7, 8
  NGX.log = function(level, ...)
    add_line(levels[level] or error("bad log level", 2), where(3), joined(...))
  end
  NGX.time, NGX.now = os_time, os_time
end

local function lambda_environment()
  if MODE == "on" then
    return setmetatable({ kong = kong_table(), ngx = { null = NULL } }, { __index = _G })
  end
  local env = base_values()
  env.kong = kong_table()
  env.require = sandbox_require
  for name, value in next, linked.fields do
    env[name] = value
  end
  for name, inner in next, linked.tables do
    env[name] = view(name, inner, env[name])
  end
  env._G = env
  return env
end

-- The chunk's name is its text, so that messages say [string "return function (data, ..."]:3: as Kong's do.
local function lambda_function(code)
  local chunk, err = load(code, code, "t", lambda_environment())
  if not chunk then
    return nil, err
  end
  local ok, answer = pcall(chunk)
  if not ok then
    return nil, text_of_error(answer)
  elseif type(answer) ~= "function" then
    return nil, "it must return a function, and returns " .. (answer == nil and "nothing" or "a " .. type(answer))
  end
  return answer
end

local function begin_lines()
  lines, line_bytes, more_lines = {}, 0, 0
end

local function lambda_load(id, ...)
  begin_lines()
  local functions = {}
  for i = 1, select("#", ...) do
    local answer, err = lambda_function((select(i, ...)))
    if not answer then
      return err
    end
    functions[i] = answer
  end
  lambdas[id] = functions
end

local function lambda_drop(id)
  lambdas[id] = nil
end

local function json_lines()
  local parts = {}
  for i, line in ipairs(lines) do
    local text = line[4] and '"",' .. line[3] or '"' .. quoted(line[3]) .. '",null'
    parts[i] = '["' .. line[1] .. '","' .. quoted(line[2]) .. '",' .. text .. "]"
  end
  return "[" .. concat(parts, ",") .. "]", more_lines
end

local function answers(ok, ...)
  return ok, select("#", ...), ...
end

-- Returns how the chain ended, a text, the last answer as JSON, the lines as JSON and how many more there were.
local function lambda_call(id, bytes, event, source, pid)
  begin_lines()
  local data = decode(bytes)
  remember_nulls(data)
  local last
  for _, step in ipairs(lambdas[id]) do
    local ok, _, answer, err = answers(pcall(step, data, event, source, pid))
    if not ok then
      return "raised", text_of_error(answer), "null", json_lines()
    elseif answer == false or (answer == nil and err ~= nil) then
      return "refused", err ~= nil and text_of_error(err) or "a function answered false", "null", json_lines()
    end
    last = answer
    if answer ~= nil then
      data = answer
    end
  end
  return "done", "", to_json(last), json_lines()
end


--------------------------------------------------------------------------------------------------- isolation

local function used()
  return collect("count")
end

-- Removes from the state all that the sandbox does not show, in case code breaks out of its environment.
local function strip()
  local strings = {}
  for name, value in next, LIBRARIES.string do
    strings[name] = value
  end
  getmetatable("").__index = strings -- ("x"):rep(2) finds the sandbox's string library
  getmetatable("").__metatable = false
  for name in next, package.loaded do
    package.loaded[name] = nil
  end
  for name in next, package.preload do
    package.preload[name] = nil
  end
  for name in next, _G do
    rawset(_G, name, nil)
  end
end

_G.python = nil
package.loaded.python = nil

if KIND == "templates" then
  empty_nil()
  strip()
  return template_load, template_drop, template_context, template_render, used, collect
end

if MODE == "strict" or MODE == "lax" then
  open_strict()
  strip()
elseif MODE == "sandbox" then
  open_wider()
  if REQUIRES == "" and ENVIRONMENT == "" then
    strip()
  end
end
return lambda_load, lambda_drop, lambda_call, used, collect
