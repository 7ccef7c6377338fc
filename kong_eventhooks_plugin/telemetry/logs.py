"""Configures logging: JSON for machines, columns for people; always to standard output, for Kong and journald.

A line for people is one line, without control characters. A traceback names places and the exceptions' types: their
texts can quote what a client sent.
"""

import atexit
import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from kong_eventhooks_plugin.telemetry.log_output import LogOutput
from kong_eventhooks_plugin.terminal_text import on_one_line

CHAIN = 10


def configure(style: Literal["auto", "json", "human"], level: str) -> None:
    """Configure structlog for this process. ``level`` is debug, info, warning or error."""
    human = style == "human" or (style == "auto" and sys.stdout.isatty())
    output = LogOutput(sys.stdout.fileno())
    atexit.register(output.end)
    stream = cast("TextIO", output)  # loggers call write and flush alone
    renderer: Processor = structlog.processors.JSONRenderer()
    if human:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=_write_traceback)
    fields: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _report_dropped(output),
    ]
    rendering: list[Processor] = [_printable if human else structlog.processors.ExceptionRenderer(_traceback), renderer]
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


class _Quoted:
    """A text that the renderer quotes: it quotes some that need it, and all that is no string."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _printable(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    quoted = {name: _Quoted(text) for name, text in line.items() if isinstance(text, str) and not text.isprintable()}
    return {**line, **quoted, "event": on_one_line(str(line["event"]))}


def _traceback(exc_info: ExcInfo) -> str:
    """Return the calls and the type of an exception and of those that led to it, ``CHAIN`` at most, oldest first."""
    chain: list[BaseException] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(chain) < CHAIN:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nwhich led to:\n".join("\n".join(_parts(one)) for one in reversed(chain))


def _parts(error: BaseException) -> Iterator[str]:
    if error.__traceback__ is not None:
        yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    yield type(error).__qualname__
    if isinstance(error, BaseExceptionGroup):
        yield ", ".join(type(inner).__qualname__ for inner in error.exceptions)


def _write_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    stream.write(f"{_traceback(exc_info)}\n")


def _report_dropped(output: LogOutput) -> Processor:
    def process(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        dropped = output.take_dropped()
        return {**line, "lines_dropped": dropped} if dropped else line

    return process
