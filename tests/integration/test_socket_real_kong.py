"""A Kong that may not open the plugin socket is reported, with what to do."""

import json

import pytest

from tests.integration.conftest import Kong, Sidecar, has_user
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

PLUGINS = {"plugins": [{"name": "event-hooks", "config": {"hooks": []}}]}


@pytest.mark.skipif(not has_user(), reason="Kong's workers run as the user of the socket")
def test_a_kong_whose_workers_may_not_open_the_socket_is_an_error(
    kong: Kong, sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.watch(kong)
    with_group = sidecar.arguments()
    monkeypatch.setattr(sidecar, "arguments", lambda: with_group[2:])  # without --socket-group
    assert with_group[0] == "--socket-group"
    sidecar.start()
    kong.declare(PLUGINS)
    kong.start()
    until(lambda: "13: Permission denied" in kong.error_log(), "Kong is refused the socket", seconds=30)

    def errors() -> list[str]:
        return [text for text in json.loads(sidecar.get("/readyz")[1])["errors"] if "has not connected" in text]

    [error] = until(errors, "the sidecar says so", seconds=100)
    assert error.startswith(f"Kong has the plugin event-hooks and has not connected to {sidecar.socket_path}")
    assert "set socket_group to the group of its workers" in error


def test_a_kong_that_connects_is_none(kong: Kong, sidecar: Sidecar) -> None:
    sidecar.watch(kong)
    sidecar.start()
    kong.declare(PLUGINS)
    kong.start()
    until(lambda: json.loads(sidecar.get("/readyz")[1])["socket"]["connected"], "Kong has connected", seconds=30)
