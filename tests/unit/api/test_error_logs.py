"""What fails every call, a full disk say, fills no log: one line per period says how many it left out."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.api.grpc import error_mapping as grpc_errors
from kong_eventhooks_plugin.api.rest import error_mapping as rest_errors
from kong_eventhooks_plugin.background import PERIOD, RateLimitedLogger
from kong_eventhooks_plugin.errors import StoreUnavailable
from tests.support.clock import FakeClock


class Context:
    """A gRPC call, of which only its end matters."""

    async def abort(self, *_: object) -> None:
        return None


async def rest(error: Exception) -> None:
    rest_errors.response_for(error)


async def grpc(error: Exception) -> None:
    context: Any = Context()
    await grpc_errors.abort_with(context, error)


@pytest.mark.parametrize(("module", "fail", "api"), [(rest_errors, rest, "api"), (grpc_errors, grpc, "grpc")])
@pytest.mark.parametrize(
    ("error", "event", "level"),
    [(StoreUnavailable("disk full"), "call_rejected", "warning"), (ZeroDivisionError(), "call_failed", "error")],
)
async def test_one_line_of_many(
    module: Any, fail: Any, api: str, error: Exception, event: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(module, "limited_log", RateLimitedLogger(clock))
    with capture_logs() as logged:
        for _ in range(100):
            await fail(error)
        clock.advance(PERIOD)
        await fail(error)
    assert [(line["event"], line["log_level"], line["suppressed"]) for line in logged] == [
        (f"{api}_{event}", level, 0),
        (f"{api}_{event}", level, 99),
    ]
