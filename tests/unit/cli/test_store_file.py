"""What ``--data-dir`` prints of a store, where an endpoint chose some of it."""

from pathlib import Path

import pytest

from kong_eventhooks_plugin.api.rest.answers import builtins
from kong_eventhooks_plugin.api.service.deliveries import DeliveryDetail
from kong_eventhooks_plugin.api.service.presenter import Presenter
from kong_eventhooks_plugin.cli import store_file
from kong_eventhooks_plugin.cli.deliveries import describe
from kong_eventhooks_plugin.cli.printing import table
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.event import Event


def test_a_cell_cannot_steer_the_terminal_or_break_its_line() -> None:
    printed = table(("TRY", "DETAIL"), [("1", "\x1b[2Jgone\r\nTRY  forged\u202e"), ("2", "Grüße, 世界")], "none")
    assert printed.splitlines() == ["TRY  DETAIL", "1     [2Jgone  TRY  forged", "2    Grüße, 世界"]


def test_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        store_file.hooks(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/events.db: there is no such file; name the sidecar's data directory with --data-dir"
    )


def test_an_events_data_cannot_steer_the_terminal() -> None:
    event = Event(id="e", source="custom", event="x\x1b", data={"path": "/\x9b2J\u202e"}, time=1.0)
    delivery = Delivery(
        id="d", hook_id="h", event=event, source="custom", state="pending", attempts=0, created_at=1.0, due_at=1.0
    )
    body = builtins(Presenter(lambda _: None).delivery_detail(DeliveryDetail(delivery, ())))
    printed = describe(body)
    assert printed == "".join(each for each in printed if each.isprintable() or each == "\n")
    assert '"path": "/\ufffd2J\ufffd"' in printed


def test_a_redirect_shows_where_to() -> None:
    event = Event(id="e", source="custom", event="x", data={}, time=1.0)
    delivery = Delivery(
        id="d", hook_id="h", event=event, source="custom", state="pending", attempts=1, created_at=1.0, due_at=1.0
    )
    headers = (("Location", "https://b.example/"),)
    attempt = Attempt(1, 1.0, 0.01, "retry", "redirect", "answered 302", 302, b"moved", headers)
    body = builtins(Presenter(lambda _: None).delivery_detail(DeliveryDetail(delivery, (attempt,))))
    assert "answered 302\n    location: https://b.example/\n    moved" in describe(body)
