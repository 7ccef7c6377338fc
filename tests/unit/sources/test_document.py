"""docs/sources.md says what the catalogue does."""

from pathlib import Path

from msgspec.structs import replace

from kong_eventhooks_plugin.model.kong_node import KongNode
from kong_eventhooks_plugin.sources.catalogue import BY_NAME, SOURCES
from kong_eventhooks_plugin.sources.document import document, example, kind_text
from kong_eventhooks_plugin.sources.node_field import NODE
from kong_eventhooks_plugin.sources.nulls import without_nulls
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from tests.support.events import events, recorded

PAGE = Path(__file__).parents[3] / "docs" / "sources.md"


def test_the_page_is_up_to_date() -> None:
    fresh = "run: python -m kong_eventhooks_plugin.sources.document > docs/sources.md"
    assert PAGE.read_text(encoding="utf-8") == document(), fresh


def test_every_source_event_and_field_is_on_it() -> None:
    page = document()
    for source in SOURCES:
        assert f"| `{source.name}` |" in page
        shown = [(family.shown, family.entry) for family in source.families]
        for name, event in shown or [(event.name, event) for event in source.events]:
            assert f"### `{name}`" in page
            assert all(
                f"| `{field.name}` | {kind_text(field.type())} | {field.description} |" in page
                for field in event.fields
            )


def test_the_example_is_what_a_recorded_request_becomes() -> None:
    node = KongNode(**NODE.example)
    event = without_nulls(*events(RateLimiting(), replace(recorded()[8], node=node)))
    shown = example(BY_NAME["rate-limiting"], BY_NAME["rate-limiting"].events[0])
    assert {"source": event.source, "event": event.event, **event.data} == shown
    assert [*shown] == ["source", "event", *event.data]
