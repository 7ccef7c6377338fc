"""The phases, driven by hand: what they ask, in which order, and what they see."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server.log_first import STREAK
from kong_eventhooks_plugin.kong.plugin_server.node_question import EVERY, NodeQuestion
from kong_eventhooks_plugin.kong.plugin_server.pdk import FUNCTIONS
from kong_eventhooks_plugin.kong.plugin_server.phases import (
    LINES_PER_CALL,
    PHASES,
    Observation,
    Steps,
    all_steps,
    submit_observation,
)
from kong_eventhooks_plugin.model.kong_node import KongNode, NodeIdentity
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.model.observation import ChangeObservation, LogObservation
from kong_eventhooks_plugin.sources.requests.kong_log import decode
from tests.support.plugin_socket import INFOS, NOW, RecordingHost

STATUS, LOG, METHOD = "kong.response.get_status", "kong.log.serialize", "kong.request.get_method"


def drive(steps: Steps | None, answers: dict[str, Any]) -> tuple[list[str], Observation | None]:
    """Run a phase; return what it asked and what it saw."""
    asked: list[str] = []
    if steps is None:
        return asked, None
    try:
        question = next(steps)
        while True:
            asked.append(question.name)
            question = steps.send(answers.get(question.name))
    except StopIteration as done:
        return asked, _without_log(done.value)


def _without_log(seen: Observation | None) -> Observation | None:
    """Return what was seen without what is read of it, which must be what its reader makes of it."""
    if not isinstance(seen, LogObservation) or seen.log is None:
        return seen
    assert seen.log.response == decode(seen.serialized).response
    return replace(seen, log=None)


def run(host: RecordingHost, plugin: str, phase: str, **answers: Any) -> tuple[list[str], Observation | None]:
    named = {STATUS: answers.get("status"), LOG: answers.get("log"), METHOD: answers.get("method")}
    return drive(all_steps(PHASES[plugin, phase], host.plugin_host(), lambda: NOW), named)


def test_kong_calls_no_phase_that_is_not_there() -> None:
    assert set(PHASES) == {(name, phase) for name, info in INFOS.items() for phase in info["Phases"]}


def test_no_hook_cares_nothing_is_asked() -> None:
    assert all_steps(PHASES["event-hooks", "log"], RecordingHost().plugin_host(), lambda: NOW) is None


def test_another_status_ends_after_one_question() -> None:
    assert run(RecordingHost(429), "event-hooks", "log", status=200) == ([STATUS], None)


class Quiet:
    """Skips what it is told to."""

    def __init__(self, *skipped: int, now: bool = True) -> None:
        self.skipped = skipped
        self.now = now

    def skips(self, status: int) -> bool:
        return status in self.skipped


def test_a_log_that_need_not_be_read_is_not_asked_for() -> None:
    host = RecordingHost(429, 503)
    host.quiet = Quiet(429)
    for _ in range(STREAK):
        assert run(host, "event-hooks", "log", status=429) == ([STATUS], None)
    assert run(host, "event-hooks", "log", status=503, log="{}")[0] == [STATUS, LOG]


@pytest.mark.parametrize(("quiet", "asked"), [(True, [STATUS]), (False, [LOG])])
def test_then_the_log_does_not_go_first(quiet: bool, asked: list[str]) -> None:
    host = RecordingHost(429)
    log = '{"response": {"status": 429}}'
    for _ in range(STREAK):
        run(host, "event-hooks", "log", status=429, log=log)
    host.quiet = Quiet(429, now=quiet)
    assert run(host, "event-hooks", "log", status=429, log=log)[0] == asked


def test_a_status_that_a_hook_cares_for() -> None:
    seen = LogObservation("event-hooks", 429, "{}", NOW)
    assert run(RecordingHost(429, 503), "event-hooks", "log", status=429, log="{}") == ([STATUS, LOG], seen)


REFUSED, SERVED = '{"response": {"status": 429}}', '{"response": {"status": 200}}'


def flooded(log: str = REFUSED) -> RecordingHost:
    """A host that has seen as many refusals in a row as it takes to ask for the log first."""
    host = RecordingHost(429)
    for _ in range(STREAK):
        assert run(host, "event-hooks", "log", status=429, log=log)[0] == [STATUS, LOG]
    return host


def test_in_a_flood_the_log_is_asked_for_and_nothing_else() -> None:
    seen = LogObservation("event-hooks", 429, REFUSED, NOW)
    assert run(flooded(), "event-hooks", "log", log=REFUSED) == ([LOG], seen)


def test_a_flood_ends_with_the_first_other_status() -> None:
    host = flooded()
    assert run(host, "event-hooks", "log", status=200, log=SERVED) == ([LOG, STATUS], None)
    assert run(host, "event-hooks", "log", status=429, log=REFUSED)[0] == [STATUS, LOG]


def test_a_log_that_another_plugin_has_edited_decides_nothing() -> None:
    seen = LogObservation("event-hooks", 429, SERVED, NOW)
    assert run(flooded(), "event-hooks", "log", status=429, log=SERVED) == ([LOG, STATUS], seen)
    assert run(flooded(SERVED), "event-hooks", "log", status=429, log=SERVED) == ([STATUS, LOG], seen)


@pytest.mark.parametrize("log", [None, "", "[]", '{"response": {"status": "429"}}', '{"response": {}}', b"\xff"])
def test_in_a_flood_a_log_without_a_status_is_no_obstacle(log: Any) -> None:
    host = flooded()
    assert run(host, "event-hooks", "log", status=200, log=log) == ([LOG, STATUS], None)
    assert not host.log_first.now


def test_the_crud_plugin_only_answers_where_nobody_hears_of_changes() -> None:
    assert run(RecordingHost(429), "event-hooks-crud", "response", status=429) == ([], None)
    assert run(RecordingHost(429), "event-hooks-crud", "log", status=429) == ([], None)


@pytest.mark.parametrize("plugin", INFOS)
@pytest.mark.parametrize("statuses", [(), (429,)])
def test_lines_go_out_in_log_oldest_first_and_so_many(plugin: str, statuses: tuple[int, ...]) -> None:
    host = RecordingHost(*statuses)
    host.lines.extend(LogLine("err" if number % 2 else "notice", str(number)) for number in range(LINES_PER_CALL + 3))
    steps = all_steps(PHASES[plugin, "log"], host.plugin_host(), lambda: NOW)
    assert steps is not None
    lines = []
    try:
        question = next(steps)
        while True:
            if question.name != STATUS:
                lines.append((question.name, question.args))
            question = steps.send(200 if question.name == STATUS else None)
    except StopIteration:
        pass
    assert lines == [
        (f"kong.log.{'err' if number % 2 else 'notice'}", (str(number),)) for number in range(LINES_PER_CALL)
    ]
    assert [line.text for line in host.lines] == [str(LINES_PER_CALL + more) for more in range(3)]
    assert len(host.written_lines) == LINES_PER_CALL


def test_a_line_whose_connection_ends_waits_again() -> None:
    host = RecordingHost()
    host.lines.extend([LogLine("err", "a"), LogLine("err", "b")])
    steps = all_steps(PHASES["event-hooks", "log"], host.plugin_host(), lambda: NOW)
    assert steps is not None
    next(steps)
    steps.send(None)
    steps.close()
    assert [line.text for line in host.written_lines] == ["a"]
    assert [line.text for line in host.lines] == ["b"]


def test_an_answer_to_a_line_that_cannot_be_read_costs_neither_the_line_nor_the_observation() -> None:
    host = RecordingHost(429)
    host.lines.append(LogLine("err", "a"))
    steps = all_steps(PHASES["event-hooks", "log"], host.plugin_host(), lambda: NOW)
    assert steps is not None
    assert [next(steps).name, steps.send(429).name, steps.send("{}").name] == [STATUS, LOG, "kong.log.err"]
    with pytest.raises(StopIteration) as done:
        steps.throw(BadMessage("not an Empty"))
    assert done.value.value is not None
    assert [line.text for line in host.written_lines] == ["a"]
    assert not host.lines


def test_lines_come_after_what_was_seen() -> None:
    host = RecordingHost(429)
    host.lines.append(LogLine("alert", "x"))
    asked, seen = run(host, "event-hooks", "log", status=429, log="{}")
    assert asked == [STATUS, LOG, "kong.log.alert"]
    assert seen is not None


def test_without_an_admin_api_the_response_phase_asks_nothing() -> None:
    host = msgspec.structs.replace(RecordingHost(hears_changes=True).plugin_host(), changes=None)
    assert all_steps(PHASES["event-hooks-crud", "response"], host, lambda: NOW) is None


def test_no_line_goes_out_in_response() -> None:
    host = RecordingHost(429)
    host.lines.append(LogLine("alert", "x"))
    assert run(host, "event-hooks-crud", "response") == ([], None)
    host.has_change_subscribers = True
    assert run(host, "event-hooks-crud", "response", method="GET") == ([METHOD], None)
    assert host.lines


@pytest.mark.parametrize("level", ["debug", "info", "notice", "warn", "err", "crit", "alert"])
def test_every_level_is_a_function(level: str) -> None:
    assert f"kong.log.{level}" in FUNCTIONS


@pytest.mark.parametrize(
    "answers", [{"status": None}, {"status": "429"}, {"status": 429, "log": None}, {"status": 429, "log": 5}]
)
def test_an_answer_that_cannot_be(answers: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        run(RecordingHost(429), "event-hooks", "log", **answers)


def test_what_was_seen_goes_to_whom_it_is_for() -> None:
    log, change = LogObservation("event-hooks", 429, "{}", NOW), ChangeObservation("PUT", "/a", 200, None, NOW, NOW)
    host = RecordingHost(accept=lambda seen: committed)  # type: ignore[arg-type,return-value]
    committed = object()
    assert submit_observation(host.plugin_host(), log) is committed  # type: ignore[comparison-overlap]
    assert submit_observation(host.plugin_host(), change) is None
    assert (host.seen, host.changes) == ([log], [change])


def test_which_node_it_is_is_asked_once_in_a_while_where_the_log_is_asked_for() -> None:
    identity, now, node_id = NodeIdentity(), NOW, "kong.node.get_id"
    host = msgspec.structs.replace(RecordingHost(429).plugin_host(), node=NodeQuestion(identity))

    def log(status: int, kongs_id: Any) -> tuple[list[str], Observation | None]:
        return drive(
            all_steps(PHASES["event-hooks", "log"], host, lambda: now), {STATUS: status, LOG: "{}", node_id: kongs_id}
        )

    assert log(200, "n1") == ([STATUS], None)
    asked, seen = log(429, "n1")
    assert asked == [STATUS, LOG, node_id]
    assert isinstance(seen, LogObservation)
    assert seen.node == KongNode("n1", identity.node.hostname)
    assert log(429, "n2")[0] == [STATUS, LOG]
    now += EVERY
    asked, seen = log(429, None)
    assert asked == [STATUS, LOG, node_id]
    assert isinstance(seen, LogObservation)
    assert seen.node == KongNode("n1", identity.node.hostname), "Kong does not say, and it was said before"
