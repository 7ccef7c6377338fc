"""``doctor``: what lies between Kong and this sidecar, checked from outside: one line a check, and what to do.

It reads and changes nothing, but for ``--send``. Limits: ``SECONDS`` for a call of the Admin API, of which ``PAGES`` of
``PAGE_SIZE`` plugins are read, and past which hooks are not compared; ``SKEW_SECONDS`` between two clocks;
``FREE_SHARE`` of the disk; ``kong_losses`` has that of Kong's error log.
"""

import grp
import os
import pwd
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import click
import httpx
import msgspec

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.api.client.rest import ApiTarget, Origin, RestClient
from kong_eventhooks_plugin.api.client.tls import ClientTls
from kong_eventhooks_plugin.cli.api_calls import api_client
from kong_eventhooks_plugin.cli.kong_losses import read_losses
from kong_eventhooks_plugin.cli.options import FILE, api_url, certificate_options
from kong_eventhooks_plugin.cli.printing import FAILED, outcome, printable
from kong_eventhooks_plugin.cli.readiness_text import Ready, held_hooks, sidecar_problems
from kong_eventhooks_plugin.errors import EventHooksError, RemoteError
from kong_eventhooks_plugin.hooks.schema import PLUGIN
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import plugin_names
from kong_eventhooks_plugin.kong.supervisor.sockets import is_served
from kong_eventhooks_plugin.queue.sqlite.engine import DATABASE
from kong_eventhooks_plugin.settings import Settings, load, read_token
from kong_eventhooks_plugin.settings_files import api_token

SECONDS: Final = 5.0
PAGES: Final = 100
PAGE_SIZE: Final = 1000
SKEW_SECONDS: Final = 2.0
FREE_SHARE: Final = 0.05

_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")

Level = Literal["ok", "warn", "fail"]
LEVELS: Final[dict[str, Level]] = {"ready": "ok", "degraded": "warn", "unready": "fail"}


class Finding(NamedTuple):
    level: Level
    check: str
    text: str
    fix: str = ""


class Subject(NamedTuple):
    """What is examined. ``kong_user`` is the user that Kong's workers run as."""

    settings: Settings
    target: ApiTarget
    kong_user: str


@click.command("doctor")
@click.option("--settings", "settings_file", type=FILE, help="TOML file with the sidecar's settings.")
@click.option("--kong-user", default="kong", show_default=True, help="The user that Kong's workers run as.")
@certificate_options
@click.option("--send", metavar="HOOK", help="At the end, send a test event through this hook.")
def command(settings_file: Path | None, kong_user: str, send: str | None, cert: str | None, key: str | None) -> None:
    """Check the way from Kong through the sidecar to its hooks.

    The exit status is 1 where a check fails. Settings come from --settings and the environment, as serve reads them.
    """
    settings = load({}, settings_file)
    target = ApiTarget(
        api_url(settings.listen, tls=settings.api_tls_cert is not None),
        api_token(settings),
        tls=ClientTls(pinned=settings.api_tls_cert, cert=cert, key=key),
        origin=Origin("the setting listen", "the setting api_token_file"),
    )
    subject = Subject(settings, target, kong_user)
    failed = False
    sent = () if send is None else _send(subject, send)
    for finding in chain(_socket(subject), _store(subject), _sidecar(subject), _kong(subject), sent):
        failed |= finding.level == "fail"
        click.echo(printable(f"{finding.level:<4}  {finding.check:<9}  {finding.text}"))
        if finding.fix:
            click.echo(printable(f"{'':17}-> {finding.fix}"))
    sys.exit(1 if failed else 0)


# ---- this machine ----


def _socket(subject: Subject) -> Iterator[Finding]:
    path = Path(subject.settings.socket_path)
    try:
        found = path.stat()
    except OSError as error:
        yield Finding("fail", "socket", f"{path}: {error.strerror}", "start the sidecar: kong-event-hooks serve")
        return
    if not stat.S_ISSOCK(found.st_mode):
        yield Finding("fail", "socket", f"{path} is no socket", "name another path with socket_path")
    elif not is_served(path):
        yield Finding("fail", "socket", f"{path}: nothing listens", "start the sidecar: kong-event-hooks serve")
    else:
        yield Finding("ok", "socket", f"{path} is served")
        yield _may_connect(path, found, subject.kong_user)


def _may_connect(path: Path, found: os.stat_result, name: str) -> Finding:
    """Whether a user may connect: write to the socket, and search every directory above it (unix(7))."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return Finding("warn", "socket", f"there is no user {name} here", "name Kong's user with --kong-user")
    groups = {user.pw_gid, *(group.gr_gid for group in grp.getgrall() if name in group.gr_mem)}

    def may(of: os.stat_result, bit: int) -> bool:
        shift = 6 if of.st_uid == user.pw_uid else 3 if of.st_gid in groups else 0
        return user.pw_uid == 0 or bool(of.st_mode >> shift & bit)

    if not may(found, 2):
        fix = f"serve --socket-group with a group of {name}"
        return Finding("fail", "socket", f"{name} may not connect (mode {found.st_mode & 0o777:o})", fix)
    for folder in path.absolute().parents:
        if not may(folder.stat(), 1):
            return Finding("fail", "socket", f"{name} may not enter {folder}", f"chmod or chgrp {folder}")
    return Finding("ok", "socket", f"{name} may connect")


def _store(subject: Subject) -> Iterator[Finding]:
    folder = Path(subject.settings.data_dir)
    try:
        disk = shutil.disk_usage(folder)
        size = (folder / DATABASE).stat().st_size
    except OSError as error:
        fix = "start the sidecar once, or name its data_dir in --settings"
        if isinstance(error, PermissionError):
            fix = "run this as the sidecar's user"
        yield Finding("fail", "store", f"{error.filename}: {error.strerror}", fix)
        return
    yield Finding("ok", "store", f"{folder / DATABASE}: {size / 1e6:.1f} MB")
    text = f"{disk.free / 1e9:.1f} GB free where {folder} is"
    if disk.free < disk.total * FREE_SHARE:
        yield Finding("warn", "disk", text, "free some space: with a full disk events are lost")
    else:
        yield Finding("ok", "disk", text)


# ---- the sidecar ----


def _sidecar(subject: Subject) -> Iterator[Finding]:
    try:
        with RestClient(subject.target) as client:
            ready = client.call("GET", "readyz", accept=503)
            running = client.call("GET", "openapi.json")["info"]["version"]
    except RemoteError as error:
        yield Finding("fail", "sidecar", str(error))
        return
    status = ready["status"]
    level = LEVELS.get(status, "fail")
    yield Finding(level, "sidecar", f"{subject.target.url}: {status}, {ready['hooks']} hooks, {running}")
    if running != __version__:
        fix = "restart the sidecar, or call the program that it was started with"
        yield Finding("warn", "version", f"the sidecar is {running}, this program {__version__}", fix)
    found = msgspec.convert(ready, Ready, strict=False)
    for line in sidecar_problems(found):
        yield Finding("warn" if level == "ok" else level, "sidecar", *line)
    for line in held_hooks(found.held):
        yield Finding("warn", "hook", *line)
    for name in (name for name, why in found.held.items() if why == "disabled"):
        yield Finding("ok", "hook", f"{name} is disabled: its definition has enabled: false")


# ---- Kong ----


def _kong(subject: Subject) -> Iterator[Finding]:
    settings = subject.settings
    if settings.admin_url is None:
        fix = "name the sidecar's settings: --settings FILE, or KONG_EVENTHOOKS_ADMIN_URL with the Admin API's address"
        yield Finding("warn", "kong", "the setting admin_url is not known here: Kong is not checked", fix)
        return
    token = read_token(settings.admin_token_file, "admin_token_file")
    headers = {} if token is None else {"Kong-Admin-Token": token}
    try:
        with httpx.Client(base_url=settings.admin_url, headers=headers, timeout=SECONDS, trust_env=False) as kong:
            yield from _enabled(kong)
            yield from _instances(kong, subject.target)
            yield from _losses(kong, Path(settings.socket_path))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
        why = _ERRNO.sub("", str(error)) or type(error).__name__
        yield Finding("fail", "kong", f"{settings.admin_url}: {why}", "does Kong run, and is admin_url right?")


def _enabled(kong: httpx.Client) -> Iterator[Finding]:
    before = time.time()
    answer = kong.get("/plugins/enabled").raise_for_status()
    enabled = set(answer.json()["enabled_plugins"])
    yield Finding("ok", "kong", f"{answer.headers.get('server', 'an unknown version')} answers")
    for name in plugin_names():
        if name in enabled:
            yield Finding("ok", "kong", f"knows the plugin {name}")
        else:
            plugins = f"plugins = bundled,{','.join(plugin_names())}"
            fix = f"kong.conf: {plugins} and the pluginserver_ lines of README.md; then kong restart"
            yield Finding("fail" if name == PLUGIN else "warn", "kong", f"does not know the plugin {name}", fix)
    # The header has whole seconds.
    if "date" in answer.headers:
        skew = abs(parsedate_to_datetime(answer.headers["date"]).timestamp() + 0.5 - (before + time.time()) / 2)
        if skew > SKEW_SECONDS:
            yield Finding("warn", "clock", f"{skew:.0f} s from Kong's", "synchronise both machines' clocks")
        else:
            yield Finding("ok", "clock", "agrees with Kong's")


def _instances(kong: httpx.Client, target: ApiTarget) -> Iterator[Finding]:
    """Compare the hooks that Kong's configuration declares with those in force here, by name."""
    instances = _read_instances(kong)
    if instances is None:
        yield Finding("warn", "hooks", f"not compared: Kong has more than {PAGES * PAGE_SIZE} plugins")
        return
    if not instances:
        yield Finding("warn", "hooks", f"Kong has no instance of {PLUGIN}", "add the plugin, with or without hooks")
        return
    declared = {
        hook.get("name") or hook.get("id")
        for each in instances
        if each["enabled"]
        for hook in each["config"].get("hooks") or ()
    }
    try:
        with RestClient(target) as client:
            ours = {hook["name"] for hook in client.pages("event-hooks")}
    except RemoteError as error:
        yield Finding("warn", "hooks", f"not compared: {error}")
        return
    fix = "kong-event-hooks check finds what is wrong with it; a new one waits for the next poll of the Admin API"
    for name in sorted(str(name) for name in declared - ours if name):
        yield Finding("fail", "hooks", f"{name} is declared in Kong and not in force here", fix)
    if declared <= ours:
        yield Finding("ok", "hooks", f"{len(declared)} declared in Kong, all of them in force; {len(ours)} in all")


def _losses(kong: httpx.Client, socket: Path) -> Iterator[Finding]:
    """Say what Kong's own error log has of calls that were lost, where it is a file of this machine."""
    answer = kong.get("/")
    if answer.is_error:  # a Kong that started the sidecar itself has no answer (external plugins, Kong 3.9)
        yield Finding("ok", "losses", f"not read: Kong answers {answer.status_code} when asked where its error log is")
        return
    configuration = answer.json().get("configuration", {})
    log = Path(configuration.get("prefix", ""), configuration.get("proxy_error_log", "").partition(" ")[0])
    try:
        found = list(read_losses(log, socket))
    except OSError as error:
        look = "run this on Kong's machine, as a user who may read that file"
        yield Finding("ok", "losses", f"not read: Kong's error log, {log}: {error.strerror}", look)
        return
    for loss in found:
        yield Finding("warn", "losses", f"{loss.calls} {loss.why}; the last at {loss.last}", loss.fix)
    if not found:
        yield Finding("ok", "losses", f"Kong dropped no call, says {log}")


def _read_instances(kong: httpx.Client) -> list[dict[str, Any]] | None:
    """Return the plugin's instances, None where there are too many plugins to read."""
    found: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"size": PAGE_SIZE}
    for _ in range(PAGES):
        page = kong.get("/plugins", params=query).raise_for_status().json()
        found += [each for each in page["data"] if each["name"] == PLUGIN]
        if not page.get("offset"):
            return found
        query["offset"] = page["offset"]
    return None


def _send(subject: Subject, hook: str) -> Iterator[Finding]:
    try:
        with api_client(subject.target, hook) as client:
            tested = client.call("POST", "event-hooks", hook, "test", json={})
    except EventHooksError as error:
        yield Finding("fail", "send", f"{hook}: {error}")
        return
    failed = outcome(tested).startswith(FAILED)
    yield Finding("fail" if failed else "ok", "send", f"{hook}: {outcome(tested)}")
