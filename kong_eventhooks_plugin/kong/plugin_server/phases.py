"""What our plugins do in Kong's phases, written once for both protocols.

A phase is a function: it returns None where it has nothing to ask and saw nothing, which is most calls where traffic
is heaviest, or else a generator. The generator yields its requests to Kong (``pdk.PdkRequest``), is sent each answer
as a Python value (None for Kong's nil), and returns what it saw, or None. One whose first answer ends most calls
returns a ``FirstRequest`` instead, and begins a generator only where that does not. The driver speaks ProtoBuf:1 or
MsgPack:1 and hands the result to ``submit_observation``. For an answer of another type, or one that is too long, it
counts ``BadMessage`` and throws it where the phase waits; the phase raises it for an answer that is impossible.

- ``event-hooks`` / ``log``: asks nothing where no hook can fire; else for the status, and for the request's log only
  where some hook can fire for that status (decision 6). While one request after another is such a one, it asks for the
  log first, and mostly for nothing else (``log_first``); not while some logs need not be read (``contract``). Where it
  has the log, it asks now and then which node this is (``node_question``).
- ``event-hooks-crud`` / ``response``: asks nothing where no hook subscribes to changes; else for the method, which ends
  a read, then the status, which ends what the Admin API refused, then the path, which ends what changes nothing. The
  status is the Admin API's own: another plugin may give the client another one, and the change was made all the same.
  What is asked after that only describes a change that is known: whatever of it cannot be read is left out, and the
  change is reported. A connection that ends meanwhile takes it along: where we ended it, Kong calls again, and the
  change would be reported twice. A later reconciliation finds it.
- Lines that wait for Kong's error log go out in the ``log`` phase of either (decision 15), after everything else.

Limits: at most ``LINES_PER_CALL`` lines in one call; the rest waits for the next. An answer's length is limited by who
reads it: over ProtoBuf:1 a body past it is left out and the change is reported; over MsgPack:1 such an answer ends its
connection, and a later reconciliation finds the change. (By default the Admin API takes no entity that is that long.)
"""

from asyncio import Future
from collections.abc import Callable, Generator, Mapping
from typing import Any, final

import msgspec

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server.contract import ChangeObserver, Committed, LineSource, PluginHost
from kong_eventhooks_plugin.kong.plugin_server.error_log_lines import WaitingLine
from kong_eventhooks_plugin.kong.plugin_server.log_first import read_log, status_in
from kong_eventhooks_plugin.kong.plugin_server.node_question import NodeQuestion
from kong_eventhooks_plugin.kong.plugin_server.pdk import PdkRequest, pdk_request
from kong_eventhooks_plugin.model.kong_node import KongNode
from kong_eventhooks_plugin.model.observation import ChangeObservation, ChangeTarget, LogObservation
from kong_eventhooks_plugin.queue.contract import Clock

LINES_PER_CALL = 40

EVENT_HOOKS = "event-hooks"
EVENT_HOOKS_CRUD = "event-hooks-crud"

Observation = LogObservation | ChangeObservation
Steps = Generator[PdkRequest, Any, Observation | None]


@final
class FirstRequest(msgspec.Struct, frozen=True):
    """A phase's first request, and what its answer leads to, as a phase's beginning does.

    A generator for it alone costs a tenth of the call.
    """

    request: PdkRequest
    then: Callable[[PluginHost, Clock, Any], Steps | None]

    def throw(self, error: BadMessage) -> PdkRequest:
        """End as a generator whose first answer cannot be read."""
        raise error

    def close(self) -> None:
        """Nothing is kept."""


Begun = FirstRequest | Steps
Run = Callable[[PluginHost, Clock], Begun | None]

READS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing, by HTTP's own rule (RFC 9110, 9.2.1)."""

_GET_STATUS = pdk_request("log", "kong.response.get_status")
_SERIALIZE = pdk_request("log", "kong.log.serialize")

_NODE_ID = pdk_request("log", "kong.node.get_id")

_METHOD = pdk_request("response", "kong.request.get_method")
_ADMIN_STATUS = pdk_request("response", "kong.service.response.get_status")
_ADMIN_PATH = pdk_request("response", "kong.nginx.get_var", "upstream_uri")
_PATH = pdk_request("response", "kong.request.get_path_with_query")
_BODY = pdk_request("response", "kong.service.response.get_raw_body")
_CONSUMER = pdk_request("response", "kong.client.get_consumer")
_CREDENTIAL = pdk_request("response", "kong.client.get_credential")
_IP = pdk_request("response", "kong.client.get_forwarded_ip")
_USER_AGENT = pdk_request("response", "kong.request.get_header", "user-agent")
_REQUEST_ID = pdk_request("response", "kong.nginx.get_var", "kong_request_id")
_STARTED_AT = pdk_request("response", "kong.nginx.req_start_time")

_CONSUMER_FIELDS = ("id", "username", "custom_id")
"""What is kept of a consumer: MsgPack:1 gives more of it, and a client's tags are nobody's business."""


def all_steps(run: Run, host: PluginHost, clock: Clock) -> Steps | None:
    """Begin a phase for a driver that knows generators alone."""
    begun = run(host, clock)
    return _steps(begun, host, clock) if isinstance(begun, FirstRequest) else begun


def _steps(first: FirstRequest, host: PluginHost, clock: Clock) -> Steps:
    rest = first.then(host, clock, (yield first.request))
    return None if rest is None else (yield from rest)


def observe_requests(host: PluginHost, clock: Clock) -> Begun | None:
    """``event-hooks`` in ``log``: observe the request's outcome, where a hook can fire for it."""
    requests = host.requests
    if not requests.log_statuses:
        return forward_log_lines(host, clock)
    if host.log_first.now and (requests.quiet is None or not requests.quiet.now):
        return _observe(host, clock)
    return _STATUS_FIRST


def observe_changes(host: PluginHost, clock: Clock) -> Steps | None:
    """``event-hooks-crud`` in ``response``: observe what the Admin API changed, where a hook subscribes to changes."""
    changes = host.changes
    return _change(changes, clock) if changes is not None and changes.has_change_subscribers else None


def forward_log_lines(host: PluginHost, clock: Clock) -> Steps | None:
    """Hand Kong its lines and observe nothing."""
    line = host.lines.pop()
    return None if line is None else _forward(host.lines, line)


def _with_status(host: PluginHost, clock: Clock, status: Any) -> Steps | None:
    """Go on where some hook can fire for the status, or a line waits."""
    if type(status) is not int:
        raise BadMessage("kong.response.get_status gave no number")
    requests = host.requests
    if status in requests.log_statuses and (requests.quiet is None or not requests.quiet.skips(status)):
        return _observe(host, clock, status)
    if host.log_first.streak:
        host.log_first.unwanted()
    line = host.lines.pop()
    return None if line is None else _forward(host.lines, line)


_STATUS_FIRST = FirstRequest(_GET_STATUS, _with_status)


def _observe(host: PluginHost, clock: Clock, wanted: int | None = None) -> Steps:
    """Ask for the log; first where no ``wanted`` status is known."""
    first, requests = host.log_first, host.requests
    statuses, quiet = requests.log_statuses, requests.quiet
    serialized = log = None
    status = wanted
    if status is None:
        try:
            serialized = yield _SERIALIZE
        except BadMessage:
            serialized = None
        log = read_log(serialized)
        status = status_in(log)
        if status not in statuses:
            status = yield _GET_STATUS
            if not isinstance(status, int):
                raise BadMessage("kong.response.get_status gave no number")
    seen = None
    if wanted is not None or (
        status in statuses and (serialized is not None or quiet is None or not quiet.skips(status))
    ):
        if serialized is None:
            serialized = yield _SERIALIZE
            log = read_log(serialized)
            first.wanted(status, log)
        if not isinstance(serialized, str | bytes):
            raise BadMessage("kong.log.serialize gave no text")
        node = (yield from _node(host.node, clock)) if host.node is not None else None
        seen = LogObservation(EVENT_HOOKS, status, serialized, clock(), node, log)
    elif first.streak:
        first.unwanted()
    line = host.lines.pop()
    if line is not None:
        yield from _forward(host.lines, line)
    return seen


def _change(changes: ChangeObserver, clock: Clock) -> Generator[PdkRequest, Any, ChangeObservation | None]:
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
    target = changes.change_target(method, path)
    if target is None:
        return None
    body = (yield from _if_readable(_BODY)) if target.wants_answer else None
    return (yield from _describe_change(method, path, status, _bytes(body), seen_at, target))


def _describe_change(
    method: str, path: str, status: int, body: bytes | None, seen_at: float, target: ChangeTarget
) -> Generator[PdkRequest, Any, ChangeObservation]:
    """Ask who made the change, and when."""
    return ChangeObservation(
        method=method,
        path=path,
        status=status,
        body=body,
        seen_at=seen_at,
        consumer=_consumer((yield from _if_readable(_CONSUMER))),
        credential=_id((yield from _if_readable(_CREDENTIAL))),
        ip=_text((yield from _if_readable(_IP))),
        user_agent=_text((yield from _if_readable(_USER_AGENT))),
        request_id=_text((yield from _if_readable(_REQUEST_ID))),
        started_at=(yield from _if_readable(_STARTED_AT)) or seen_at,
        target=target,
    )


def _node(question: NodeQuestion, clock: Clock) -> Generator[PdkRequest, Any, KongNode]:
    """Return which node this is; ask where that is due."""
    if question.is_due(clock()):
        question.answered(_text((yield from _if_readable(_NODE_ID))))
    return question.node


def _if_readable(request: PdkRequest) -> Generator[PdkRequest, Any, Any]:
    """Ask what the change can do without: None where the answer cannot be read."""
    try:
        return (yield request)
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


def _consumer(consumer: Any) -> dict[str, Any] | None:
    if _id(consumer) is None:
        return None
    return {name: _text(consumer.get(name)) for name in _CONSUMER_FIELDS}


def _forward(lines: LineSource, waiting: WaitingLine | None) -> Generator[PdkRequest, Any, None]:
    for left in reversed(range(LINES_PER_CALL)):
        if waiting is None:
            return
        try:
            yield pdk_request("log", f"kong.log.{waiting.line.level}", waiting.line.text)
        except GeneratorExit:  # the connection has ended
            lines.put_back(waiting)
            raise
        except BadMessage:  # of Kong's answer: it has the line
            pass
        lines.written(waiting)
        waiting = lines.pop() if left else None


def submit_observation(host: PluginHost, seen: Observation) -> "Future[Committed] | None":
    """Hand the host what a phase saw; the future ends when all it caused is committed (None: no wait)."""
    if isinstance(seen, LogObservation):
        return host.requests.observe(seen)
    if host.changes is not None:
        host.changes.observe_change(seen)
    return None


PHASES: Mapping[tuple[str, str], Run] = {
    (EVENT_HOOKS, "log"): observe_requests,
    (EVENT_HOOKS_CRUD, "response"): observe_changes,
    (EVENT_HOOKS_CRUD, "log"): forward_log_lines,
}
"""(plugin, phase) -> what runs. Kong calls no other, as long as it knows the plugins by our own description."""
