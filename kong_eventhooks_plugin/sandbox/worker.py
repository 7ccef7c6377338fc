"""A sandbox process: ``python -m kong_eventhooks_plugin.sandbox.worker PARENT``, its socket on descriptor 0.

It reads a ``Setup``, loads the engines, isolates itself (``isolation``), sends ``READY`` and answers tasks in their
order. Each answer is sent before the next task begins, so that the parent knows which task a dead process died of.
After a task that ran out of memory the process exits: its state is undefined.
"""

import gc
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed, TaskFailed, not_compiled
from kong_eventhooks_plugin.sandbox.isolation import Alarms, die_with_parent, isolate
from kong_eventhooks_plugin.sandbox.tasks import (
    READY,
    Check,
    Checked,
    Decide,
    Engine,
    Explain,
    Failed,
    Judge,
    LambdaCall,
    Measure,
    Measured,
    Render,
    Result,
    Setup,
    Task,
    pack,
    unpack,
    unsendable,
)

_CHUNK = 1 << 18
_tasks = msgspec.msgpack.Decoder(Task)


class Languages:
    """The loaded engines."""

    def __init__(self, setup: Setup) -> None:
        self._checks: dict[str, Callable[[str], None]] = {}
        self._renders: dict[str, Callable[[Render], Result]] = {}
        self._call: Callable[[LambdaCall], Result] | None = None
        self._check_types: Callable[[str, dict[str, Any]], None] | None = None
        self._decide: Callable[[Decide], Result] | None = None
        self._explain: Callable[[Explain], Result] | None = None
        self._judge: Callable[[Judge], Result] | None = None
        self.collect_garbage: Callable[[], None] = lambda: None
        loaders: dict[Engine, Callable[[Setup], None]] = {
            "lua": self._load_lua,
            "jinja2": self._load_jinja,
            "cel": self._load_cel,
        }
        for engine in setup.engines:
            loaders[engine](setup)

    def answer(self, task: Task) -> Result:
        """Run one task; raises only what ends the process."""
        try:
            return self._do(task)
        except TaskFailed as error:
            return Failed(error.reason, str(error), error.logged)
        except CompilationFailed as error:
            return Failed("template", str(error), not_compiled(error))
        except MemoryError:
            return Failed("memory", "out of memory")
        except (OverflowError, ValueError, TypeError, RecursionError) as error:
            return unsendable(error)

    def _do(self, task: Task) -> Result:
        if isinstance(task, Render):
            return self._renders[task.dialect](task)
        if isinstance(task, Decide) and self._decide:
            return self._decide(task)
        if isinstance(task, Explain) and self._explain:
            return self._explain(task)
        if isinstance(task, Judge) and self._judge:
            return self._judge(task)
        if isinstance(task, Measure):
            return self._measure(task)
        if isinstance(task, LambdaCall) and self._call:
            return self._call(task)
        if isinstance(task, Check):
            return self._check(task)
        return Failed("unavailable", "this worker lacks the engine")

    def _measure(self, task: Measure) -> Measured:
        wall, cpu = time.monotonic(), time.process_time()
        result: Any = self.answer(task.task)
        return Measured(result, time.monotonic() - wall, time.process_time() - cpu)

    def _check(self, task: Check) -> Checked:
        try:
            self._checks[task.kind](task.text)
            if task.fields is not None and self._check_types is not None:
                self._check_types(task.text, task.fields)
        except CompilationFailed as error:
            return Checked(error.error)
        return Checked(None)

    # Imported here: an isolated process can import nothing, and what is not used needs no memory.

    def _load_lua(self, setup: Setup) -> None:
        from kong_eventhooks_plugin.sandbox.lua import Lambdas, Templates

        templates, lambdas = Templates(setup.limits), Lambdas(setup.lua, setup.limits)
        self._checks |= {"resty": templates.check, "lambda": lambdas.check}
        self._renders["resty"] = templates.render
        self._call = lambdas.call

        def collect() -> None:
            templates.collect_garbage()
            lambdas.collect_garbage()

        self.collect_garbage = collect

    def _load_jinja(self, setup: Setup) -> None:
        from kong_eventhooks_plugin.sandbox.jinja import JinjaTemplates

        templates = JinjaTemplates(setup.limits)
        self._checks["jinja2"] = templates.check
        self._renders["jinja2"] = templates.render

    def _load_cel(self, setup: Setup) -> None:
        try:
            from kong_eventhooks_plugin.sandbox.filters import Filters
            from kong_eventhooks_plugin.sandbox.success_rules import SuccessRules
        except ModuleNotFoundError:
            from kong_eventhooks_plugin.sandbox.missing_filters import (  # type: ignore[assignment]
                MissingFilters as Filters,
            )
            from kong_eventhooks_plugin.sandbox.missing_filters import (  # type: ignore[assignment]
                MissingSuccessRules as SuccessRules,
            )

        filters, rules = Filters(setup.limits), SuccessRules(setup.limits)
        self._checks |= {"filter": filters.check, "success": rules.check}
        self._decide, self._explain = filters.decide, filters.explain
        self._check_types = filters.check_types
        self._judge = rules.judge


class _Channel:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def receive(self) -> list[bytes]:
        """Return the next messages, none once the other side has closed."""
        while True:
            chunk = self._connection.recv(_CHUNK)
            if not chunk:
                return []
            self._buffer += chunk
            bodies = unpack(self._buffer)
            if bodies:
                return bodies

    def send(self, result: Result) -> None:
        self._connection.sendall(pack(result))


def serve(connection: socket.socket, parent: int) -> None:
    """Answer tasks until the other side closes."""
    channel = _Channel(connection)
    first = channel.receive()
    if not first:
        return
    setup = msgspec.msgpack.decode(first[0], type=Setup)
    try:
        die_with_parent(parent)
        languages = Languages(setup)
        gc.freeze()
        isolate(setup.limits, files_and_processes=setup.lua.untrusted_lua == "on")
    except (OSError, ImportError, ValueError) as error:
        channel.send(Failed("unavailable", f"{type(error).__name__}: {error}"))
        return
    channel.send(READY)
    alarms = Alarms(setup.limits)
    while bodies := channel.receive():
        for body in bodies:
            alarms.set()
            result = _answer(languages, body)
            alarms.clear()
            channel.send(result)
            if _is_out_of_memory(result):
                return


def _answer(languages: Languages, body: bytes) -> Result:
    try:
        task: Any = _tasks.decode(body)
    except (msgspec.DecodeError, MemoryError) as error:
        return Failed("data", f"the task cannot be read: {error}", "the task cannot be read")
    result = languages.answer(task)
    if not _is_out_of_memory(result):  # Lua panics without memory for the call itself
        languages.collect_garbage()
    return result


def _is_out_of_memory(result: Result) -> bool:
    result = result.result if isinstance(result, Measured) else result
    return isinstance(result, Failed) and result.reason == "memory"


def main() -> None:
    with socket.socket(fileno=0) as connection:
        serve(connection, int(sys.argv[1]))


if __name__ == "__main__":
    main()
