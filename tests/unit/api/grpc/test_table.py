"""The tables of calls against proto/eventhooks/v1, and the generated stubs against both.

grpcio-testing plays the server for the stubs: it hands over which method was called, with which request, as objects.
That is all that is asked here, and needs no port. Whatever a handler does is tested on a real channel (tests/e2e):
grpcio-testing calls servicers from threads and does not await coroutines, which is what all our handlers are.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from kong_eventhooks_plugin.api.grpc.deliveries_calls import DeliveryCalls
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import (
    deliveries_pb2,
    deliveries_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    hooks_pb2,
    hooks_pb2_grpc,
    sources_pb2,
    sources_pb2_grpc,
)
from kong_eventhooks_plugin.api.grpc.events_calls import EventCalls
from kong_eventhooks_plugin.api.grpc.guard import Calls, Stream
from kong_eventhooks_plugin.api.grpc.hooks_calls import HookCalls, SourceCalls
from tests.support.api import Api

SERVICES: dict[ServiceDescriptor, Any] = {
    each: getattr(stubs, f"{each.name}Stub")
    for module, stubs in (
        (hooks_pb2, hooks_pb2_grpc),
        (sources_pb2, sources_pb2_grpc),
        (deliveries_pb2, deliveries_pb2_grpc),
        (events_pb2, events_pb2_grpc),
    )
    for each in module.DESCRIPTOR.services_by_name.values()
}
METHODS = [(service, method) for service in SERVICES for method in service.methods]


@pytest.fixture
def tables(api: Api) -> list[Calls]:
    return [
        HookCalls(api.service).table(),
        SourceCalls().table(),
        DeliveryCalls(api.service).table(),
        EventCalls(api.service).table(),
    ]


async def test_every_method_of_every_service_is_answered_once(tables: list[Calls]) -> None:
    assert [table.service for table in tables] == list(SERVICES)
    for table in tables:
        received = {method.name: method.server_streaming for method in table.service.methods}
        assert {call.name: isinstance(call, Stream) for call in table.calls} == received
        assert len(table.calls) == len(received)


OPEN = {"ListHooks", "GetHook", "ListSources"}
READ = {"ListDeliveries", "GetDelivery", "ListEvents", "Watch"}
NOTHING_KEPT = {"PingHook", "TestHook", "PreviewHook"}


async def test_what_needs_a_token_and_what_is_not_torn_apart(tables: list[Calls]) -> None:
    for call in (call for table in tables for call in table.calls):
        expected = "open" if call.name in OPEN else "read" if call.name in READ else "change"
        assert call.kind == expected, call.name
        if not isinstance(call, Stream):
            assert call.keeps == (expected == "change" and call.name not in NOTHING_KEPT), call.name


@pytest.mark.parametrize(("service", "method"), METHODS, ids=lambda each: each.name)
def test_the_generated_stub_of_each_method_calls_it(service: ServiceDescriptor, method: MethodDescriptor) -> None:
    channel = grpc_testing.channel(list(SERVICES), grpc_testing.strict_fake_time(0))
    stub = getattr(SERVICES[service](channel), method.name)
    request, response = (message_factory.GetMessageClass(kind)() for kind in (method.input_type, method.output_type))
    with ThreadPoolExecutor(1) as thread:
        if method.server_streaming:
            answers = thread.submit(lambda: list(stub(request)))
            _, sent, call = channel.take_unary_stream(method)
            call.send_initial_metadata(())
            call.send_response(response)
            call.terminate((), grpc.StatusCode.OK, "")
            assert answers.result(10) == [response]
        else:
            answer = thread.submit(stub, request)
            _, sent, call = channel.take_unary_unary(method)
            call.send_initial_metadata(())
            call.terminate(response, (), grpc.StatusCode.OK, "")
            assert answer.result(10) == response
    assert sent == request
