"""Which strings are templates."""

import pytest

from kong_eventhooks_plugin.handlers.request_templates import content_type, nest_errors, rendered, templates
from kong_eventhooks_plugin.sandbox.tasks import EscapeContext, Template

TAG = "{{ x }}"


def test_payload_and_body_by_default_headers_and_url_on_request() -> None:
    config = {
        "url": f"http://h/{TAG}",
        "headers": {"a": TAG, "b": "plain"},
        "body": TAG,
        "payload": {"p": [TAG, {"q": TAG}], "n": 1},
    }
    names = [each.name for each in templates(config)]
    assert names == ["config.body", "config.payload.p[0]", "config.payload.p[1].q"]
    every = templates(config | {"headers_format": True, "url_format": True})
    assert [each.name for each in every][:2] == ["config.url", "config.headers.a"]
    none = templates(config | {"payload_format": False, "body_format": False})
    assert none == []


def test_results_are_put_back_where_they_came_from() -> None:
    config = {"payload": {"p": [TAG, {"q": TAG}], "n": 1, "s": "plain"}, "body": None}
    request = rendered(config, ["one", "two"])
    assert request.payload == {"p": ["one", {"q": "two"}], "n": 1, "s": "plain"}


@pytest.mark.parametrize(
    ("header", "place"),
    [
        ("application/json", "json"), ("application/cloudevents+json; charset=utf-8", "json"), ("text/html", "html"),
        ("application/soap+xml", "html"), ("TEXT/XML", "html"), ("application/x-www-form-urlencoded", "form"),
        ("text/plain", "plain"), (None, "plain"),
    ],
)  # fmt: skip
def test_a_body_is_escaped_for_its_content_type(header: str | None, place: EscapeContext) -> None:
    config = {"body": TAG, "headers": {"Content-Type": header} if header else None}
    assert templates(config) == [Template("config.body", TAG, place)]
    assert content_type(config["headers"] or {}) == header  # type: ignore[arg-type]


def test_faults_have_the_shape_of_the_definition() -> None:
    assert nest_errors({"config.payload.a.b[0]": "x", "config.headers.x.y": "y", "config.body": "z"}) == {
        "config": {"payload": {"a.b[0]": "x"}, "headers": {"x.y": "y"}, "body": "z"}
    }
