"""A table of calls becomes gRPC's method handlers: each with its access rule, its limits, its errors as statuses.

Limits: ``AT_ONCE`` calls run at the same time, one more is RESOURCE_EXHAUSTED (streams are counted apart, by the feed);
a call has the time of ``deadlines``. A call whose deadline passed, or whose caller left, stops; one that is just
writing to the store (``keeps``) is not torn apart: its caller hears DEADLINE_EXCEEDED and may find it done, and it
counts as running until it is.

A browser cannot speak gRPC, so there is no name to check that the call was made under. A gateway that lets web pages
in (gRPC-Web) hands on where they came from: such a call may change nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from kong_eventhooks_plugin.api.grpc.deadlines import seconds_left
from kong_eventhooks_plugin.api.grpc.error_mapping import abort_with
from kong_eventhooks_plugin.api.service.access import Access, Caller
from kong_eventhooks_plugin.errors import BadArgument, TooBusy

AT_ONCE: Final = 64

Kind = Literal["open", "read", "change"]
"""``open`` is answered without the token, with secrets masked. ``read`` (what was delivered) and ``change`` need it
where one is set."""

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[Any, bool], Awaitable[Message]]
"""Takes the request and whether its caller is trusted; gives the response."""

StreamCall = Callable[[Any, Context], Awaitable[None]]
"""Takes the request and writes to the context until the stream ends."""


class Unary(NamedTuple):
    """A call with one answer. ``keeps``: it writes to the store, see the file's head."""

    name: str
    answer: Answer
    kind: Kind
    keeps: bool = False


class Stream(NamedTuple):
    """A call that is told things until it or we leave."""

    name: str
    stream: StreamCall
    kind: Kind


class Calls(NamedTuple):
    """A service of the .proto and what answers its methods."""

    service: ServiceDescriptor
    calls: tuple[Unary | Stream, ...]


class GrpcCallGuard:
    """Stands before every call: who may, how many at once, how long. ``at_once``: see ``AT_ONCE``."""

    def __init__(self, access: Access, at_once: int = AT_ONCE) -> None:
        self._access = access
        self._at_once = at_once
        self._running: set[asyncio.Future[Any]] = set()

    def handlers(self, calls: Calls) -> grpc.GenericRpcHandler:
        """Return gRPC's handlers for a service."""
        methods = calls.service.methods_by_name
        made: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for call in calls.calls:
            read = _reader(message_factory.GetMessageClass(methods[call.name].input_type))
            # Requests are read behind the gate: a broken one is the caller's fault, and gRPC would call it UNKNOWN.
            if isinstance(call, Unary):
                made[call.name] = grpc.unary_unary_rpc_method_handler(self._unary(call, read), None, _bytes)
            else:
                made[call.name] = grpc.unary_stream_rpc_method_handler(self._stream(call, read), None, _bytes)
        return grpc.method_handlers_generic_handler(calls.service.full_name, made)

    async def finished(self, seconds: float) -> None:
        """Wait at most so long for what still writes."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)

    def _unary(self, call: Unary, read: Callable[[bytes], Message]) -> Any:
        async def handle(sent: bytes, context: Context) -> Message:
            try:
                trusted = self._admitted(call.kind, context)
                async with asyncio.timeout(seconds_left(context)):
                    return await self._run(call, read(sent), trusted)
            except Exception as error:  # noqa: BLE001 - every error has its status, and the unforeseen is logged there
                await abort_with(context, error)

        return handle

    def _stream(self, call: Stream, read: Callable[[bytes], Message]) -> Any:
        async def handle(sent: bytes, context: Context) -> None:
            try:
                self._admitted(call.kind, context)
                await call.stream(read(sent), context)
            except grpc.aio.AbortError:
                raise
            except grpc.aio.InternalError:
                # What gRPC says where it cannot write any more: the watcher left, and nobody is there to be told.
                return
            except Exception as error:  # noqa: BLE001 - as above
                await abort_with(context, error)

        return handle

    def _admitted(self, kind: Kind, context: Context) -> bool:
        """Return whether the caller is trusted; raises ``AccessRefused`` where it may not make the call."""
        caller = caller_of(context.invocation_metadata() or ())
        if kind == "change":
            self._access.check_page(caller)
        if kind != "open":
            self._access.need_token(caller)
        return self._access.trusted(caller)

    async def _run(self, call: Unary, request: Message, trusted: bool) -> Message:
        if len(self._running) >= self._at_once:
            raise TooBusy(f"{self._at_once} calls run already")
        work = asyncio.ensure_future(call.answer(request, trusted))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        return await (asyncio.shield(work) if call.keeps else work)


def caller_of(metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
    """Return what a call's metadata say of who sent it. ``authorization`` goes before ``kong-admin-token``."""
    said: Mapping[str, str] = {name.lower(): value for name, value in metadata if isinstance(value, str)}
    scheme, _, credentials = said.get("authorization", "").partition(" ")
    token = credentials.strip() if scheme.lower() == "bearer" else said.get("kong-admin-token")
    return Caller(token=token or None, origin=said.get("origin"), fetch_site=said.get("sec-fetch-site"))


def _reader(kind: type[Message]) -> Callable[[bytes], Message]:
    def read(sent: bytes) -> Message:
        try:
            return kind.FromString(sent)
        except DecodeError as error:
            raise BadArgument(f"the request is no {kind.DESCRIPTOR.full_name}: {error}") from error

    return read


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()
