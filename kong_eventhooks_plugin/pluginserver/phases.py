"""What our plugins do in Kong's phases, written once for both protocols.

A phase is a function: it returns None where it has nothing to ask and saw nothing, which is most calls where traffic
is heaviest, or else a generator. That yields the questions that it has for Kong (``pdk.Ask``), is sent each answer as a
Python value (None for Kong's nil), and returns what it saw, or None. Whoever drives it speaks ProtoBuf:1 or MsgPack:1
and hands what is returned to ``House.observe``. An answer that cannot be is ``BadMessage``.

- ``event-hooks`` / ``log``: asks nothing where no hook can hear anything; else for the status, and for the request's
  log only where some hook can care for that status (decision 6).
- ``event-hooks-crud``: answers only.
- Lines that wait for Kong's error log go out in the ``log`` phase of either (decision 15), after everything else.

Limits: at most ``LINES_PER_CALL`` lines in one call; the rest waits for the next.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.model.lines import LogLine
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.pluginserver.contract import House
from kong_eventhooks_plugin.pluginserver.pdk import Ask, ask

LINES_PER_CALL = 16

EVENT_HOOKS = "event-hooks"
EVENT_HOOKS_CRUD = "event-hooks-crud"

Clock = Callable[[], float]
Steps = Generator[Ask, Any, LogObservation | None]
Run = Callable[[House, Clock], Steps | None]

_GET_STATUS = ask("log", "kong.response.get_status")
_SERIALIZE = ask("log", "kong.log.serialize")


def hear_requests(house: House, clock: Clock) -> Steps | None:
    """``event-hooks`` in ``log``: see what the request came to, where a hook can care for it."""
    return _hear(house, clock) if house.log_statuses else pass_lines_on(house, clock)


def answer(house: House, clock: Clock) -> None:
    """Ask nothing and see nothing."""


def pass_lines_on(house: House, clock: Clock) -> Steps | None:
    """Give Kong its lines and see nothing."""
    line = house.take_line()
    return None if line is None else _pass_on(house, line)


def _hear(house: House, clock: Clock) -> Steps:
    seen = None
    status = yield _GET_STATUS
    if not isinstance(status, int):
        raise BadMessage("kong.response.get_status gave no number")
    if status in house.log_statuses:
        serialized = yield _SERIALIZE
        if not isinstance(serialized, str | bytes):
            raise BadMessage("kong.log.serialize gave no text")
        seen = LogObservation(EVENT_HOOKS, status, serialized, clock())
    line = house.take_line()
    if line is not None:
        yield from _pass_on(house, line)
    return seen


def _pass_on(house: House, line: LogLine | None) -> Generator[Ask, Any, None]:
    for _ in range(LINES_PER_CALL - 1):
        if line is None:
            return
        yield _line(line)
        line = house.take_line()
    if line is not None:
        yield _line(line)


def _line(line: LogLine) -> Ask:
    return ask("log", f"kong.log.{line.level}", line.text)


PHASES: Mapping[tuple[str, str], Run] = {
    (EVENT_HOOKS, "log"): hear_requests,
    (EVENT_HOOKS_CRUD, "response"): answer,
    (EVENT_HOOKS_CRUD, "log"): pass_lines_on,
}
"""(plugin, phase) -> what runs. Kong calls no other, as long as it knows the plugins by our own description."""
