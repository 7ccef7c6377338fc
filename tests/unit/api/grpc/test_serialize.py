"""The model's values as messages: every word of the model has its number, every message its size."""

from typing import get_args, get_type_hints

from kong_eventhooks_plugin.api.grpc import serialize
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import deliveries_pb2, events_pb2, hooks_pb2
from kong_eventhooks_plugin.api.service.deliveries import DeliveryDetail
from kong_eventhooks_plugin.api.service.presenter import result_view
from kong_eventhooks_plugin.model.delivery import Answer, Attempt, Delivery, State
from kong_eventhooks_plugin.model.suppression import Suppressed
from kong_eventhooks_plugin.queue.contract import HeldBack
from tests.support.api import Api
from tests.support.events import make_event


def test_every_word_of_the_model_has_its_number() -> None:
    for words, enum in (
        (get_args(State), deliveries_pb2.DeliveryState),
        (get_args(HeldBack), events_pb2.HeldBackReason),
        (get_args(get_type_hints(Attempt)["outcome"]), deliveries_pb2.AttemptOutcome),
    ):
        prefix = enum.Name(0).removesuffix("UNSPECIFIED")
        found = serialize.numbers(enum.DESCRIPTOR)
        assert {word: enum.Name(number) for word, number in found.items()} == {
            word: f"{prefix}{word.upper()}" for word in words
        }


def result(answer: Answer) -> hooks_pb2.HandlerResult:
    return serialize.to_message(hooks_pb2.HandlerResult, result_view(answer))


def test_repeated_headers_are_joined() -> None:
    found = result(Answer(200, b"ok", (("X-A", "1"), ("X-B", "b"), ("X-A", "2"))))
    assert (found.status, dict(found.headers), found.body) == (200, {"X-A": "1, 2", "X-B": "b"}, b"ok")
    assert not result(Answer()).HasField("status")


async def test_a_page_has_fewer_entries_where_they_are_large() -> None:
    sizes = []

    async def page(size: int) -> tuple[hooks_pb2.ListHooksResponse, int]:
        sizes.append(size)
        hooks = [hooks_pb2.Hook(name="x" * 1_000_000) for _ in range(min(size, 9))]
        return hooks_pb2.ListHooksResponse(hooks=hooks), len(hooks)

    found = await serialize.fitting(None, page)
    assert (sizes, len(found.hooks)) == ([100, 4, 2], 2)


async def test_one_entry_is_sent_however_large() -> None:
    async def page(size: int) -> tuple[hooks_pb2.ListHooksResponse, int]:
        return hooks_pb2.ListHooksResponse(hooks=[hooks_pb2.Hook(name="x" * 5_000_000)] * size), size

    assert len((await serialize.fitting(3, page)).hooks) == 1


async def test_a_delivery_is_sent_without_its_oldest_attempts_where_they_are_large(api: Api) -> None:
    body = b"x" * 20_000
    attempts = tuple(Attempt(number, 1.5, 0.25, "retry", "status", "500", 500, body) for number in range(1, 301))
    delivery = Delivery("d", make_event(), "h", "custom", "dead", 300, 1.0, 1.0, 2.0, "exhausted")
    view = api.service.presenter.delivery_detail(DeliveryDetail(delivery, attempts))
    message = serialize.delivery_detail_message(view)
    assert message.ByteSize() <= serialize.PAGE_BYTES + 1_000
    numbers = [attempt.number for attempt in message.attempts]
    assert numbers == list(range(301 - len(numbers), 301))
    assert len(numbers) > 100
    assert (message.attempts[0].duration.nanos, message.delivery.attempt_count) == (250_000_000, 300)


async def test_a_delivery_has_what_was_held_back_before_it(api: Api) -> None:
    for count in (None, Suppressed(12, 5.5, 7)):
        delivery = Delivery("d", make_event(), "h", "custom", "pending", 0, 1.0, 1.0, suppressed=count)
        message = serialize.delivery_detail_message(api.service.presenter.delivery_detail(DeliveryDetail(delivery, ())))
        found = message.delivery
        assert found.HasField("suppressed") is (count is not None)
    held = found.suppressed
    assert (held.count, held.since.ToNanoseconds(), held.unread) == (12, 5_500_000_000, 7)
