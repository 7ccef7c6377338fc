"""What it takes to add a source: one file with an entry and a decision, and one row in the catalogue."""

from pathlib import Path

import pytest

from kong_eventhooks_plugin.api.service.sources import event_of_source
from kong_eventhooks_plugin.dispatch.matcher import Matcher
from kong_eventhooks_plugin.kong.plugin_server import plugin_info
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources import catalogue, document
from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry
from kong_eventhooks_plugin.sources.requests import fields
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource
from tests.support.events import events, make_hook, seen, serialized


# The file: sources/requests/teapot.py.
class Teapot(RequestSource):
    entry = SourceEntry(
        "teapot",
        "A service is a teapot.",
        "0.2.0",
        (EventEntry("refused", "It answered 418.", (fields.SERVICE, EventField("status", "418.", 418)), ("service",)),),
    )

    def statuses(self) -> frozenset[int]:
        return frozenset((418,))

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        return [self.event(log, seen, {"status": seen.status})] if seen.status == 418 else []


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the row, as an editor would, and let the package see the catalogue that this makes."""
    text = Path(catalogue.__file__).read_text("utf-8")
    edited = text.replace("    UpstreamError,\n)", "    UpstreamError,\n    Teapot,\n)")
    assert edited != text
    module = {"__name__": catalogue.__name__, "Teapot": Teapot}
    exec(compile(edited, catalogue.__file__, "exec"), module)  # noqa: S102 - the file as a new source leaves it
    for name in ("REQUEST_SOURCES", "SOURCES", "BY_NAME"):
        monkeypatch.setattr(catalogue, name, module[name])
    monkeypatch.setattr(document, "SOURCES", module["SOURCES"])


def test_it_is_in_the_catalogue_and_kong_accepts_hooks_on_it() -> None:
    assert catalogue.events_of("teapot") == ("refused",)
    assert catalogue.unique_fields("teapot", "refused") == ("service",)
    assert plugin_info.known().sources["teapot"] == ("refused",)


def test_hooks_on_it_match_its_events() -> None:
    (source,) = [kind() for kind in catalogue.REQUEST_SOURCES if kind is Teapot]
    (event,) = events(source, seen(serialized(), 418))
    assert event.data["status"] == 418
    matcher = Matcher([make_hook("mine", source="teapot"), make_hook("other", source="auth")])
    assert len(matcher.match(event)) == 1


def test_it_is_on_the_page_with_its_example() -> None:
    page = document.document()
    assert "| `teapot` | `refused` | 0.2.0 | A service is a teapot. |" in page
    assert '"event": "refused"' in page


def test_the_api_lists_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kong_eventhooks_plugin.api.service.sources.BY_NAME", catalogue.BY_NAME)
    assert list(event_of_source("teapot", "refused").fields) == ["service", "status"]
