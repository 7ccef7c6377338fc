"""Configures logging: JSON for machines, columns for people; always to standard output, for Kong and journald."""

import atexit
import logging
import sys
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kong_eventhooks_plugin.telemetry.log_output import LogOutput


def configure(style: Literal["auto", "json", "human"], level: str) -> None:
    """Configure structlog for this process. ``level`` is debug, info, warning or error."""
    human = style == "human" or (style == "auto" and sys.stdout.isatty())
    output = LogOutput(sys.stdout.fileno())
    atexit.register(output.end)
    stream = cast("TextIO", output)  # loggers call write and flush alone
    renderer: Processor = structlog.processors.JSONRenderer()
    if human:
        # Where rich is installed, tracebacks would show local variables, and secrets among them.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)
    fields: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _report_dropped(output),
    ]
    rendering: list[Processor] = [*([] if human else [structlog.processors.format_exc_info]), renderer]
    structlog.configure(
        processors=[*fields, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    # Libraries (asyncio, aiohttp) log through the standard module: only warnings and errors, in the same format.
    # aiohttp's server quotes a malformed request's bytes, which may hold credentials.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
            foreign_pre_chain=[*fields, structlog.stdlib.add_logger_name],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _report_dropped(output: LogOutput) -> Processor:
    def process(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        dropped = output.take_dropped()
        return {**line, "lines_dropped": dropped} if dropped else line

    return process
