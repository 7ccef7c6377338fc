"""DeliveryService."""

from typing import Any, Final

from google.protobuf.message import Message

from kong_eventhooks_plugin.api.grpc import parse
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import deliveries_pb2 as pb
from kong_eventhooks_plugin.api.grpc.guard import Calls, Unary
from kong_eventhooks_plugin.api.grpc.serialize import delivery_detail_message, fitting, numbers, to_message
from kong_eventhooks_plugin.api.service.deliveries import SETTLED, Settled
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.model.delivery import State
from kong_eventhooks_plugin.queue.contract import DeliveryFilter

_NUMBERS: Final = numbers(pb.DeliveryState.DESCRIPTOR)
_STATES: Final[dict[int, Any]] = {number: state for state, number in _NUMBERS.items()}
_SETTLED: Final[dict[int, Settled]] = {
    pb.DELIVERY_STATE_UNSPECIFIED: "dead",
    **{_NUMBERS[state]: state for state in SETTLED},
}


class DeliveryCalls:
    def __init__(self, service: Service) -> None:
        self._hooks = service.hooks
        self._deliveries = service.deliveries
        self._present = service.presenter

    def table(self) -> Calls:
        return Calls(
            pb.DESCRIPTOR.services_by_name["DeliveryService"],
            (
                Unary("ListDeliveries", self.page, "read"),
                Unary("GetDelivery", self.get, "read"),
                Unary("ReplayDelivery", self.replay, "change", keeps=True),
                Unary("ReplayDeliveries", self.replay_all, "change", keeps=True),
            ),
        )

    async def page(self, request: pb.ListDeliveriesRequest, _: bool) -> Message:
        where = DeliveryFilter(
            hook_id=self._hooks.id_of(parse.given_text(request.hook, "hook")),
            state=_state(request.state),
            source=parse.given_text(request.source, "source"),
            since=parse.moment(request, "since"),
            until=parse.moment(request, "until"),
            event_prefix=parse.given_text(request.event_id, "event_id"),
        )

        async def page(size: int) -> tuple[pb.ListDeliveriesResponse, int]:
            found = await self._deliveries.page(where, size, request.page_token or None)
            deliveries = [to_message(pb.Delivery, self._present.delivery(delivery)) for delivery in found.deliveries]
            response = pb.ListDeliveriesResponse(deliveries=deliveries, next_page_token=found.next_offset or "")
            return response, len(deliveries)

        return await fitting(parse.size(request.page_size), page)

    async def get(self, request: pb.GetDeliveryRequest, _: bool) -> Message:
        detail = await self._deliveries.get(parse.needed(request.id, "id"))
        return delivery_detail_message(self._present.delivery_detail(detail))

    async def replay(self, request: pb.ReplayDeliveryRequest, _: bool) -> Message:
        delivery = await self._deliveries.replay(parse.needed(request.id, "id"))
        return pb.ReplayDeliveryResponse(delivery=to_message(pb.Delivery, self._present.delivery(delivery)))

    async def replay_all(self, request: pb.ReplayDeliveriesRequest, _: bool) -> Message:
        hook = self._hooks.get(parse.needed(request.hook, "hook"))
        state = _SETTLED.get(request.state)
        if state is None:
            raise ValidationError({"state": "expected DEAD or DELIVERED: nothing else can be replayed"})
        replayed = await self._deliveries.replay_of_hook(
            hook.id, parse.moment(request, "since"), parse.moment(request, "until"), state
        )
        return pb.ReplayDeliveriesResponse(replayed=replayed.count, refused=replayed.refused, more=replayed.more)


def _state(number: int) -> State | None:
    if number == pb.DELIVERY_STATE_UNSPECIFIED:
        return None
    state: State | None = _STATES.get(number)
    if state is None:
        raise ValidationError({"state": "no such state"})
    return state
