"""From the model's values to views."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import asdict, replace

from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.api.service.deliveries import DeliveryDetail
from kong_eventhooks_plugin.api.service.feed import LiveEvent
from kong_eventhooks_plugin.api.service.hook_tests import HookTestResult
from kong_eventhooks_plugin.delivery.attempts import sent_event
from kong_eventhooks_plugin.handlers.http_client import MAX_BODY_BYTES
from kong_eventhooks_plugin.handlers.webhook_body import event_body
from kong_eventhooks_plugin.model.delivery import (
    Answer,
    Attempt,
    Delivered,
    Delivery,
    Headers,
    Outcome,
    SentRequest,
)
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.model.suppression import Suppressed
from kong_eventhooks_plugin.preview.dry_run import FilterVerdict, HookPreview, SuppressionVerdict
from kong_eventhooks_plugin.queue.contract import Accepted, Receipt

NameOf = Callable[[str], str | None]
"""Takes a hook's id and returns its name, None where it has none or was removed."""


class Presenter:
    def __init__(self, name_of: NameOf) -> None:
        self._name_of = name_of

    def names(self, hook_ids: Iterable[str]) -> tuple[str | None, ...]:
        return tuple(map(self._name_of, hook_ids))

    def delivery(self, delivery: Delivery) -> views.DeliveryView:
        return views.DeliveryView(
            id=delivery.id,
            event_hook=self._hook(delivery.hook_id),
            source=delivery.source,
            event=delivery.event.event,
            event_id=delivery.event.id,
            state=delivery.state,
            reason=delivery.reason,
            attempt_count=delivery.attempts,
            created_at=delivery.created_at,
            due_at=delivery.due_at if delivery.settled_at is None else None,
            settled_at=delivery.settled_at,
            last_status=delivery.last_status,
            last_error=delivery.last_error,
            suppressed=_suppressed(delivery.suppressed),
        )

    def delivery_detail(self, detail: DeliveryDetail) -> views.DeliveryDetailView:
        return views.DeliveryDetailView(
            **asdict(self.delivery(detail.delivery)),
            data=detail.delivery.event.data,
            attempts=[_attempt(attempt, detail.delivery) for attempt in detail.attempts],
        )

    def accepted(self, accepted: Accepted) -> views.AcceptedEventView:
        event = accepted.event
        return views.AcceptedEventView(
            **_event_fields(event),
            accepted_at=accepted.accepted_at,
            fired=[
                views.FiredView(self._hook(hook_id), delivery_id(event.id, hook_id), state)
                for hook_id, state in accepted.fired.items()
            ],
            held_back=self._held_back(accepted.held_back),
        )

    def live_event(self, live: LiveEvent) -> views.LiveEventView:
        return views.LiveEventView(
            **_event_fields(live.event),
            fired=self._fired(live.event.id, live.receipt.fired),
            held_back=self._held_back(live.receipt.held_back),
        )

    def receipt(self, receipt: Receipt) -> views.ReceiptView:
        return views.ReceiptView(
            id=receipt.event_id,
            duplicate=receipt.duplicate,
            fired=self._fired(receipt.event_id, receipt.fired),
            held_back=self._held_back(receipt.held_back),
            undecided=receipt.spooled,
        )

    def preview(self, preview: HookPreview) -> views.PreviewView:
        hook, handled = preview.hook, preview.handled
        outcome = handled.outcome
        return views.PreviewView(
            event_hook=views.HookNameView(hook.id, hook.given_name),
            handler=hook.handler,
            event=views.PreviewEventView(**_event_fields(preview.event)),
            fires=preview.mismatch is None and preview.held_back is None,
            mismatch=preview.mismatch,
            held_back=preview.held_back,
            filter=None if preview.filter is None else filter_view(preview.filter),
            suppression=None if preview.suppression is None else _suppression(preview.suppression),
            request=None if handled.request is None else request_view(handled.request),
            lines=[views.LineView(line.level, line.text) for line in handled.lines],
            result=handled.result.decode(errors="replace") or None,
            error=_failure(outcome),
            notes=list(handled.notes),
            limits=[views.LimitView(each.name, each.used, each.limit) for each in preview.used],
        )

    def _hook(self, hook_id: str) -> views.HookNameView:
        return views.HookNameView(hook_id, self._name_of(hook_id))

    def _fired(self, event_id: str, hook_ids: Iterable[str]) -> list[views.FiredView]:
        return [views.FiredView(self._hook(hook_id), delivery_id(event_id, hook_id)) for hook_id in hook_ids]

    def _held_back(self, held_back: Mapping[str, str]) -> list[views.HeldBackView]:
        return [views.HeldBackView(self._hook(hook_id), reason) for hook_id, reason in held_back.items()]


def tested_view(tested: HookTestResult) -> views.TestedView:
    parts = views_of_test(tested.answer, tested.request, tested.filter)
    return views.TestedView(data=tested.data, error=tested.error, **parts)


def views_of_test(answer: Answer | None, request: SentRequest | None, verdict: FilterVerdict | None) -> dict[str, Any]:
    """Return what is shown of a test, whether it arrived or not."""
    return {
        "result": None if answer is None else result_view(answer),
        "request": None if request is None else request_view(request),
        "filter": None if verdict is None else filter_view(verdict),
    }


def request_view(request: SentRequest) -> views.RequestView:
    headers, body = _headers(request.headers), views.BodyBytes(request.body)
    return views.RequestView(request.method, request.url, headers, body, request.size)


def _failure(outcome: Outcome | None) -> str | None:
    if isinstance(outcome, Delivered):
        return outcome.raised
    return None if outcome is None else outcome.detail


def filter_view(verdict: FilterVerdict) -> views.FilterVerdictView:
    parts = [views.FilterPartView(part.depth, part.text, part.value, part.error) for part in verdict.parts]
    return views.FilterVerdictView(verdict.expression, verdict.holds, verdict.error, parts)


def _suppression(verdict: SuppressionVerdict) -> views.SuppressionVerdictView:
    slot = verdict.slot
    return views.SuppressionVerdictView(
        on_change=verdict.on_change,
        snooze=verdict.snooze,
        verdict=verdict.verdict,
        fired_at=None if slot is None else slot.since or None,
        silent_until=None if slot is None else slot.until or None,
        held=0 if slot is None else slot.held,
    )


def result_view(answer: Answer) -> views.ResultView:
    """Return an endpoint's answer as Enterprise's test shows it."""
    return views.ResultView(views.BodyBytes(answer.body), _headers(answer.headers), answer.status)


def _headers(given: Headers) -> dict[str, str]:
    """Return headers by name; repeated ones are joined."""
    headers: dict[str, str] = {}
    for name, value in given:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _event_fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in ("id", "source", "event", "time", "data")}


def _attempt(attempt: Attempt, delivery: Delivery) -> views.AttemptView:
    return views.AttemptView(
        **asdict(attempt)
        | {
            "body": views.BodyBytes(attempt.body),
            "headers": _headers(attempt.headers),
            "request": None if attempt.request is None else _request(attempt.request, delivery),
        }
    )


def _request(request: SentRequest, delivery: Delivery) -> views.RequestView:
    if request.of_event:
        body = event_body(sent_event(delivery), delivery.source)[:MAX_BODY_BYTES]
        request = replace(request, body=body)
    return request_view(request)


def _suppressed(suppressed: Suppressed | None) -> views.SuppressedView | None:
    return None if suppressed is None else views.SuppressedView(**asdict(suppressed))
