"""The PDK functions that we ask Kong for: what they take and return, and in which phases they are safe.

A function that Kong does not allow in a phase raises inside Kong: the client gets a 500, or, in ``log``, Kong leaks
the request's saved data into a later one, and nobody tells the plugin server. So a phase may ask for nothing that
this table does not allow it. The table holds what a running Kong 3.9 answered
(tests/captures/pdk-matrix-protobuf.tsv); what answered in a phase by chance (``kong.service.response.*`` in ``log``,
which raises where no service was called) is not in it.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from kong_eventhooks_plugin.errors import PhaseError
from kong_eventhooks_plugin.kong.wire.values import Argument, Result, encode_request

Phase = Literal["response", "log"]

RESPONSE: frozenset[Phase] = frozenset({"response"})
EITHER: frozenset[Phase] = frozenset({"response", "log"})
LOG: frozenset[Phase] = frozenset({"log"})


class Function(msgspec.Struct, frozen=True):
    """A PDK function: its name, the messages that it takes and returns, the phases that may ask for it."""

    name: str
    argument: Argument
    result: Result
    phases: frozenset[Phase]


_ALL = (
    Function("kong.response.get_status", "Empty", "Int", EITHER),
    Function("kong.response.get_source", "Empty", "String", EITHER),
    Function("kong.log.serialize", "Empty", "ByteString", LOG),  # a String, but its reader takes the bytes
    Function("kong.log.debug", "ListValue", "Empty", EITHER),
    Function("kong.log.info", "ListValue", "Empty", EITHER),
    Function("kong.log.notice", "ListValue", "Empty", EITHER),
    Function("kong.log.warn", "ListValue", "Empty", EITHER),
    Function("kong.log.err", "ListValue", "Empty", EITHER),
    Function("kong.log.crit", "ListValue", "Empty", EITHER),
    Function("kong.log.alert", "ListValue", "Empty", EITHER),
    Function("kong.node.get_id", "Empty", "String", EITHER),
    Function("kong.client.get_consumer", "Empty", "Consumer", EITHER),
    Function("kong.client.get_credential", "Empty", "AuthenticatedCredential", EITHER),
    Function("kong.client.get_forwarded_ip", "Empty", "String", RESPONSE),
    Function("kong.nginx.get_var", "String", "String", RESPONSE),
    Function("kong.nginx.req_start_time", "Empty", "Number", EITHER),
    Function("kong.request.get_header", "String", "String", EITHER),
    Function("kong.request.get_method", "Empty", "String", RESPONSE),
    Function("kong.request.get_path_with_query", "Empty", "String", RESPONSE),
    Function("kong.service.response.get_status", "Empty", "Int", RESPONSE),
    Function("kong.service.response.get_raw_body", "Empty", "ByteString", RESPONSE),
)

FUNCTIONS: Mapping[str, Function] = {function.name: function for function in _ALL}


class PdkRequest:
    """One function that Kong is asked for, with its arguments, and the frames for it over ProtoBuf:1.

    ``known`` is for the reader of the answers: frames that were answers before, and their values.
    """

    __slots__ = ("args", "frames", "known", "name", "result")

    def __init__(self, function: Function, args: tuple[Any, ...]) -> None:
        self.name = function.name
        self.result = function.result
        self.args = args
        self.known: dict[bytes, Any] = {}
        self.frames = encode_request(function.name, function.argument, args)

    def __repr__(self) -> str:
        return f"PdkRequest({self.name!r}, {self.args!r})"


NO_REQUEST = PdkRequest(FUNCTIONS["kong.response.get_status"], ())
"""Stands where nothing was asked yet."""


def pdk_request(phase: Phase, name: str, *args: Any) -> PdkRequest:
    """Return the request for ``name`` in ``phase``; raises ``PhaseError`` where the table does not allow it."""
    function = FUNCTIONS.get(name)
    if function is None or phase not in function.phases:
        raise PhaseError(f"{name} may not be asked for in the phase {phase}")
    if not _takes(function.argument, args):
        raise PhaseError(f"{name} takes other arguments")
    return PdkRequest(function, args)


def _takes(argument: Argument, args: tuple[Any, ...]) -> bool:
    if argument == "String":
        return len(args) == 1 and isinstance(args[0], str)
    return argument == "ListValue" or not args
