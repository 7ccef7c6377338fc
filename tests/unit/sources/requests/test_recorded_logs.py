"""What each request of tests/captures/logs becomes: with the plugins of that Kong known, and without."""

from collections.abc import Iterator
from typing import Any

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.auth import AuthFailed
from kong_eventhooks_plugin.sources.requests.rate_limit_approaching import RateLimitApproaching
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource
from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from kong_eventhooks_plugin.sources.requests.upstream import UpstreamError
from tests.support.events import events
from tests.support.recorded_logs import UNKNOWN_PLUGINS, plugins_of, recorded_logs

Told = tuple[Any, ...]

FAILED = ("ip", "port", "state", "code")


def limit(source: str, limit: int, window: str, attributed: str, name: str | None = None) -> Told:
    return (source, limit, window, name, attributed)


def upstream(tries: int, upstream_status: str | None) -> Told:
    return ("upstream", tries, upstream_status)


def auth(plugins: list[str] | None, challenge: str | None = None) -> Told:
    return ("auth", plugins, challenge)


def near(used: int, percent: int) -> Told:
    return ("rate-limit-approaching", used, percent)


# name -> with the plugins known; and without, where that is something else
BECOMES: dict[str, tuple[list[Told], list[Told] | None]] = {
    "no-target": ([upstream(0, None)], None),
    "unhealthy-1": ([upstream(4, "502, 502, 502, 502 : ")], None),  # the fifth try found no healthy target
    "unhealthy-2": ([upstream(0, None)], None),
    "refused": ([upstream(2, "502, 502")], None),
    "two-targets": ([upstream(4, "502, 502, 502, 502")], None),
    "timeout": ([upstream(2, "504, 504")], None),
    "no-name": ([upstream(0, None)], None),
    "reset": ([upstream(1, "502")], None),
    "upstream-502": ([], None),
    "upstream-503": ([], None),
    "buffered-refused": ([upstream(2, None)], None),
    "buffered-timeout": ([upstream(1, None)], None),
    "key-missing": ([auth(["key-auth"], 'Key realm="demo"')], [auth(None, 'Key realm="demo"')]),
    "key-wrong": ([auth(["key-auth"], 'Key realm="demo"')], [auth(None, 'Key realm="demo"')]),
    "acl": ([auth(["acl"])], [auth(None)]),
    "ip-restriction": ([auth(["ip-restriction"])], [auth(None)]),
    "basic": ([auth(["basic-auth"], 'Basic realm="demo"')], [auth(None, 'Basic realm="demo"')]),
    "bot": ([auth(["bot-detection"])], [auth(None)]),
    "upstream-401": ([], None),
    "hidden-1": ([], None),
    "hidden-2": ([limit("rate-limiting", 1, "hour", "plugins")], []),
    "code-1": ([near(1, 100)], None),
    "code-2": ([limit("rate-limiting", 1, "hour", "headers")], []),
    "hidden-code-1": ([], None),
    "hidden-code-2": ([limit("rate-limiting", 1, "hour", "plugins")], []),
    "block-1": ([], None),
    "block-2": ([limit("response-ratelimiting", 1, "hour", "plugins", "sms")], []),
    "resp-hidden-1": ([], None),
    "resp-hidden-2": ([limit("response-ratelimiting", 1, "hour", "plugins", "sms")], []),
    "terminated": ([], None),
    "function": ([], None),
    "upstream-429": ([], None),
    "whose-joe-1": ([], None),
    "whose-joe-2": (
        [limit("rate-limiting", 1, "hour", "plugins")],
        [],
    ),  # the consumer's instance: the service's has 100
    "no-route": ([], None),
    "near-1": ([], None),
    "near-3": ([], None),
    "near-4": ([near(4, 80)], None),
    "near-5": ([near(5, 100)], None),
    "near-6": ([limit("rate-limiting", 5, "hour", "headers")], None),
    "near-404-3": ([], None),
    "near-404-4": ([near(4, 80)], None),
}


def sources(*, known: bool) -> Iterator[RequestSource]:
    plugins = plugins_of() if known else UNKNOWN_PLUGINS
    attribution = Attribution(plugins=plugins)
    for kind in (RateLimiting, ResponseRateLimiting, AuthFailed, UpstreamError):
        yield kind(attribution)
    yield RateLimitApproaching(attribution, percent=80)


def made(name: str, *, known: bool) -> list[Event]:
    seen = recorded_logs()[name]
    return [e for source in sources(known=known) if seen.status in source.statuses() for e in events(source, seen)]


def short(event: Event) -> Told:
    data = event.data
    if event.source == "upstream":
        assert len(data["tries"]) == data["try_count"]
        assert all(each["state"] == "failed" and each["code"] in (502, 504) for each in data["tries"])
        return upstream(data["try_count"], data["upstream_status"])
    if event.source == "auth":
        return auth(data["plugins"], data["www_authenticate"])
    if event.source == "rate-limit-approaching":
        assert (data["limit"], data["window"]) in ((5, "hour"), (1, "hour"))
        return near(data["used"], data["percent"])
    return limit(event.source, data["limit"], data["window"], data["attributed"], data["limit_name"])


def test_the_table_has_every_recorded_request() -> None:
    assert recorded_logs().keys() == BECOMES.keys()


def test_with_the_plugins_known() -> None:
    told = {name: [short(event) for event in made(name, known=True)] for name in BECOMES}
    assert told == {name: known for name, (known, _) in BECOMES.items()}


def test_where_nothing_is_known_of_them() -> None:
    told = {name: [short(event) for event in made(name, known=False)] for name in BECOMES}
    assert told == {name: known if unknown is None else unknown for name, (known, unknown) in BECOMES.items()}


def test_no_event_holds_what_a_client_sent_beside_its_path() -> None:
    texts = [str(event.data) for name in BECOMES for event in made(name, known=True)]
    assert len(texts) > 20
    assert not any("made-up" in text or "recorder" in text for text in texts)
    assert any("/keyed" in text for text in texts)
