"""What our plugins do in Kong's phases, written once for both protocols.

A phase is a function: it returns None where it has nothing to ask and saw nothing, which is most calls where traffic
is heaviest, or else a generator. That yields the questions that it has for Kong (``pdk.Ask``), is sent each answer as a
Python value (None for Kong's nil), and returns what it saw, or None. Whoever drives it speaks ProtoBuf:1 or MsgPack:1
and hands what is returned to ``House.observe`` or, for a change, ``House.observe_change``. For an answer of another
type, or one that is too long, ``BadMessage`` is thrown where the phase waits for it, and counted by who throws it; an
answer that the phase itself finds impossible is ``BadMessage`` the other way.

- ``event-hooks`` / ``log``: asks nothing where no hook can hear anything; else for the status, and for the request's
  log only where some hook can care for that status (decision 6).
- ``event-hooks-crud`` / ``response``: asks nothing where nobody hears of changes; else for the method, which ends a
  read, then the status, which ends what the Admin API refused, then the path, which ends what changes nothing. The
  status is the Admin API's own: another plugin may give the client another one, and the change was made all the same.
  What is asked after that only describes a change that is known: whatever of it cannot be read is left out, and the
  change is told. A connection that ends meanwhile takes it along: where it was us who ended it, Kong calls again, and
  the change would be told twice. A later round finds it.
- Lines that wait for Kong's error log go out in the ``log`` phase of either (decision 15), after everything else.

Limits: at most ``LINES_PER_CALL`` lines in one call; the rest waits for the next. An answer's length is limited by who
reads it: over ProtoBuf:1 a body past it is left out and the change is told; over MsgPack:1 such an answer is the end of
its connection, and a later round finds the change. (By default the Admin API takes no entity that is that long.)
"""

from asyncio import Future
from collections.abc import Callable, Generator, Mapping
from typing import Any

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server.contract import House
from kong_eventhooks_plugin.kong.plugin_server.pdk import Ask, ask
from kong_eventhooks_plugin.model.lines import LogLine
from kong_eventhooks_plugin.model.observation import ChangeObservation, LogObservation

LINES_PER_CALL = 16

EVENT_HOOKS = "event-hooks"
EVENT_HOOKS_CRUD = "event-hooks-crud"

Clock = Callable[[], float]
Seen = LogObservation | ChangeObservation
Steps = Generator[Ask, Any, Seen | None]
Run = Callable[[House, Clock], Steps | None]

READS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing, by HTTP's own rule (RFC 9110, 9.2.1)."""

_GET_STATUS = ask("log", "kong.response.get_status")
_SERIALIZE = ask("log", "kong.log.serialize")

_METHOD = ask("response", "kong.request.get_method")
_ADMIN_STATUS = ask("response", "kong.service.response.get_status")
_ADMIN_PATH = ask("response", "kong.nginx.get_var", "upstream_uri")
_PATH = ask("response", "kong.request.get_path_with_query")
_BODY = ask("response", "kong.service.response.get_raw_body")
_CONSUMER = ask("response", "kong.client.get_consumer")
_CREDENTIAL = ask("response", "kong.client.get_credential")
_IP = ask("response", "kong.client.get_forwarded_ip")
_USER_AGENT = ask("response", "kong.request.get_header", "user-agent")
_REQUEST_ID = ask("response", "kong.nginx.get_var", "kong_request_id")
_STARTED_AT = ask("response", "kong.nginx.req_start_time")

_WHO = ("id", "username", "custom_id")
"""What is told of a consumer: MsgPack:1 gives more of it, and a client's tags are nobody's business."""


def hear_requests(house: House, clock: Clock) -> Steps | None:
    """``event-hooks`` in ``log``: see what the request came to, where a hook can care for it."""
    return _hear(house, clock) if house.log_statuses else pass_lines_on(house, clock)


def hear_changes(house: House, clock: Clock) -> Steps | None:
    """``event-hooks-crud`` in ``response``: see what the Admin API was asked to change, where somebody hears of it."""
    return _change(house, clock) if house.hears_changes else None


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


def _change(house: House, clock: Clock) -> Generator[Ask, Any, ChangeObservation | None]:
    method = _text((yield _METHOD))
    if method is None:
        raise BadMessage("kong.request.get_method gave nothing")
    if method in READS:
        return None
    status = yield _ADMIN_STATUS
    if not isinstance(status, int):
        raise BadMessage("kong.service.response.get_status gave no number")
    if not 200 <= status < 300:
        return None
    seen_at = clock()
    path = _text((yield from _if_readable(_ADMIN_PATH))) or _text((yield _PATH))
    if path is None:
        raise BadMessage("kong.request.get_path_with_query gave nothing")
    if not house.may_change(method, path):
        return None
    body = (yield from _if_readable(_BODY)) if house.wants_answer(method, path) else None
    return (yield from _described(method, path, status, _bytes(body), seen_at))


def _described(
    method: str, path: str, status: int, body: bytes | None, seen_at: float
) -> Generator[Ask, Any, ChangeObservation]:
    """Ask who made the change, and when."""
    return ChangeObservation(
        method=method,
        path=path,
        status=status,
        body=body,
        seen_at=seen_at,
        consumer=_who((yield from _if_readable(_CONSUMER))),
        credential=_id((yield from _if_readable(_CREDENTIAL))),
        ip=_text((yield from _if_readable(_IP))),
        user_agent=_text((yield from _if_readable(_USER_AGENT))),
        request_id=_text((yield from _if_readable(_REQUEST_ID))),
        started_at=(yield from _if_readable(_STARTED_AT)) or seen_at,
    )


def _if_readable(question: Ask) -> Generator[Ask, Any, Any]:
    """Ask what the change can do without: None where the answer cannot be read."""
    try:
        return (yield question)
    except BadMessage:
        return None


def _text(value: Any) -> str | None:
    """Return Kong's text, where there is any; MsgPack:1 gives bytes where it is not UTF-8."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value if isinstance(value, str) and value else None


def _bytes(value: Any) -> bytes | None:
    """Return Kong's bytes, where there are any; over MsgPack:1 they may be text."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return value if isinstance(value, bytes) and value else None


def _id(credential: Any) -> str | None:
    return _text(credential.get("id")) if isinstance(credential, dict) else None


def _who(consumer: Any) -> dict[str, Any] | None:
    if _id(consumer) is None:
        return None
    return {name: _text(consumer.get(name)) for name in _WHO}


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


def hand_over(house: House, seen: Seen) -> "Future[Any] | None":
    """Give the house what a phase saw; the future ends when all it caused is committed (None: no wait)."""
    if isinstance(seen, LogObservation):
        return house.observe(seen)
    house.observe_change(seen)
    return None


PHASES: Mapping[tuple[str, str], Run] = {
    (EVENT_HOOKS, "log"): hear_requests,
    (EVENT_HOOKS_CRUD, "response"): hear_changes,
    (EVENT_HOOKS_CRUD, "log"): pass_lines_on,
}
"""(plugin, phase) -> what runs. Kong calls no other, as long as it knows the plugins by our own description."""
