"""What the commands that call a running sidecar's API share: where it is, a client, fields as arguments.

A field is written as in Kong's documentation, ``config.url=https://...``. ``NAME=@FILE`` is a file's content without
its last line end, as a shell's ``$(cat FILE)`` and the setting ``secret_file`` read it: a secret need not stand on the
command line.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from os import environ
from pathlib import Path
from typing import Any

import click
import msgspec

from kong_eventhooks_plugin.api.client.rest import DEFAULT_URL, ApiTarget, Fields, NotFound, RestClient, Unreachable
from kong_eventhooks_plugin.api.client.tls import ClientTls
from kong_eventhooks_plugin.cli.options import FILE, Command, api_url, certificate_options, read_text
from kong_eventhooks_plugin.errors import RemoteError, SettingsError
from kong_eventhooks_plugin.hooks.references import as_secret
from kong_eventhooks_plugin.suggestions import did_you_mean


def api_options(command: Command) -> Command:
    """Add ``--url``, ``--token-file`` and those of TLS: ``target``."""

    @click.option("--url", help=f"The sidecar's API.  [default: {DEFAULT_URL}, or the setting listen]")
    @click.option(
        "--token-file",
        type=FILE,
        envvar="KONG_EVENTHOOKS_API_TOKEN_FILE",
        help="File that holds the API's admin token, where it has one.",
    )
    @click.option(
        "--cacert",
        type=click.Path(dir_okay=False),
        help="File with the authority of the API's certificate in PEM.  [default: the system's]",
    )
    @certificate_options
    @wraps(command)
    def with_target(
        *arguments: Any,
        url: str | None,
        token_file: Path | None,
        cacert: str | None,
        cert: str | None,
        key: str | None,
        **named: Any,
    ) -> Any:
        pinned = None
        if url is None:  # a sidecar of this machine, whose settings are those of the environment
            pinned = None if cacert else environ.get("KONG_EVENTHOOKS_API_TLS_CERT")
            listen = environ.get("KONG_EVENTHOOKS_LISTEN") or DEFAULT_URL.removeprefix("http://")
            url = api_url(listen, tls="KONG_EVENTHOOKS_API_TLS_CERT" in environ)
        token = None if token_file is None else _token(token_file)
        target = ApiTarget(url, token, ClientTls(cacert, pinned, cert, key))
        return command(*arguments, target=target, **named)

    return with_target


def api_or_file_options(command: Command) -> Command:
    """Add the same and ``--data-dir``: ``target`` and ``data_dir``, of which one is None."""

    @click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Read the store in this directory instead of calling the API: no sidecar need run. Secrets are masked.",
    )
    @api_options
    @wraps(command)
    def with_either(*, data_dir: Path | None, target: ApiTarget, **named: Any) -> Any:
        if data_dir is not None and click.get_current_context().params["url"] is not None:
            raise click.UsageError("name --url or --data-dir, not both")
        try:
            return command(data_dir=data_dir, target=target, **named)
        except Unreachable as error:
            raise RemoteError(
                f"{error}; to read a store without a sidecar, name its directory with --data-dir"
            ) from error

    return with_either


def _token(file: Path) -> str:
    token = read_text(file, f"--token-file {file}").removeprefix("\ufeff").strip()
    if not (token and token.isprintable()):
        raise SettingsError(f"--token-file {file}: expected one line, the token")
    return token


@contextmanager
def api_client(
    target: ApiTarget, name: str | None = None, *, kind: str = "hook", listed_by: str = "hooks list"
) -> Iterator[RestClient]:
    """Open a client for calls about the thing ``name``, so that a 404 names it; None: about no thing."""
    with RestClient(target) as client:
        try:
            yield client
        except NotFound as error:
            if name is None:
                raise
            raise RemoteError(
                f"there is no {kind} '{name}'{_meant(client, kind, name)}; 'kong-event-hooks {listed_by}' lists them"
            ) from error


def _meant(client: RestClient, kind: str, name: str) -> str:
    """Return which one was probably meant: the sidecar compares no name with all others for whoever asks."""
    try:
        if kind == "hook":
            return did_you_mean(name, filter(None, (hook["name"] for hook in client.pages("event-hooks"))))
        if kind == "source or event":
            sources = client.call("GET", "event-hooks", "sources")["data"]
            source, _, event = name.partition("/")
            return did_you_mean(event, sources[source]) if source in sources else did_you_mean(source, sources)
    except RemoteError:
        pass
    return ""


def fields_options(what: str) -> Callable[[Command], Command]:
    """Return a decorator that adds ``NAME=VALUE`` arguments and ``--file``: ``body``, keywords for a client's call."""

    def decorate(command: Command) -> Command:
        @click.option("--file", type=FILE, help=f"JSON file with {what}, instead of fields.")
        @click.argument("fields", nargs=-1, metavar="[NAME=VALUE]...")
        @wraps(command)
        def with_body(*arguments: Any, fields: tuple[str, ...], file: Path | None, **named: Any) -> Any:
            if file is not None and fields:
                raise RemoteError("name fields or --file, not both")
            body = {"form": parse_fields(fields)} if file is None else {"json": json_file(file)}
            return command(*arguments, body=body, **named)

        return with_body

    return decorate


def parse_fields(arguments: Sequence[str]) -> Fields:
    """Return ``NAME=VALUE`` and ``NAME=@FILE`` as names and values; raises ``RemoteError``."""
    found = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not (name and equals):
            raise RemoteError(f"'{argument}' is not a field: write NAME=VALUE, or NAME=@FILE for a file's content")
        if value.startswith("@"):
            value = as_secret(_file(value[1:]))
        found.append((name, value))
    return found


def _file(path: str) -> str:
    return read_text(Path(path).expanduser(), f"{path}: cannot be read", RemoteError)


def json_file(path: Path) -> Any:
    try:
        return msgspec.json.decode(_file(str(path)))
    except msgspec.DecodeError as error:
        raise RemoteError(f"{path}: is not JSON: {error}") from error
