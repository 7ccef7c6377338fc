"""The source ``oas-validation``.

No open-source Kong can produce these: logs and plugins are WRITTEN FROM THE PUBLIC DOCUMENTATION (enterprise_logs.py).
"""

from typing import Any

import pytest

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.oas_validation import OasValidation
from tests.support.enterprise_logs import documented_validation_failure, documented_validation_plugin
from tests.support.events import events, seen
from tests.support.recorded_logs import plugin, plugins_of

RESPONSES = documented_validation_plugin(validate_response_body=True)
REFUSED_ANSWER = documented_validation_failure(upstream_status="200", response={"status": 406, "headers": {}})


def made(log: dict[str, Any], *plugins: dict[str, Any]) -> list[Event]:
    source = OasValidation(Attribution(plugins=plugins_of(*plugins)))
    status = log["response"]["status"]
    return events(source, seen(log, status)) if status in source.statuses() else []


def test_a_refused_request() -> None:
    (event,) = made(documented_validation_failure(), documented_validation_plugin(), plugin("key-auth"))
    assert (event.source, event.event, event.unique) == (
        "oas-validation", "validation-failed", ("consumer", "ip", "service"),
    )  # fmt: skip
    assert list(event.data) == ["consumer", "ip", "service", "err", "phase", "status", "route", "request", "node"]
    assert (event.data["err"], event.data["phase"], event.data["status"]) == (None, "request", 400)
    assert (event.data["consumer"]["username"], event.data["service"]["name"]) == ("Joe", "demo")


def test_a_refused_answer() -> None:
    (event,) = made(REFUSED_ANSWER, RESPONSES)
    assert (event.data["phase"], event.data["status"]) == ("response", 406)


@pytest.mark.parametrize(
    ("log", "plugins"),
    [
        (documented_validation_failure(), [plugin("cors")]),  # it is not in force
        (documented_validation_failure(), [documented_validation_plugin(service="elsewhere")]),
        (documented_validation_failure(), [documented_validation_plugin(notify_only_request_validation_failure=True)]),
        (documented_validation_failure(), [documented_validation_plugin(), plugin("request-validator")]),
        (documented_validation_failure(), [documented_validation_plugin(), plugin("my-plugin")]),
        (documented_validation_failure(route=None), [documented_validation_plugin(service=None)]),  # Kong's own 400
        (documented_validation_failure(source="upstream"), [documented_validation_plugin()]),
        (documented_validation_failure(upstream_status="400"), [documented_validation_plugin()]),
        (REFUSED_ANSWER, [documented_validation_plugin()]),  # it does not validate answers
        (REFUSED_ANSWER | {"source": "upstream"}, [RESPONSES]),
        (REFUSED_ANSWER | {"upstream_status": ""}, [RESPONSES]),
        (
            REFUSED_ANSWER,
            [
                documented_validation_plugin(
                    validate_response_body=True, notify_only_response_body_validation_failure=True
                )
            ],
        ),
    ],
)
def test_what_is_not_it(log: dict[str, Any], plugins: list[dict[str, Any]]) -> None:
    assert made(log, *plugins) == []


def test_it_needs_no_status_where_no_instance_can_answer() -> None:
    assert OasValidation().statuses() == frozenset()
    assert OasValidation(Attribution(plugins=plugins_of(plugin("cors")))).statuses() == frozenset()
    assert OasValidation(Attribution(plugins=plugins_of(documented_validation_plugin()))).statuses() == {400}
    assert OasValidation(Attribution(plugins=plugins_of(RESPONSES))).statuses() == {400, 406}


def test_without_knowing_the_plugins_there_is_no_event() -> None:
    assert events(OasValidation(), seen(documented_validation_failure(), 400)) == []
