"""How log lines look: JSON for machines, columns for people; always to standard output, for Kong and journald."""

import atexit
import logging
import sys
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kong_eventhooks_plugin.log_output import LogOutput

Format = Literal["auto", "json", "human"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(style: Format, level: str) -> None:
    """Set up structlog for this process. ``level`` is debug, info, warning or error."""
    human = style == "human" or (style == "auto" and sys.stdout.isatty())
    output = LogOutput(sys.stdout.fileno())
    atexit.register(output.end)
    stream = cast("TextIO", output)  # of which loggers use write and flush alone
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()) if human else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            _say_what_was_dropped(output),
            *([] if human else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    # Libraries (aiohttp, httpx) log through the standard module: only what is wrong, through the same door.
    # aiohttp's server quotes a malformed request's bytes, which may hold credentials.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.basicConfig(stream=stream, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def _say_what_was_dropped(output: LogOutput) -> Processor:
    def say(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        dropped = output.take_dropped()
        return {**line, "lines_dropped": dropped} if dropped else line

    return say
