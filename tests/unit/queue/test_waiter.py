from collections.abc import Sequence

import structlog

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.contract import Settlement, SettlementSource
from kong_eventhooks_plugin.queue.waiter import SourceRecipient, Waiter


class Source(SettlementSource):
    def __init__(self) -> None:
        self.told: list[int | Exception] = []
        self.raises = False

    def waiting(self) -> Sequence[Settlement]:
        return ()

    def settled(self, count: int) -> None:
        self.told.append(count)
        raise KeyError(count)

    def not_settled(self, error: Exception) -> None:
        self.told.append(error)
        if self.raises:
            raise error


def test_a_source_is_told_the_end_once_and_its_error_stops_no_commit() -> None:
    """Told twice, it would take what waits behind this batch for settled."""
    source = Source()
    waiter: Waiter[int] = Waiter(SourceRecipient(source))
    waiter.answer = 2
    with structlog.testing.capture_logs() as logs:
        waiter.resolve()
        waiter.fail(StoreUnavailable("closed"))
    assert source.told == [2]
    assert [line["event"] for line in logs] == ["settlement_listener_failed"]
    source = Source()
    waiter = Waiter(SourceRecipient(source))
    waiter.fail(error := StoreUnavailable("closed before this was known to be written"))
    waiter.resolve()
    assert source.told == [error]
    source.raises = True
    with structlog.testing.capture_logs() as logs:
        Waiter(SourceRecipient(source)).fail(error)
    assert [line["event"] for line in logs] == ["settlement_listener_failed"]
