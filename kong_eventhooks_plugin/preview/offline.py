"""Handlers for dry runs without a sidecar: they can preview and nothing else."""

from collections.abc import Sequence

from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.handlers.http_client import Client, HttpAnswer, HttpRequest
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.handlers.webhook_custom import WebhookCustomHandler
from kong_eventhooks_plugin.model.log_line import LineSink, LogLine
from kong_eventhooks_plugin.sandbox.pool import Pool


class _NoClient(Client):
    async def send(self, request: HttpRequest) -> HttpAnswer:
        raise RuntimeError(f"a dry run sends no {request.method}")

    async def close(self) -> None:
        return


class _NoLines(LineSink):
    async def write(self, key: str, lines: Sequence[LogLine]) -> str | None:
        raise RuntimeError(f"a dry run writes none of the {len(lines)} lines of {key}")


def offline_handlers(pool: Pool) -> dict[str, Handler]:
    client, lines = _NoClient(), _NoLines()
    handlers: list[Handler] = [
        WebhookHandler(client),
        WebhookCustomHandler(client, pool),
        LambdaHandler(pool, lines),
        LogHandler(lines),
    ]
    return {handler.name: handler for handler in handlers}
