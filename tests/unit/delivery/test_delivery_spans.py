"""The spans of a delivery that a scripted handler makes: what fails, what is retried, what has no endpoint."""

from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Discard, Outcome, Retry
from kong_eventhooks_plugin.model.trace import TraceParent, begin_trace
from kong_eventhooks_plugin.telemetry.spans import EndedSpan
from tests.support.delivery_world import scripted_hook, world

TRACE = begin_trace(TraceParent("0af7651916cd43dd8448eb211c80319c"), 1.0, 5.0)


async def spans_of(*outcomes: Outcome, endpoint: str | None = "https://[::1]:8443") -> list[EndedSpan]:
    """Return the spans of one delivery with these outcomes."""
    recorded: list[EndedSpan] = []
    hook = scripted_hook("told", config={"endpoint": endpoint, "method": "PUT"})
    async with world(hook, spans=DeliverySpans(recorded.append)) as made:
        made.handler.outcomes["told"] = list(outcomes)
        await made.offer(hook, trace=TRACE)
        await made.queue.settled(len(outcomes))
    return recorded


async def test_an_answer_that_ends_a_delivery_is_the_error_of_both_spans() -> None:
    attempt, delivery = await spans_of(Discard("gone", "answered 410", Answer(410)))
    assert (attempt.name, attempt.kind, attempt.error) == ("PUT", "client", "410")
    assert (delivery.name, delivery.kind, delivery.error) == ("deliver told", "consumer", "410")
    assert (attempt.attributes["server.address"], attempt.attributes["server.port"]) == ("::1", 8443)
    assert (delivery.started_at, delivery.parent_id) == (5.0, TRACE.span_id)


async def test_an_attempt_without_an_answer_has_the_class_of_its_error() -> None:
    [attempt] = await spans_of(Retry("tls", "the certificate of s3cret.example"))
    assert (attempt.error, "http.response.status_code" in attempt.attributes) == ("tls", False)
    assert "s3cret" not in str(attempt)


async def test_an_attempt_that_dials_nothing_is_no_client() -> None:
    attempt, _ = await spans_of(Delivered(), endpoint=None)
    assert (attempt.name, attempt.kind, attempt.error) == ("scripted", "internal", None)
    assert attempt.attributes == {"kong_event_hooks.hook": "told"}


async def test_the_handler_gets_the_attempts_own_span() -> None:
    recorded: list[EndedSpan] = []
    hook = scripted_hook("told")
    async with world(hook, spans=DeliverySpans(recorded.append)) as made:
        await made.offer(hook, trace=TRACE)
        [job] = await made.handler.called(1)
        await made.queue.settled(1)
    assert job.traceparent == TRACE.traceparent(recorded[0].span_id)
    assert recorded[0].parent_id == recorded[1].span_id
