"""A table of calls becomes gRPC's method handlers: each with its access rule, its limits, its errors as statuses.

Limits: ``AT_ONCE`` calls run at the same time, one more is RESOURCE_EXHAUSTED (the feed limits streams); a call ends
at its deadline, after ``CALL_SECONDS`` at the latest, or when its caller disconnects; one that writes to the store
(``keeps``) runs on: its caller gets DEADLINE_EXCEEDED and may find it done, and it counts as running until then.

A browser cannot speak gRPC, so the host name of a call is not checked. A gateway for web pages (gRPC-Web) passes on
where they came from: such a call may change nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from kong_eventhooks_plugin.api.grpc.error_mapping import abort_with
from kong_eventhooks_plugin.api.service.access import AT_ONCE, CALL_SECONDS, Access, Caller, Kind, sent_token
from kong_eventhooks_plugin.errors import BadArgument, TooBusy

Context = grpc.aio.ServicerContext[Any, Any]
Calling = Callable[[str], AbstractAsyncContextManager[None]]
"""See ``api.transport.connections``; the key of a connection is its ``peer``."""

Answer = Callable[[Any, bool], Awaitable[Message]]
"""Takes the request and whether its caller is trusted; returns the response."""

StreamCall = Callable[[Any, Context], Awaitable[None]]
"""Takes the request and writes to the context until the stream ends."""


class Unary(NamedTuple):
    """``keeps``: it writes to the store and is never cancelled."""

    name: str
    answer: Answer
    kind: Kind
    keeps: bool = False


class Stream(NamedTuple):
    name: str
    stream: StreamCall
    kind: Kind


class Calls(NamedTuple):
    service: ServiceDescriptor
    calls: tuple[Unary | Stream, ...]


class Timed(Protocol):
    """A part of grpc's ServicerContext, of the asyncio API and the other alike."""

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline, None where there is none."""


class GrpcCallGuard:
    def __init__(self, access: Access, calling: Calling, at_once: int = AT_ONCE) -> None:
        self._access = access
        self._calling = calling
        self._at_once = at_once
        self._running: set[asyncio.Future[Any]] = set()

    def handlers(self, calls: Calls) -> grpc.GenericRpcHandler:
        methods = calls.service.methods_by_name
        made: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for call in calls.calls:
            read = _reader(message_factory.GetMessageClass(methods[call.name].input_type))
            # Requests are decoded inside the guard: gRPC itself would answer UNKNOWN for an invalid one.
            if isinstance(call, Unary):
                made[call.name] = grpc.unary_unary_rpc_method_handler(self._unary(call, read), None, _bytes)
            else:
                made[call.name] = grpc.unary_stream_rpc_method_handler(self._stream(call, read), None, _bytes)
        return grpc.method_handlers_generic_handler(calls.service.full_name, made)

    async def finished(self, seconds: float) -> None:
        """Wait for calls that still write."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)

    def _unary(self, call: Unary, read: Callable[[bytes], Message]) -> Any:
        async def handle(sent: bytes, context: Context) -> Message:
            try:
                trusted = self._admit(call.kind, context)
                async with self._calling(context.peer()), asyncio.timeout(seconds_left(context)):
                    return await self._run(call, read(sent), trusted)
            except Exception as error:  # noqa: BLE001 - every error has its status; the unforeseen is logged there
                await abort_with(context, error)

        return handle

    def _stream(self, call: Stream, read: Callable[[bytes], Message]) -> Any:
        async def handle(sent: bytes, context: Context) -> None:
            try:
                self._admit(call.kind, context)
                async with self._calling(context.peer()):
                    await call.stream(read(sent), context)
            except grpc.aio.AbortError:
                raise
            except grpc.aio.InternalError:
                # gRPC cannot write any more: the watcher disconnected.
                return
            except Exception as error:  # noqa: BLE001 - as above
                await abort_with(context, error)

        return handle

    def _admit(self, kind: Kind, context: Context) -> bool:
        return self._access.admit(kind, caller_of(context.invocation_metadata() or ()))

    async def _run(self, call: Unary, request: Message, trusted: bool) -> Message:
        if len(self._running) >= self._at_once:
            raise TooBusy(f"{self._at_once} calls run already")
        work = asyncio.ensure_future(call.answer(request, trusted))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        return await (asyncio.shield(work) if call.keeps else work)


def seconds_left(context: Timed) -> float:
    """Return how many seconds a call has; most clients set no deadline. Raises ``TimeoutError`` where it has passed."""
    left = context.time_remaining()
    if left is not None and left <= 0:
        raise TimeoutError
    return CALL_SECONDS if left is None else min(left, CALL_SECONDS)


def caller_of(metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
    texts = {name.lower(): value for name, value in metadata if isinstance(value, str)}
    token = sent_token(texts.get("authorization"), texts.get("kong-admin-token"))
    return Caller(token=token, origin=texts.get("origin"), fetch_site=texts.get("sec-fetch-site"))


def _reader(kind: type[Message]) -> Callable[[bytes], Message]:
    def read(sent: bytes) -> Message:
        try:
            return kind.FromString(sent)
        except DecodeError as error:
            raise BadArgument(f"the request is no {kind.DESCRIPTOR.full_name}: {error}") from error

    return read


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()
