"""``kong-event-hooks listen``: receive webhooks, print each, verify its signatures; until Ctrl-C."""

import asyncio
import contextlib
import signal
from datetime import UTC, datetime

import click
import msgspec

from kong_eventhooks_plugin.cli.demo.receiver import Received, Receiver
from kong_eventhooks_plugin.cli.printing import printable
from kong_eventhooks_plugin.errors import SettingsError

MAX_PORT = 65_535


def run_listen(address: str, secret: str | None) -> int:
    """Listen on ``host:port``; return the exit status.

    Raises ``SettingsError`` for an address that cannot be had and for a secret that is none.
    """
    host, _, port = address.rpartition(":")
    if not (port.isdecimal() and int(port) <= MAX_PORT):
        raise SettingsError(f"--address {address}: expected HOST:PORT, for example 127.0.0.1:8020")
    try:
        receiver = Receiver(host.strip("[]") or "127.0.0.1", int(port), secret=secret, on_delivery=_print)
    except ValueError as error:
        raise SettingsError(f"--secret-file: the secret cannot be used: {error}") from error
    try:
        asyncio.run(_listen(receiver, checks=secret is not None))
    except OSError as error:
        raise SettingsError(f"--address {address}: {error.strerror or error}") from error
    return 0


async def _listen(receiver: Receiver, *, checks: bool) -> None:
    await receiver.start()
    click.echo(f"Listening on {receiver.url}" + ("" if checks else " (no --secret-file: signatures are not checked)"))
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    try:
        await over.wait()
    finally:
        with contextlib.suppress(OSError):
            await receiver.close()


def _print(got: Received) -> None:
    at = datetime.now(UTC).strftime("%H:%M:%S")
    click.echo(printable(f"{at}  {got.method} {got.path}  {_verdict(got)}"))
    try:
        text = msgspec.json.format(got.body, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = repr(got.body)
    click.echo("\n".join(f"    {line}" for line in printable(text).splitlines()))


def _verdict(got: Received) -> str:
    if got.verified is None:
        return "signature not checked"
    return "signatures right" if got.verified else f"SIGNATURE WRONG: {'; '.join(got.errors)}"
