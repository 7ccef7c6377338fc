"""``health``: for a container's health check, and for people.

Limits: an answer is waited for ``SECONDS`` and read up to ``MAX_BYTES``.
"""

import sys
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import BaseHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import click
import msgspec

from kong_eventhooks_plugin.api.client.tls import ClientTls, client_context, tls_advice
from kong_eventhooks_plugin.cli.options import FILE, api_url, certificate_options
from kong_eventhooks_plugin.cli.printing import printable
from kong_eventhooks_plugin.cli.readiness_text import Ready, held_hooks, sidecar_problems
from kong_eventhooks_plugin.settings import load
from kong_eventhooks_plugin.settings_files import api_token

SECONDS = 4.0
MAX_BYTES = 1 << 20


@click.command("health")
@click.option("--ready", is_flag=True, help="Ask /readyz: whether it accepts and delivers events, and what is wrong.")
@click.option("--listen", help="The sidecar's setting listen. [default: as the sidecar finds it]")
@click.option("--settings", "settings_file", type=FILE, help="TOML file with settings.")
@certificate_options
def command(listen: str | None, settings_file: Path | None, *, ready: bool, cert: str | None, key: str | None) -> None:
    """Ask the sidecar whether it is alive, or what is wrong.

    It is that of this machine or container. The exit status is 0, else 1 with the reason.
    """
    settings = load({"listen": listen}, settings_file)
    handlers: list[BaseHandler] = [ProxyHandler({})]  # none of the environment's: the request never leaves the machine
    if settings.api_tls_cert is not None:
        # Where the token is not sent any certificate will do, as for a probe of Kubernetes: a new one in the file that
        # waits for its SIGHUP makes nobody unhealthy.
        tls = ClientTls(pinned=settings.api_tls_cert, cert=cert, key=key)
        handlers.append(HTTPSHandler(context=client_context(tls, verify=ready)))
    url = api_url(settings.listen, tls=settings.api_tls_cert is not None)
    request = Request(f"{url}/readyz" if ready else f"{url}/healthz")  # noqa: S310 - http or https
    token = api_token(settings) if ready else None
    if token is not None:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    answered, text = _get(build_opener(*handlers), request)
    click.echo(text, err=not answered)
    sys.exit(0 if answered else 1)


def _get(opener: OpenerDirector, request: Request) -> tuple[bool, str]:
    """Return whether the answer was 2xx, and a line or more on it."""
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return True, _shown(answer.read(MAX_BYTES))
    except HTTPError as error:
        with error:
            return False, _shown(error.read(MAX_BYTES))
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None)
        advice = tls_advice(reason if isinstance(reason, OSError) else error)
        return False, f"{request.full_url}: {advice or _why(reason or error)}"


def _why(error: object) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _shown(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body, type=Ready)
    except msgspec.MsgspecError:
        return "the answer is not the sidecar's"
    lines = [found.status]
    for problem in (*sidecar_problems(found), *held_hooks(found.held)):
        lines += [f"  {problem.text}", *([f"    -> {problem.fix}"] if problem.fix else [])]
    return printable("\n".join(lines))
