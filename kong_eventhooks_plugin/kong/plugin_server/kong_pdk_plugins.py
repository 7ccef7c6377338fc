"""Our plugins under Kong's own Python PDK (kong-pdk): plugin classes, and its plugin server without its traps.

kong-pdk gives the ``kong`` object, the modules, the table of instances and the shape of every answer. Its way of
waiting for Kong (a thread, a process or a gevent greenlet per event) is replaced: a phase runs in a plain greenlet on
the event loop's own thread and is switched away from while Kong answers. So everything stays in one thread, the host
is called where it must be, and nothing is left behind when Kong never comes back.

What of kong-pdk 0.36 is not used, and why:

==========================  ========================================================================================
instance ids from 0         after a restart an old id would mean another plugin: ids are ``PluginInstances``'
event ids from 0            the same, for an answer that comes after a restart: they count from a random number
``handle_event``            holds a lock while the first request is made, and for ever where a phase raises
``events``                  never forgotten where Kong does not come back: ``EVENTS`` and ``EVENT_SECONDS`` here
instances keep their config ``get_status`` would show its secrets: they are given none
a module's age              read of a path that need not exist, see below
the listener                see ``kong_pdk_adapter``
==========================  ========================================================================================

Limits: ``EVENTS`` wait for Kong's answers at a time, past it the one that waited longest is abandoned;
``EVENT_SECONDS`` for Kong to answer, as long as its own time-out. Either is counted as ``stalled``.
"""

import json
import secrets
import time
import warnings
from asyncio import Future
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, NamedTuple

from greenlet import GreenletExit, greenlet
from kong_pdk.exception import PluginServerException

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.lifecycle import LifecycleNotifier
from kong_eventhooks_plugin.kong.plugin_server.msgpack_rpc import exact
from kong_eventhooks_plugin.kong.plugin_server.pdk import PdkRequest
from kong_eventhooks_plugin.kong.plugin_server.phases import PHASES, Observation, all_steps, submit_observation
from kong_eventhooks_plugin.kong.plugin_server.socket_errors import SocketErrors
from kong_eventhooks_plugin.kong.wire.values import checked
from kong_eventhooks_plugin.telemetry.metrics import Counts

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kong_pdk.const asks for the locale in a deprecated way
    from kong_pdk import module as kong_pdk_module
    from kong_pdk.pdk import Kong
    from kong_pdk.server import MSG_RET
    from kong_pdk.server import PluginServer as KongPdkPluginServer

# A module's age, which nothing uses, is read of sys.path[0]: under ``python -P`` an archive that rarely exists, and no
# plugin could be made at all.
kong_pdk_module.FILEPATH = __file__

EVENTS = 4_096
EVENT_SECONDS = 60.0
_EVENT_ID_BITS = 31
_NO_PLUGIN = ""
"""The module of instances that do nothing: Kong asked for a plugin that is not ours (as in ``call_handler``)."""

Commit = Future[Any] | None


class StartedInstance(NamedTuple):
    """An instance for Kong; ``in_force`` ends when what its configuration declares is, None: it is already."""

    answer: dict[str, Any]
    in_force: Future[None] | None


class PhaseTurn(NamedTuple):
    """What Kong is to do next in an event.

    ``data`` is a PDK request, or ``"ret"``: the event is over, once ``commit`` is. ``since`` is when the event began,
    monotonic seconds.
    """

    data: Any
    event_id: int
    since: float
    commit: Commit = None

    @property
    def over(self) -> bool:
        return bool(self.data == MSG_RET)

    def answer(self) -> dict[str, Any]:
        return {"Data": self.data, "EventId": self.event_id}


class _Event:
    """A phase that runs in a greenlet. For kong-pdk's ``Kong`` it is the channel: put a request, get the answer."""

    def __init__(self, phase: Callable[[Any], Commit], now: float) -> None:
        self.since = now
        self.touched = now
        self.commit: Commit = None
        self._phase = phase
        self._greenlet = greenlet(self._run)
        self._answer: Any = None

    def _run(self) -> str:
        # lua_style: a call gives (result, error) and raises nothing.
        self.commit = self._phase(Kong(self, lua_style=True).kong)
        return str(MSG_RET)

    def put(self, request: Mapping[str, Any]) -> None:
        """Hand the request to whoever resumed us."""
        self._greenlet.parent.switch(request)

    def get(self) -> Any:
        """Return Kong's answer as kong-pdk wants it: (result, error)."""
        return self._answer

    def resume(self, answer: Any) -> Any:
        """Take Kong's answer to the last request, if there was one; return the next request, ``"ret"`` at the end."""
        self._answer = answer
        return self._greenlet.switch()

    def abandon(self) -> None:
        """End a phase that Kong does not answer."""
        self._greenlet.throw(GreenletExit)


class PdkPlugins(KongPdkPluginServer):  # type: ignore[misc] # kong-pdk ships no types
    """kong-pdk's plugin server over our plugins. For the event loop's thread.

    ``infos`` is plugin name -> its entry of ``Plugins`` in the document for Kong.
    """

    def __init__(
        self,
        host: PluginHost,
        counts: Counts,
        errors: SocketErrors,
        instances: PluginInstances,
        infos: Mapping[str, Mapping[str, Any]],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        max_events: int = EVENTS,
    ) -> None:
        super().__init__()
        self.events: OrderedDict[int, _Event] = OrderedDict()
        self.event_id = secrets.randbits(_EVENT_ID_BITS)
        self._host = host
        self._pdk_calls = counts.pdk_calls
        self._errors = errors
        self._ids = instances
        self._infos = infos
        self._lifecycle = LifecycleNotifier(host.lifecycle, errors, infos)
        self._clock = clock
        self._monotonic = monotonic
        self._max_events = max_events
        for name, phases in {**{name: info["Phases"] for name, info in infos.items()}, _NO_PLUGIN: ()}.items():
            self.plugins[name] = kong_pdk_module.Module(name, module=_module(name, phases, self._run_phase))

    # ---- instances ----

    def get_plugin_info(self, name: str) -> Mapping[str, Any]:
        if name not in self._infos:
            raise PluginServerException(f"{str(name)[:64]}: no such plugin")
        return self._infos[name]

    def start_instance(self, cfg: Mapping[str, Any]) -> "StartedInstance":
        """Return an instance, whatever Kong asks for: without one it fails the request."""
        name = cfg["Name"]
        known = name in self._infos
        if not known:
            self._errors("unknown_plugin", plugin=str(name)[:64])
        instance, evicted = self._ids.start(name if known else _NO_PLUGIN)
        if evicted is not None:
            self._errors("instance_evicted", plugin=evicted.plugin)
            super().close_instance(evicted.id)
            self._lifecycle.closed(evicted)
        self.instance_id = instance.id
        answer = super().start_instance({"Name": instance.plugin, "Config": json.dumps({})})
        in_force = None
        if known:
            config = str(cfg.get("Config", "")).encode(errors="surrogateescape")
            in_force = self._lifecycle.started(instance, config)
        return StartedInstance({**answer, "Name": name}, in_force)

    def close_instance(self, iid: int) -> dict[str, Any]:
        """Forget an instance; raises ``PluginServerException`` where there is none."""
        answer: dict[str, Any] = super().close_instance(iid)
        closed = self._ids.close(iid)
        if closed is not None:
            self._lifecycle.closed(closed)
        return answer

    # ---- events ----

    def handle_event(self, event: Mapping[str, Any]) -> PhaseTurn:
        """Begin a phase; raises ``PluginServerException`` for an unknown instance, which makes Kong start it anew."""
        iid, phase = event["InstanceId"], event["EventName"]
        if self._ids.get(iid) is None:
            self._errors("unknown_instance", phase=str(phase)[:32])
            raise PluginServerException(f"no plugin instance #{iid}")
        instance = self.instances[iid]
        self.event_id += 1
        now = self._monotonic()
        if phase not in self.plugins[instance.name].phases:
            self._errors("unknown_phase", plugin=instance.name, phase=str(phase)[:32])
            return PhaseTurn(MSG_RET, self.event_id, now)
        return self._resume(self.event_id, _Event(getattr(instance.cls, phase), now))

    def step(self, data: Mapping[str, Any]) -> PhaseTurn:
        """Resume with Kong's answer; raises ``PluginServerException`` where the event is unknown."""
        return self._answered(data, (exact(data.get("Data")), None))

    def step_error(self, data: Mapping[str, Any]) -> PhaseTurn:
        """Resume with Kong's error instead of an answer."""
        return self._answered(data, (None, data.get("Data")))

    def _answered(self, data: Mapping[str, Any], answer: tuple[Any, Any]) -> PhaseTurn:
        event_id = data["EventId"]
        event = self.events.pop(event_id, None)
        if event is None:
            self._errors("stalled", what="an answer to an event that is not there (any more)")
            raise PluginServerException(f"event id {event_id} not found")
        return self._resume(event_id, event, answer)

    def _resume(self, event_id: int, event: _Event, answer: Any = None) -> PhaseTurn:
        data = event.resume(answer)
        if data != MSG_RET:
            self._pdk_calls[data["Method"],] += 1
            event.touched = self._monotonic()
            self.events[event_id] = event  # at the end: the order is that of waiting
            if len(self.events) > self._max_events:
                self._abandon_oldest()
        return PhaseTurn(data, event_id, event.since, event.commit)

    def _abandon_oldest(self) -> None:
        _, event = self.events.popitem(last=False)
        event.abandon()
        self._errors("stalled", what="Kong did not answer")

    def expire(self) -> None:
        """Abandon the events that have waited for too long; to be called every few seconds."""
        limit = self._monotonic() - EVENT_SECONDS
        while self.events and next(iter(self.events.values())).touched < limit:
            self._abandon_oldest()

    # ---- what the plugin classes call ----

    def _run_phase(self, plugin: str, phase: str, kong: Any) -> Commit:
        """Run a phase to its end and submit what it saw. Never raises: Kong would get the error."""
        try:
            seen = self._drive(plugin, phase, kong)
            return None if seen is None else submit_observation(self._host, seen)
        except BadMessage as error:
            self._errors("pdk_answer", what=str(error))
        except Exception as error:  # noqa: BLE001 - a bug in a phase must not reach Kong
            self._errors("internal_error", error, phase=phase)
        return None

    def _drive(self, plugin: str, phase: str, kong: Any) -> Observation | None:
        steps = all_steps(PHASES[plugin, phase], self._host, self._clock)
        if steps is None:
            return None
        unreadable: BadMessage | None = None
        try:
            request = next(steps)
            while True:
                try:
                    value = _call_pdk(kong, request)
                except BadMessage as error:
                    self._errors("pdk_answer", function=request.name, what=str(error))
                    unreadable = error
                    request = steps.throw(error)
                else:
                    request = steps.send(value)
        except StopIteration as done:
            seen: Observation | None = done.value
            return seen
        except BadMessage as error:
            if error is not unreadable:  # which is counted already
                raise
            return None
        finally:
            steps.close()


def _call_pdk(kong: Any, request: PdkRequest) -> Any:
    """Call the function on kong-pdk's ``kong``; its error becomes nil, as over ProtoBuf:1.

    ``BadMessage`` for an answer of another type.
    """
    function = reduce(getattr, request.name.split(".")[1:], kong)
    value, _ = function(*request.args)
    return checked(request.result, value)


def _module(name: str, phases: Any, run: Callable[[str, str, Any], Commit]) -> type:
    """Return a plugin's module as kong-pdk wants it: a ``Plugin`` class with a method for each phase."""

    def method(phase: str) -> Callable[[Any, Any], Commit]:
        return lambda _plugin, kong: run(name, phase, kong)

    methods = {phase: method(phase) for phase in phases}
    plugin = type("Plugin", (), {"__init__": lambda _plugin, _config: None, **methods})
    return type("module", (), {"Plugin": plugin})
