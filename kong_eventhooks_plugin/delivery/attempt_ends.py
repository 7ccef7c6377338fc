"""What follows an attempt's end: it is settled, its endpoint judged; it is counted, logged and traced."""

from kong_eventhooks_plugin.delivery.activity import Activity, PastAttempt
from kong_eventhooks_plugin.delivery.attempts import AttemptResult
from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.delivery.endpoint_switch import EndpointSwitch
from kong_eventhooks_plugin.delivery.hook_readiness import Ready
from kong_eventhooks_plugin.delivery.lanes import Lane
from kong_eventhooks_plugin.delivery.reports import DeliveryReporter
from kong_eventhooks_plugin.delivery.settler import Settler
from kong_eventhooks_plugin.model.delivery import Delivery


class AttemptEnds:
    """``spans`` is there where tracing is on."""

    def __init__(
        self,
        settler: Settler,
        endpoints: EndpointSwitch,
        reports: DeliveryReporter,
        activity: Activity,
        spans: DeliverySpans | None,
    ) -> None:
        self._settler = settler
        self._endpoints = endpoints
        self._reports = reports
        self._activity = activity
        self._spans = spans

    def ended(self, lane: Lane, delivery: Delivery, ready: Ready, made: AttemptResult) -> None:
        settlement = made.decision.settlement
        self._settler.settle(settlement, prompt=lane.in_order)
        if lane.in_order:
            lane.check_at = None  # until this is on record, it is the first
        if settlement.due_at is not None:
            lane.expect_work(settlement.due_at)
        self._endpoints.attempted(ready, made)
        self._reports.attempted(ready.hook, delivery, made.outcome, settlement, made.at)
        if (attempt := settlement.attempt) is not None:
            past = PastAttempt(made.at, attempt.outcome, attempt.error, attempt.status, delivery.id)
            self._activity.record(delivery.hook_id, past)
        if self._spans is not None and made.span_id is not None:
            self._spans.attempted(made.span_id, delivery, ready, settlement)

    def cut_off(self, delivery: Delivery, ready: Ready) -> None:
        """Give back what was under way when it had to end here; it may have arrived."""
        if ready.breaker is not None:
            ready.breaker.abandon()
        self._settler.release(delivery)
