"""Answers to every call of Kong's but ``handle_event``; only a large configuration is waited for.

What each error would do to Kong decides the answer (decision 7):

===================================  ======================================================================
call                                 answer
===================================  ======================================================================
start_instance, plugin unknown       an instance that does nothing: without one Kong's worker fails the request,
                                     and holds the next ones for 10 s
start_instance, config too long      an instance that works; the hooks in that config are not loaded
close_instance, id unknown           done: Kong ignores the answer, and another of its threads may have been first
get_instance_status, id unknown      a bare return
get_plugin_info, plugin unknown      a bare return
unknown call                         a bare return: only handle_event has more
bytes that are no call               what the most can be read as, finished with the sequence that can be found
===================================  ======================================================================
"""

from asyncio import Future
from collections.abc import Callable, Mapping
from typing import Any

from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstance, PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.lifecycle import LifecycleNotifier
from kong_eventhooks_plugin.kong.plugin_server.socket_errors import SocketErrors
from kong_eventhooks_plugin.kong.wire import answers
from kong_eventhooks_plugin.kong.wire.calls import (
    Call,
    CloseInstance,
    GetInstanceStatus,
    GetPluginInfo,
    GetPluginNames,
    MalformedCall,
    StartInstance,
    parse_partial,
)
from kong_eventhooks_plugin.kong.wire.frames import Oversized

PluginInfos = Mapping[str, Mapping[str, Any]]
"""Plugin name -> its entry of ``Plugins`` in the document that Kong's query command prints."""


class CallHandler:
    """Answers calls; never raises."""

    def __init__(
        self,
        host: PluginHost,
        instances: PluginInstances,
        infos: PluginInfos,
        errors: SocketErrors,
        clock: Callable[[], float],
    ) -> None:
        self._instances = instances
        self._infos = infos
        self._errors = errors
        self._lifecycle = LifecycleNotifier(host.lifecycle, errors, infos)
        self._loaded_at = clock()
        self._answers: Mapping[type[Call], Callable[[Any], bytes]] = {
            CloseInstance: self._close,
            GetInstanceStatus: self._status,
            GetPluginNames: self._names,
            GetPluginInfo: self._info,
            MalformedCall: self._malformed,
        }

    def start(self, call: StartInstance) -> "tuple[bytes, Future[None] | None]":
        """Return the answer, and the future after which it is to be given; None: now. Never raises, as ``answer``."""
        try:
            instance = self._new_instance(call.name)
            answer = answers.instance_status(call.echo, instance.plugin, instance.id, instance.started_at)
            return answer, self._lifecycle.started(instance, call.config)
        except Exception as error:  # noqa: BLE001 - as in answer
            self._errors("internal_error", error, call=type(call).__name__)
            return answers.returned(call.echo), None

    def answer(self, call: Call) -> bytes:
        answer = self._answers.get(type(call))
        if answer is None:
            self._errors("unknown_call")
            return answers.returned(call.echo)
        try:
            return answer(call)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not end the connection: Kong would call for ever
            self._errors("internal_error", error, call=type(call).__name__)
            return answers.returned(call.echo)

    def answer_damaged(self, frame: bytes | Oversized) -> bytes:
        """Return the answer to a frame that is no call or too long."""
        if isinstance(frame, Oversized):
            self._errors("oversized", bytes=frame.length)
        else:
            self._errors("bad_call", bytes=len(frame))
        return self.answer(parse_partial(frame))

    def _new_instance(self, name: str) -> PluginInstance:
        if name not in self._infos:
            self._errors("unknown_plugin", plugin=name[:64])
        instance, evicted = self._instances.start(name)
        if evicted is not None:
            self._errors("instance_evicted", plugin=evicted.plugin)
            self._lifecycle.closed(evicted)
        return instance

    def _close(self, call: CloseInstance) -> bytes:
        instance = self._instances.close(call.instance_id)
        if instance is not None:
            self._lifecycle.closed(instance)
        return answers.returned(call.echo)

    def _status(self, call: GetInstanceStatus) -> bytes:
        instance = self._instances.get(call.instance_id)
        if instance is None:
            self._errors("unknown_instance", call="get_instance_status")
            return answers.returned(call.echo)
        return answers.instance_status(call.echo, instance.plugin, instance.id, instance.started_at)

    def _names(self, call: GetPluginNames) -> bytes:
        return answers.plugin_names(call.echo, list(self._infos))

    def _info(self, call: GetPluginInfo) -> bytes:
        info = self._infos.get(call.name)
        if info is None:
            self._errors("unknown_plugin", plugin=call.name[:64])
            return answers.returned(call.echo)
        return answers.plugin_info(call.echo, info, self._loaded_at)

    def _malformed(self, call: MalformedCall) -> bytes:
        if call.kind == "cmd_start_instance":
            instance = self._new_instance(call.name)
            return answers.instance_status(call.echo, instance.plugin, instance.id, instance.started_at)
        if call.kind in ("cmd_handle_event", None):
            return answers.finished(call.echo)
        return answers.returned(call.echo)
