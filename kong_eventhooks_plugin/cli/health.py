"""``health``: for a container's health check, and for people.

Limits: an answer is waited for ``SECONDS`` and read up to ``MAX_BYTES``.
"""

import sys
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import BaseHandler, HTTPSHandler, OpenerDirector, ProxyHandler, build_opener

import click
import msgspec

from kong_eventhooks_plugin.api.client.tls import ClientTls, client_context, tls_advice
from kong_eventhooks_plugin.cli.options import FILE, api_url, certificate_options
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
@certificate_options
def command(listen: str | None, settings_file: Path | None, *, ready: bool, cert: str | None, key: str | None) -> None:
    """Ask the sidecar of this machine or container whether it is alive: exit status 0, else 1 and why."""
    settings = load({"listen": listen}, settings_file)
    handlers: list[BaseHandler] = [ProxyHandler({})]  # none of the environment's: the request never leaves the machine
    if tls := settings.api_tls_cert is not None:
        # Any certificate will do, as for a probe of Kubernetes: nothing secret is sent, and a new certificate in the
        # file that waits for its SIGHUP makes nobody unhealthy.
        handlers.append(HTTPSHandler(context=client_context(ClientTls(cert=cert, key=key), verify=False)))
    base = api_url(settings.listen, tls=tls)
    answered, text = _get(build_opener(*handlers), f"{base}/{'readyz' if ready else 'healthz'}")
    click.echo(text, err=not answered)
    sys.exit(0 if answered else 1)


def _get(opener: OpenerDirector, url: str) -> tuple[bool, str]:
    """Return whether the answer was 2xx, and a line or more on it."""
    try:
        with opener.open(url, timeout=SECONDS) as answer:
            return True, _shown(answer.read(MAX_BYTES))
    except HTTPError as error:
        with error:
            return False, _shown(error.read(MAX_BYTES))
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None)
        return False, f"{url}: {tls_advice(reason if isinstance(reason, OSError) else error) or reason or error}"


def _shown(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body, type=Ready)
    except msgspec.MsgspecError:
        return "the answer is not the sidecar's"
    return "\n".join((found.status, *(f"  {error}" for error in found.errors)))
