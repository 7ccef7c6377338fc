"""One trace, whole: a request that Kong logged, the store, a restart, a real receiver and a real OTLP receiver."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.dispatch.event_spans import EventSpans
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.queue.sqlite.engine import SqliteQueue
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.telemetry import span_export
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from kong_eventhooks_plugin.telemetry.span_export import SpanExport, otlp_exporter
from tests.support.delivery_process import delivering
from tests.support.events import StandInBook, make_hook, seen, serialized
from tests.support.http_receiver import HttpReceiver, Request, answer
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan
from tests.support.waiting import SECONDS

KONGS = "59e717d947b51b06d96957d038d89921"
KONGS_SPAN = "4bd3408994338159"


def observed(flags: str = "01", request_id: str = "r-1") -> LogObservation:
    """A request that rate-limiting refused and that Kong traced."""
    headers = {"apikey": "joekey", "traceparent": f"00-{KONGS}-{KONGS_SPAN}-{flags}"}
    return seen(serialized(trace_id={"w3c": KONGS}, request={"id": request_id, "method": "GET", "headers": headers}))


class Process:
    """What one process has: the store opened, and spans on their way to a collector."""

    def __init__(self, path: Path, collector: str, clock: Callable[[], float]) -> None:
        self.queue = SqliteQueue(path, clock=clock)
        self.export = SpanExport(otlp_exporter(collector, {}), Metrics().counts)
        self.clock = clock

    async def accept(self, hook: Hook, observation: LogObservation, ratio: float | None = 1.0) -> str:
        """Return the id of the delivery that an observation causes; ``ratio`` None: tracing is off where it is seen."""
        spans = None if ratio is None else EventSpans(self.export.record, ratio, self.clock)
        dispatcher = Dispatcher(StandInBook(hook), self.queue, (RateLimiting(),), Metrics(), self.clock, spans=spans)
        future = dispatcher.observe(observation)
        assert future is not None
        return delivery_id((await future).event_id, hook.id)

    async def deliver(self, hook: Hook, delivery: str, attempts: int) -> None:
        """Deliver until so many attempts are written."""
        spans = DeliverySpans(self.export.record)
        async with delivering(self.queue, hook, "one", self.clock, spans), asyncio.timeout(SECONDS):
            while len(await self.queue.attempts(delivery)) < attempts:
                pass


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine under load may take its time to send the last spans."""
    monkeypatch.setattr(span_export, "END_SECONDS", SECONDS)


@asynccontextmanager
async def process(path: Path, collector: str, clock: Callable[[], float] = time.time) -> AsyncIterator[Process]:
    made = Process(path, collector, clock)
    await made.queue.open()
    yield made
    await made.queue.close()
    await made.export.close()


def later() -> float:
    """The time when the second attempt is due."""
    return time.time() + 3_600


def by_name(spans: list[ReceivedSpan]) -> dict[str, list[ReceivedSpan]]:
    return {name: [span for span in spans if span.name == name] for name in dict.fromkeys(span.name for span in spans)}


async def test_one_trace_from_the_observation_to_the_last_attempt_after_a_restart(tmp_path: Path) -> None:
    async with HttpReceiver(answer(503, b"the answer's body"), answer(200)) as receiver:
        url = receiver.url.replace("//", "//user:passw0rd@").replace("/hook", "/T0KEN/path?key=s3cret")
        hook = make_hook("told", handler="webhook", config={"url": url, "secret": "sign1ng"})
        with OtlpReceiver() as collector:
            observation = observed()
            async with process(tmp_path / "events.db", collector.url) as first:
                delivery = await first.accept(hook, observation)
                await first.deliver(hook, delivery, 1)
            async with process(tmp_path / "events.db", collector.url, later) as second:
                await second.deliver(hook, delivery, 2)
    spans = by_name(collector.spans)
    assert {name: len(found) for name, found in spans.items()} == {
        "publish rate-limiting": 1,
        "POST": 2,
        "deliver told": 1,
    }
    [publish], [deliver], (one, two) = spans["publish rate-limiting"], spans["deliver told"], spans["POST"]
    assert {span.trace_id for span in collector.spans} == {KONGS}
    assert (publish.parent_id, publish.remote_parent, deliver.parent_id) == (KONGS_SPAN, True, publish.span_id)
    assert one.parent_id == two.parent_id == deliver.span_id
    assert (publish.kind, deliver.kind, one.kind) == ("producer", "consumer", "client")
    assert publish.started_at == deliver.started_at == pytest.approx(observation.seen_at, abs=1e-5)
    assert publish.started_at < publish.ended_at < one.ended_at < two.started_at < two.ended_at == deliver.ended_at
    assert (one.failed, two.failed, deliver.failed) == (True, False, False)
    check_attributes(publish, deliver, one, two, delivery, receiver.port)
    assert [traceparent(request) for request in receiver.requests] == [
        f"00-{KONGS}-{span.span_id}-01" for span in (one, two)
    ]
    sent = b"".join(body for _, _, body in collector.requests)
    hidden = (b"passw0rd", b"T0KEN", b"s3cret", b"sign1ng", b"joekey", b"the answer's body")
    assert [secret for secret in hidden if secret in sent] == []


def check_attributes(
    publish: ReceivedSpan, deliver: ReceivedSpan, one: ReceivedSpan, two: ReceivedSpan, delivery: str, port: int
) -> None:
    event = delivery.partition("_")[0]
    message = {
        "messaging.system": "kong_event_hooks",
        "messaging.destination.name": "rate-limiting",
        "messaging.message.id": event,
    }
    assert publish.attributes == message | {
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "kong_event_hooks.event": "rate-limit-exceeded",
        "kong_event_hooks.hooks": 1,
    }
    assert deliver.attributes == message | {
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "kong_event_hooks.hook": "told",
        "kong_event_hooks.delivery_id": delivery,
        "kong_event_hooks.attempts": 2,
    }
    request = {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": port,
        "kong_event_hooks.hook": "told",
    }
    assert one.attributes == request | {"http.response.status_code": 503, "error.type": "503"}
    assert two.attributes == request | {"http.response.status_code": 200, "http.request.resend_count": 1}


def traceparent(request: Request) -> str | None:
    return request.headers.get("traceparent")


async def one_delivery(
    path: Path, observation: LogObservation, ratio: float | None
) -> tuple[Request, list[ReceivedSpan]]:
    async with HttpReceiver() as receiver:
        hook = make_hook("told", handler="webhook", config={"url": receiver.url})
        with OtlpReceiver() as collector:
            async with process(path, collector.url) as only:
                await only.deliver(hook, await only.accept(hook, observation, ratio), 1)
        return receiver.requests[0], collector.spans


async def test_a_trace_that_kong_does_not_record_is_continued_and_not_recorded(tmp_path: Path) -> None:
    request, spans = await one_delivery(tmp_path / "events.db", observed("00"), 1.0)
    version, trace_id, span_id, flags = str(traceparent(request)).split("-")
    assert (version, trace_id, flags, spans) == ("00", KONGS, "00", [])
    assert span_id != KONGS_SPAN


async def test_a_trace_that_begins_here_is_recorded_by_the_ratio(tmp_path: Path) -> None:
    request, spans = await one_delivery(tmp_path / "events.db", seen(serialized()), 0.0)
    assert (str(traceparent(request))[-3:], spans) == ("-00", [])


async def test_an_event_from_before_tracing_was_on_has_no_trace(tmp_path: Path) -> None:
    request, spans = await one_delivery(tmp_path / "events.db", observed(), None)
    assert (traceparent(request), spans) == (None, [])
    with sqlite3.connect(tmp_path / "events.db") as connection:
        assert connection.execute("SELECT trace FROM events").fetchall() == [(None,)]


async def test_an_event_that_is_reported_twice_or_fires_nothing_has_one_span_or_none(tmp_path: Path) -> None:
    hook = make_hook("told", on_change=True)
    with OtlpReceiver() as collector:
        async with process(tmp_path / "events.db", collector.url) as only:
            for request_id in ("r-1", "r-1", "r-2"):  # the third is unchanged
                await only.accept(hook, observed(request_id=request_id))
    assert [span.name for span in collector.spans] == ["publish rate-limiting"]


@pytest.mark.long
def test_nothing_of_opentelemetry_is_loaded_where_tracing_is_off() -> None:
    script = (
        "import sys; from kong_eventhooks_plugin.components import Components; "
        "from kong_eventhooks_plugin.settings import Settings; Components(Settings()); "
        "print([name for name in sys.modules if name.partition('.')[0] in ('opentelemetry', 'requests')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
