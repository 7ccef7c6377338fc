"""The sandbox's tasks and their results, and how both cross the socket. Pure.

A message is a little-endian uint32 length and that many bytes of MessagePack; one that is over
``SandboxLimits.task_bytes`` is not sent. A worker answers its tasks in their order, so an answer needs no number.
"""

import struct
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kong_eventhooks_plugin.settings import DEFAULTS

Dialect = Literal["resty", "jinja2"]

EscapeContext = Literal["plain", "json", "html", "form", "url"]
"""Where a template's text ends up, and so what ``{{ }}`` escapes: nothing (it is encoded afterwards, or there is
nothing to escape), a JSON document, HTML or XML, a form's body, a URL."""

Engine = Literal["lua", "jinja2", "cel"]
"""What a worker loads before it isolates itself; it cannot import anything later."""

Reason = Literal[
    "template", "wall", "cpu", "memory", "output", "syscall", "crash", "data", "busy", "closed", "unavailable"
]
"""Why a task failed: its code; a limit; a forbidden system call; the process ended; the event cannot be encoded; too
many tasks wait; the pool is closed; no worker can be started."""

TEMPORARY: frozenset[str] = frozenset({"wall", "busy", "closed", "unavailable"})
"""Reasons to try again. Wall time is one: a busy machine breaks that limit, too."""

MAX_SOURCE = 1 << 20
"""Characters of one template or lambda function; a longer one is refused."""

MAX_TEXT = 4_096
"""Characters of an error's text, past which it is cut; user code raises such texts too."""


MAX_TEMPLATES = 10_000
MAX_LINES = 1_000
MAX_VERDICTS = 100_000
MAX_PARTS = 200
LONGEST = 128 << 10
"""Characters of a line or an error. An answer past one of these is not read: what sends it is no longer our code. A
hook has fewer templates, an event fewer hooks, and ``SandboxLimits`` bounds a task's lines."""

Text = Annotated[str, Meta(max_length=LONGEST)]


class SandboxLimits(msgspec.Struct, frozen=True):
    """Limits of a task and of the pool.

    Past ``wall_seconds``, ``cpu_seconds`` or ``memory_bytes`` (beyond what an idle worker uses) the worker is killed
    and replaced and the task fails. Past ``output_bytes`` of rendered text the task fails. A lambda's log is cut after
    ``lines`` lines or ``line_bytes`` bytes. Past ``waiting`` tasks a new one fails with ``busy``, past ``task_bytes``
    with ``data``. Up to ``workers`` processes run, each sent at most ``batch`` tasks at a time; one is replaced after
    ``worker_tasks`` tasks; all end after ``idle_seconds`` without one. Each caches ``compiled`` templates, lambdas and
    filters.
    """

    wall_seconds: float = DEFAULTS.sandbox_wall_seconds
    cpu_seconds: float = DEFAULTS.sandbox_cpu_seconds
    memory_bytes: int = DEFAULTS.sandbox_memory_bytes
    output_bytes: int = DEFAULTS.sandbox_output_bytes
    lines: int = 100
    line_bytes: int = 64 << 10
    waiting: int = 1_000
    task_bytes: int = 8 << 20
    workers: int = DEFAULTS.sandbox_workers
    batch: int = 16
    worker_tasks: int = 100_000
    idle_seconds: float = 60.0
    compiled: int = 256


class LuaRules(msgspec.Struct, frozen=True):
    """Kong's ``untrusted_lua`` settings, for lambdas. Templates are always in the sandbox.

    ``requires`` are the modules that ``require`` finds, along ``path`` (Lua's ``package.path``) when a worker starts;
    ``environment`` the globals, dotted ones too, that the sandbox adds. Both apply to ``sandbox`` only. ``strict`` and
    ``lax`` are the allowlists of Kong 3.14, as far as they need neither a file nor a socket. ``on`` opens everything
    that this Lua has, files and processes too; the limits on time, memory and output stay.
    """

    untrusted_lua: Literal["off", "sandbox", "strict", "lax", "on"] = DEFAULTS.untrusted_lua
    requires: tuple[str, ...] = DEFAULTS.untrusted_lua_sandbox_requires
    environment: tuple[str, ...] = DEFAULTS.untrusted_lua_sandbox_environment
    path: str = ""


class Template(msgspec.Struct, frozen=True, array_like=True):
    """``name`` is for errors: ``config.payload.text``."""

    name: str
    text: str
    place: EscapeContext = "plain"


class Render(msgspec.Struct, frozen=True, tag="render", array_like=True):
    """Render ``templates`` over the fields of ``data`` with ``event`` and ``source`` beside them -> ``Rendered``."""

    templates: tuple[Template, ...]
    data: dict[str, Any]
    event: str
    source: str
    dialect: Dialect = "resty"


class LambdaCall(msgspec.Struct, frozen=True, tag="call", array_like=True):
    """Call a lambda's functions, chained -> ``Called``. ``owner`` (a hook's id) has its own globals and upvalues."""

    owner: str
    functions: tuple[str, ...]
    data: dict[str, Any]
    event: str
    source: str
    pid: int


class Decide(msgspec.Struct, frozen=True, tag="decide", array_like=True):
    """Evaluate filters over one event -> ``Decided``."""

    expressions: tuple[str, ...]
    data: dict[str, Any]
    event: str
    source: str


class Explain(msgspec.Struct, frozen=True, tag="explain", array_like=True):
    """Evaluate one filter over an event, and each part of it -> ``Explained``."""

    expression: str
    data: dict[str, Any]
    event: str
    source: str


class Judge(msgspec.Struct, frozen=True, tag="judge", array_like=True):
    """Evaluate a success rule over an endpoint's answer -> ``Decided``, with one verdict."""

    expression: str
    status: int
    headers: dict[str, str]
    body: str


class Check(msgspec.Struct, frozen=True, tag="check", array_like=True):
    """Compile a template, a lambda's function, a filter or a success rule -> ``Checked``.

    ``fields`` are the types of the fields that a filter may read (``filter_types``); None: nothing is known of them.
    """

    kind: Literal["resty", "jinja2", "lambda", "filter", "success"]
    text: str
    fields: dict[str, Any] | None = None


class Measure(msgspec.Struct, frozen=True, tag="measure", array_like=True):
    """Run a task and measure it -> ``Measured``."""

    task: Render | LambdaCall | Explain


Task = Render | LambdaCall | Decide | Explain | Judge | Check | Measure


class Rendered(msgspec.Struct, frozen=True, tag="rendered", array_like=True):
    texts: Annotated[tuple[str, ...], Meta(max_length=MAX_TEMPLATES)]


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A line that a lambda wrote. ``where`` is chunk name and line; ``inspected`` what ``kong.log.inspect`` shows."""

    level: Text
    where: Text
    text: Text
    inspected: Text | None = None


class Called(msgspec.Struct, frozen=True, tag="called", array_like=True):
    """How a chain ended.

    ``done``: ``value`` is the last function's answer as JSON (empty where it returned nothing). ``refused``: a
    function answered ``false`` or ``nil, err``; ``text`` is the error. ``raised``: ``text`` is the error with chunk
    name and line; it becomes a line of the log, of at most ``line_bytes``.
    """

    end: Literal["done", "refused", "raised"]
    text: Text
    value: bytes
    lines: Annotated[tuple[Line, ...], Meta(max_length=MAX_LINES)]


class Decided(msgspec.Struct, frozen=True, tag="decided", array_like=True):
    """A verdict for each expression: whether it is true, or its error."""

    verdicts: Annotated[tuple[bool | Text, ...], Meta(max_length=MAX_VERDICTS)]


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One part of a filter: ``depth`` levels below the whole, with its value as JSON, or why it has none."""

    depth: int
    text: Text
    value: Text | None
    error: Text | None = None


class Explained(msgspec.Struct, frozen=True, tag="explained", array_like=True):
    """``verdict`` is as in ``Decided``; ``parts`` are in the order of the text, the whole filter first."""

    verdict: bool | Text
    parts: Annotated[tuple[Part, ...], Meta(max_length=MAX_PARTS)]


class CompileError(msgspec.Struct, frozen=True, array_like=True):
    """``line`` and ``column`` count from 1."""

    line: int
    column: int
    text: Text

    @property
    def place(self) -> str:
        return f"line {self.line}, column {self.column}"

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class Checked(msgspec.Struct, frozen=True, tag="checked", array_like=True):
    error: CompileError | None


class Failed(msgspec.Struct, frozen=True, tag="failed", array_like=True):
    """``logged`` is what a log may say in the place of a ``text`` that quotes the event or the code."""

    reason: Reason
    text: Text
    logged: str | None = None

    @property
    def temporary(self) -> bool:
        return self.reason in TEMPORARY


class Measured(msgspec.Struct, frozen=True, tag="measured", array_like=True):
    """A task's result, and the seconds that it took."""

    result: Rendered | Called | Explained | Failed
    wall_seconds: float
    cpu_seconds: float


Result = Rendered | Called | Decided | Explained | Checked | Measured | Failed


class Setup(msgspec.Struct, frozen=True):
    """The first message to a worker, which answers ``READY`` when it is isolated."""

    engines: tuple[Engine, ...]
    limits: SandboxLimits
    lua: LuaRules


READY = Failed("closed", "ready")
"""A worker's first message; any other ``Failed`` has the reason why it cannot work."""

_LENGTH = struct.Struct("<I")
HEADER = _LENGTH.size

_encoder = msgspec.msgpack.Encoder()


def pack(message: Task | Result | Setup) -> bytes:
    """Return the message's bytes, length first; raises what msgspec does for data that MessagePack cannot represent."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def unpack(buffer: bytearray) -> list[bytes]:
    """Remove the bodies of all whole messages from ``buffer``."""
    bodies, at = [], 0
    while len(buffer) - at >= HEADER:
        end = at + HEADER + _LENGTH.unpack_from(buffer, at)[0]
        if end > len(buffer):
            break
        bodies.append(bytes(buffer[at + HEADER : end]))
        at = end
    del buffer[:at]
    return bodies


def unsendable(error: Exception) -> Failed:
    """Return the failure of a task whose data the sandbox cannot have."""
    text = "the event cannot be handed to the sandbox"
    return Failed("data", f"{text}: {error}", f"{text} ({type(error).__name__})")


def engine_of(task: Task) -> Engine:
    if isinstance(task, Measure):
        return engine_of(task.task)
    if isinstance(task, Decide | Explain | Judge):
        return "cel"
    dialect = task.dialect if isinstance(task, Render) else task.kind if isinstance(task, Check) else "lambda"
    return {"jinja2": "jinja2", "filter": "cel", "success": "cel"}.get(dialect, "lua")  # type: ignore[return-value]  # the values are engines


def is_plain(text: str, dialect: Dialect) -> bool:
    """Return whether a template has no tag at all, so that it is its own result."""
    tags = ("{{", "{*", "{%", "{#", "{-", "{(", "{[") if dialect == "resty" else ("{{", "{%", "{#")
    return not any(tag in text for tag in tags)
