"""``demo``: the main job on one machine, with recorded Kong traffic.

Everything but Kong is real: the sidecar runs as ``serve`` does, supervisor and worker, on a socket and a
store in a temporary directory; the receiver checks both signatures; the player speaks Kong's protocol and
answers the sidecar's questions with what a real Kong 3.9.3 answered; ``AdminApi`` stands in for Kong's Admin API.
It ends by itself when everything that was accepted is settled, with exit status 1 where a delivery is missing or a
signature is wrong.

Limits: 60 s for the sidecar to be ready, for each thing that it is to notice, and for the deliveries of one playback to
settle.
"""

import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec

from kong_eventhooks_plugin.api.client.tls import NO_AUTHORITIES
from kong_eventhooks_plugin.cli.demo.admin_api import AdminApi
from kong_eventhooks_plugin.cli.demo.player import Player
from kong_eventhooks_plugin.cli.demo.receiver import Received, Receiver
from kong_eventhooks_plugin.cli.demo.recording import consumer_created, load, renumber
from kong_eventhooks_plugin.hooks.schema import DECLARED_CONFIG, PLUGIN
from kong_eventhooks_plugin.settings import ENVIRONMENT_PREFIX
from kong_eventhooks_plugin.sources.balancer.catalogue import BALANCER
from kong_eventhooks_plugin.sources.changes.catalogue import CRUD

WAIT_SECONDS = 60.0
LOG = "sidecar.log"
ENDED = 1
"""Exit status where SIGTERM or a closed terminal ended it: nobody knows yet whether all arrives."""
CALL_PAUSE_SECONDS = 0.04
"""Seconds between two recorded calls, so that a person sees them come one by one."""
PLAYBACK_PAUSE_SECONDS = 3.0
LINES_SHOWN = 4
RETRIED = "hourly"
"""The hook whose first delivery is refused once, and whose delivery is replayed."""
POLL_SECONDS = 0.2
"""Of a target's health, and of a reconciliation's wait for the route: a person waits for both."""
EXPECTED = {"all-limits": 8, RETRIED: 1, "consumers": 1, "health": 2}
"""Eight limits are exceeded: four of rate-limiting, two of response-ratelimiting, two with hidden headers. A target
becomes unhealthy and healthy again."""


@click.command("demo")
@click.option("--follow", is_flag=True, help="Play the recording again and again until interrupted.")
def command(*, follow: bool) -> None:
    """Play a real Kong's recorded traffic to a sidecar.

    Through the real socket, and from there to a receiver. No Kong is needed.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="kong-event-hooks-") as directory:
            sys.exit(asyncio.run(_demo(Path(directory), follow=follow)))
    except KeyboardInterrupt:
        return
    except asyncio.CancelledError:
        sys.exit(ENDED)


def _hooks(receiver_url: str, secret: str) -> dict[str, Any]:
    """Return the plugin configuration that the played Kong hands over, as kong.yml would declare it."""

    def webhook(name: str, source: str, config: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        endpoint = {"url": f"{receiver_url}/{name}", "secret": secret, **(config or {})}
        return {"name": name, "source": source, "handler": "webhook", DECLARED_CONFIG: endpoint, **fields}

    return {
        "hooks": [
            webhook("all-limits", "rate-limiting-advanced"),
            webhook(RETRIED, "rate-limiting", {"retry": {"schedule": [1]}}, snooze=3600),
            {"name": "error-log", "source": "response-ratelimiting", "handler": "log", DECLARED_CONFIG: {}},
            webhook("consumers", CRUD, event="consumers:create"),
            webhook("health", BALANCER),
        ]
    }


async def _demo(directory: Path, *, follow: bool) -> int:
    _end_orderly()
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    arrived: list[Received] = []
    receiver = Receiver(secret=secret, on_delivery=_reporter(arrived))
    async with receiver, AdminApi() as admin:
        with _sidecar(directory, admin.url) as process:
            health = await _ready(directory, process)
            _introduce(directory, health, receiver.url, admin.url)
            configs = {PLUGIN: _hooks(receiver.url, secret)}
            admin.plugins = _plugins(configs)
            player = Player(directory / "plugin.sock", configs=configs, on_log=_ErrorLog())
            status = await _play(player, admin, health, arrived, follow=follow)
            player.close()
    _print_next_steps()
    return status


def _end_orderly() -> None:
    """Cancel the task on the signals that would otherwise end this process alone and leave the sidecar running."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                loop.add_signal_handler(number, task.cancel)


def _plugins(configs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the plugins that the recording starts, as the Admin API lists them."""
    starts = [call for call in load() if call.call == "cmd_start_instance"]
    return [
        {"id": each.config["__plugin_id"], "name": each.name, "config": configs.get(each.name, {})} for each in starts
    ]


async def _play(player: Player, admin: AdminApi, health: str, arrived: list[Received], *, follow: bool) -> int:
    calls = load()
    while True:
        started, before = time.monotonic(), player.played.answered
        await player.play(renumber(calls, time.time()), pause=CALL_PAUSE_SECONDS)
        await _use_admin_api(player, admin, health, arrived)
        settled = await _settled(health)
        made = player.played.answered - before
        status = _sum_up(player, made, arrived, time.monotonic() - started, settled=settled)
        if not follow:
            return status or await _replay(health, arrived)
        arrived.clear()
        await asyncio.sleep(PLAYBACK_PAUSE_SECONDS)


async def _use_admin_api(player: Player, admin: AdminApi, health: str, arrived: list[Received]) -> None:
    """Create a consumer through Kong's route, and have a target fail and recover."""

    async def reconciled() -> bool:
        answer = await _ask(health)
        return answer is not None and answer["pollers"]["crud"]["reconciler"]["ended_at"] is not None

    await _until(reconciled)  # the first one is silent: what it lists was there before
    await player.make(consumer_created(admin.create_consumer(), time.time()))
    for admin.healthy in (False, True):
        if not await _health_arrives(arrived):
            return


async def _health_arrives(arrived: list[Received]) -> bool:
    before = _count(arrived, "health")

    async def arrives() -> bool:
        return _count(arrived, "health") > before

    return await _until(arrives)


async def _replay(health: str, arrived: list[Received]) -> int:
    """Have the delivery that arrived late sent once more; it keeps its id."""
    before = len(arrived)
    click.echo(f"\nA replay of what hook '{RETRIED}' has delivered:\n")
    async with httpx.AsyncClient(trust_env=False, verify=NO_AUTHORITIES) as client:
        answer = await client.post(f"{health}/event-hooks/{RETRIED}/replay", json={"state": "delivered"}, timeout=5)
    if answer.status_code != HTTPStatus.OK or not await _settled(health):
        return ENDED
    ids = {got.id for got in arrived[:before] if got.path == f"/{RETRIED}"}
    return 0 if [got.id in ids and got.verified for got in arrived[before:]] == [True] else ENDED


@contextlib.contextmanager
def _sidecar(directory: Path, admin_url: str) -> Any:
    """Run ``serve`` as a process of its own; the end of its log is printed when it fails."""
    data = directory / "data"
    data.mkdir(mode=0o700)
    log = directory / LOG
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [
                sys.executable, "-m", "kong_eventhooks_plugin", "serve",
                "--socket-path", str(directory / "plugin.sock"), "--data-dir", str(data),
                "--listen", "127.0.0.1:0", "--infer-rate-limits-on", "route:hidden", "--log-format", "json",
                "--admin-url", admin_url, "--balancer-poll-seconds", str(POLL_SECONDS),
                "--crud-grace-seconds", str(POLL_SECONDS),
            ],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=_environment(os.environ),
        )  # fmt: skip
    try:
        yield process
    except Exception:  # not where a person ends it with Ctrl-C
        click.echo(log.read_text(errors="replace")[-4000:], err=True)
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return it without our settings: the hooks of a real kong.yml would fire on the recording and call endpoints."""
    return {name: value for name, value in given.items() if not name.startswith(ENVIRONMENT_PREFIX)}


async def _ready(directory: Path, process: "subprocess.Popen[bytes]") -> str:
    """Return the address of its health page when it is ready."""

    async def ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the sidecar ended with status {process.returncode}")
        health = _health(directory)
        answer = None if health is None else await _ask(health)
        return answer is not None and answer["status"] != "unready"

    if not await _until(ready):
        raise RuntimeError("the sidecar was not ready in time")
    return str(_health(directory))


def _health(directory: Path) -> str | None:
    """Return the address in the sidecar's log: it binds a free port itself, so that no other process has it."""
    for line in (directory / LOG).read_bytes().splitlines():
        with contextlib.suppress(msgspec.DecodeError):
            entry = _decode(line)
            if entry.event == "api_listening":
                return f"http://127.0.0.1:{entry.port}"
    return None


class _LogLine(msgspec.Struct):
    event: str
    port: int = 0


_decode = msgspec.json.Decoder(_LogLine).decode


async def _settled(health: str) -> bool:
    async def nothing_waits() -> bool:
        answer = await _ask(health)
        if answer is None:
            return False
        deliveries = answer["queue"]["deliveries"]
        return not any(deliveries.get(state) for state in ("pending", "leased"))

    return await _until(nothing_waits)


async def _until(ask: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if await ask():
            return True
        await asyncio.sleep(0.1)
    return False


async def _ask(health: str) -> dict[str, Any] | None:
    async with httpx.AsyncClient(trust_env=False, verify=NO_AUTHORITIES) as client:
        try:
            answer = await client.get(f"{health}/readyz", timeout=5)
        except httpx.HTTPError:
            return None
    body: dict[str, Any] = answer.json()
    return body


# ---- what a person reads ----


def _introduce(directory: Path, health: str, receiver: str, admin: str) -> None:
    click.echo(
        f"""Event hooks for Kong Gateway: the whole way of an event, on this machine.

  sidecar   {directory}/plugin.sock, {health}/readyz, {health}/metrics
  receiver  {receiver}, which checks every signature
  Kong      its traffic is recorded; its Admin API is a small stand-in, {admin}
  hooks     all-limits  for every exceeded rate limit, calls the receiver
            hourly      for rate-limiting, calls the receiver once an hour at most (snooze: 3600)
            error-log   for response-ratelimiting, writes into Kong's error log
            consumers   for crud, calls the receiver when a consumer is created through Kong's Admin API
            health      for balancer, calls the receiver when a target becomes unhealthy or healthy

Playing the traffic of a real Kong 3.9.3 through the plugin socket:
"""
    )


def _reporter(arrived: list[Received]) -> Callable[[Received], int | None]:
    refused: list[str | None] = []  # the one delivery that was, by its id; None once it has arrived

    def report(got: Received) -> int | None:
        body = got.json
        if body.get("event") == "ping":
            click.echo(f"  ping      {got.path[1:]:<10}  {_signature(got)}")
            return None
        if got.path == f"/{RETRIED}" and not refused:
            refused.append(got.id)
            click.echo(f"  refused   {got.path[1:]:<10}  answered 503, to be tried again in a second")
            return HTTPStatus.SERVICE_UNAVAILABLE
        first = not arrived
        arrived.append(got)
        where, what = _TEXTS.get(body["source"], _limit_text)(body)
        again = "  at the second attempt" if got.id in refused else ""
        click.echo(f"  delivery  {got.path[1:]:<10}  {where:<15} {what:<44} {_signature(got)}{again}")
        if first:
            text = json.dumps(body, indent=2)
            click.echo("\n".join(f"            {line}" for line in text.splitlines()))
        if got.id in refused:
            refused[:] = [None]
        return None

    return report


def _limit_text(body: dict[str, Any]) -> tuple[str, str]:
    limit = f"{body['limit']} per {body['window']}" if "limit" in body else "a limit (headers hidden)"
    who = body["consumer"].get("username") or body["ip"]
    return f"{body['request']['method']} {body['request']['path']}", f"{who} exceeded {limit}"


def _change_text(body: dict[str, Any]) -> tuple[str, str]:
    actor = body["actor"]
    return f"{actor['method']} {actor['path']}", f"{body['entity']['username']} was created from {actor['ip']}"


def _health_text(body: dict[str, Any]) -> tuple[str, str]:
    return body["upstream"], f"{body['target']} is {body['health']}, was {body['old_health']}"


_TEXTS = {CRUD: _change_text, BALANCER: _health_text}


def _signature(got: Received) -> str:
    return "signatures right" if got.verified else "SIGNATURE WRONG"


class _ErrorLog:
    """Prints the first lines of what a log hook writes: an entry each, some thirty in all.

    At once, when it has them: deliveries arrive meanwhile.
    """

    def __init__(self) -> None:
        self._lines: list[str] | None = None

    def __call__(self, level: str, text: str) -> None:
        if "event_hooks.lua" in text:
            self._lines = [f"  Kong's error log, [{level}]:"]
        elif self._lines is not None:
            self._lines.append(f"            {text.rstrip(' |')}")
            if len(self._lines) > LINES_SHOWN:
                click.echo("\n".join([*self._lines, "            ..."]))
                self._lines = None


def _sum_up(player: Player, calls: int, arrived: list[Received], seconds: float, *, settled: bool) -> int:
    counts = {name: _count(arrived, name) for name in EXPECTED}
    right = all(got.verified for got in arrived)
    good = settled and right and not player.played.lost and counts == EXPECTED
    click.echo(
        f"\n{calls} calls played in {seconds:.1f} s, {len(player.played.lost)} lost.\n"
        f"{len(arrived)} deliveries ({', '.join(f'{name}: {count}' for name, count in counts.items())}), "
        f"{'every signature right' if right else 'WRONG SIGNATURES'}, "
        f"{'none pending' if settled else 'SOME STILL PENDING'}."
    )
    return 0 if good else 1


def _count(arrived: list[Received], hook: str) -> int:
    return sum(got.path == f"/{hook}" for got in arrived)


def _print_next_steps() -> None:
    program = Path(sys.executable).with_name("kong-event-hooks")
    click.echo(
        f"""
Next:

  {program} demo --follow     # the same, again and again, until Ctrl-C
  {program} serve --help      # every setting, with its default
  {program} plugin-info event-hooks     # what Kong asks for: README.md, "With a real Kong", has every step"""
    )
