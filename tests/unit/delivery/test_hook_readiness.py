from kong_eventhooks_plugin.delivery.breaker import Block
from kong_eventhooks_plugin.delivery.endpoint_breakers import EndpointBreakers
from kong_eventhooks_plugin.delivery.endpoint_health import EndpointHealthTracker
from kong_eventhooks_plugin.delivery.hook_readiness import DeliveryReadiness, Ready
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import hook_id
from tests.support.delivery_world import Book, ScriptedHandler, scripted_hook

NOW = 1_800_000_000.0
LIMITS = DeliveryLimits()
H, G = hook_id("h"), hook_id("g")


def hook_to(endpoint: str, name: str = "h") -> Hook:
    return scripted_hook(name, config={"endpoint": endpoint})


def readiness_of(book: Book) -> DeliveryReadiness:
    health = EndpointHealthTracker(LIMITS, lambda _: None)
    return DeliveryReadiness(book, {"scripted": ScriptedHandler()}, health, EndpointBreakers(LIMITS.breaker), LIMITS)


def test_a_changed_definition_is_seen_at_once() -> None:
    book = Book(hook_to("http://a:80"))
    readiness = readiness_of(book)
    first = readiness.check(H, NOW)
    assert readiness.check(H, NOW) is first
    book.set(hook_to("http://b:80"))
    second = readiness.check(H, NOW)
    assert isinstance(first, Ready)
    assert isinstance(second, Ready)
    assert second.config == {"endpoint": "http://b:80"}
    assert second.breaker is not first.breaker


def test_a_hold_holds_back_who_was_ready_before_its_breaker_was_forgotten() -> None:
    readiness = readiness_of(Book(hook_to("http://a:80"), hook_to("http://a:80", "g")))
    assert isinstance(readiness.check(H, NOW), Ready)
    later = NOW + LIMITS.breaker.window + 1
    readiness.prune(later)
    other = readiness.check(G, later)
    assert isinstance(other, Ready)
    assert other.breaker is not None
    other.breaker.hold(later, later + 60)
    assert readiness.check(H, later) == Block("endpoint_held", later + 60)
