"""How long a call may take, on grpcio-testing's clock.

The rule is a plain function of a ServicerContext, so a servicer that is no coroutine can call it, and grpcio-testing's
server controls the time: no waiting, and to the second. That the server obeys the rule is tested on a real channel.
"""

import queue
import threading
from typing import Any

import grpc
import grpc_testing
import pytest

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import events_pb2, events_pb2_grpc
from kong_eventhooks_plugin.api.grpc.guard import seconds_left
from kong_eventhooks_plugin.api.service.access import CALL_SECONDS

SERVICE = events_pb2.DESCRIPTOR.services_by_name["EventService"]


class Asking(events_pb2_grpc.EventServiceServicer):
    """Asks how long it has, when the test says so."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.received: queue.Queue[float | None] = queue.Queue()

    def Publish(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        assert self.go.wait(10)
        try:
            self.received.put(seconds_left(context))
        except TimeoutError:
            self.received.put(None)
        return events_pb2.PublishResponse()


def left_of(timeout: float | None, passed: float) -> tuple[float | None, grpc.StatusCode]:
    """Return what is left of ``timeout`` after ``passed`` seconds, and how the call ended."""
    time = grpc_testing.strict_fake_time(1_000.0)
    servicer = Asking()
    server = grpc_testing.server_from_dictionary({SERVICE: servicer}, time)
    method = SERVICE.methods_by_name["Publish"]
    call = server.invoke_unary_unary(method, (), events_pb2.PublishRequest(), timeout)
    time.sleep_for(passed)
    servicer.go.set()
    received = servicer.received.get(timeout=10)
    _, _, code, _ = call.termination()
    return received, code


@pytest.mark.parametrize(
    ("timeout", "passed", "left"),
    [(5.0, 3.0, 2.0), (5.0, 0.0, 5.0), (600.0, 1.0, CALL_SECONDS), (61.0, 2.0, 59.0), (None, 7.0, CALL_SECONDS)],
)
def test_a_call_has_what_is_left_of_its_deadline(timeout: float | None, passed: float, left: float) -> None:
    assert left_of(timeout, passed) == (left, grpc.StatusCode.OK)


@pytest.mark.parametrize("passed", [5.0, 9.0])
def test_a_call_whose_deadline_passed_has_nothing(passed: float) -> None:
    assert left_of(5.0, passed) == (None, grpc.StatusCode.DEADLINE_EXCEEDED)
