"""``health``: for a container's health check, and for people.

Limits: an answer is waited for ``SECONDS`` and read up to ``MAX_BYTES``.
"""

import sys
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import click
import msgspec

from kong_eventhooks_plugin.cli.options import FILE, api_url
from kong_eventhooks_plugin.settings import load

SECONDS = 4.0
MAX_BYTES = 1 << 20


class Ready(msgspec.Struct):
    status: str = ""
    errors: tuple[str, ...] = ()


@click.command("health")
@click.option("--ready", is_flag=True, help="Ask /readyz: whether it accepts and delivers events, and what is wrong.")
@click.option("--listen", help="The sidecar's setting listen. [default: as the sidecar finds it]")
@click.option("--settings", "settings_file", type=FILE, help="TOML file with settings.")
def command(listen: str | None, settings_file: Path | None, *, ready: bool) -> None:
    """Ask the sidecar of this machine or container whether it is alive: exit status 0, else 1 and why."""
    base = api_url(load({"listen": listen}, settings_file).listen)
    answered, text = _get(f"{base}/{'readyz' if ready else 'healthz'}")
    click.echo(text, err=not answered)
    sys.exit(0 if answered else 1)


def _get(url: str) -> tuple[bool, str]:
    """Return whether the answer was 2xx, and a line or more on it."""
    try:
        # No proxy of the environment's: the request never leaves the machine.
        with build_opener(ProxyHandler({})).open(url, timeout=SECONDS) as answer:
            return True, _shown(answer.read(MAX_BYTES))
    except HTTPError as error:
        with error:
            return False, _shown(error.read(MAX_BYTES))
    except (OSError, HTTPException) as error:
        return False, f"{url}: {getattr(error, 'reason', None) or error}"


def _shown(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body, type=Ready)
    except msgspec.MsgspecError:
        return "the answer is not the sidecar's"
    return "\n".join((found.status, *(f"  {error}" for error in found.errors)))
