"""``kong-event-hooks demo``: the main job on one machine, with recorded Kong traffic.

Everything but Kong is real: the sidecar runs as ``serve`` does, supervisor and worker, on a socket and a
store in a temporary directory; the receiver checks both signatures; the player speaks Kong's protocol and
answers the sidecar's questions with what a real Kong 3.9.3 answered. It ends by itself when everything that
was accepted is settled, with exit status 1 where a delivery is missing or a signature is wrong.

Limits: 60 s for the sidecar to be ready and for the deliveries of one round to settle.
"""

import asyncio
import base64
import contextlib
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httpx

from kong_eventhooks_plugin.demo.player import Player, RecordedCall, load, renumber
from kong_eventhooks_plugin.demo.receiver import Received, Receiver

WAIT_SECONDS = 60.0
PAUSE = 0.04
"""Seconds between two recorded calls, so that a person sees them come one by one."""
ROUND_SECONDS = 3.0
LINES_SHOWN = 5
EXPECTED = {"told": 8, "seldom": 1}
"""Eight limits are broken: four by rate-limiting, two by response-ratelimiting, two with their headers hidden."""


def run_demo(*, follow: bool) -> int:
    """Run it; return the exit status."""
    try:
        with tempfile.TemporaryDirectory(prefix="kong-event-hooks-") as directory:
            return asyncio.run(_demo(Path(directory), follow=follow))
    except KeyboardInterrupt:
        return 0


def _hooks(receiver_url: str, secret: str) -> dict[str, Any]:
    """Return the plugin configuration that the played Kong hands over, as kong.yml would declare it."""
    return {
        "hooks": [
            {
                "name": "told", "source": "rate-limiting-advanced", "handler": "webhook",
                "config": {"url": f"{receiver_url}/told", "secret": secret},
            },
            {
                "name": "seldom", "source": "rate-limiting", "handler": "webhook", "snooze": 3600,
                "config": {"url": f"{receiver_url}/seldom", "secret": secret},
            },
            {"name": "logged", "source": "response-ratelimiting", "handler": "log", "config": {}},
        ]
    }  # fmt: skip


async def _demo(directory: Path, *, follow: bool) -> int:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    arrived: list[Received] = []
    receiver = Receiver("127.0.0.1", 0, secret=secret, on_delivery=_reporter(arrived))
    await receiver.start()
    health = f"http://127.0.0.1:{_free_port()}"
    try:
        with _sidecar(directory, health) as process:
            await _ready(health, process)
            _introduce(directory, health, receiver.url)
            player = Player(
                directory / "plugin.sock",
                configs={"event-hooks": _hooks(receiver.url, secret)},
                on_log=_report_line,
            )
            status = await _rounds(player, health, arrived, follow=follow)
            player.close()
    finally:
        await receiver.close()
    _say_how_to_go_on()
    return status


async def _rounds(player: Player, health: str, arrived: list[Received], *, follow: bool) -> int:
    calls = load()
    while True:
        started = time.monotonic()
        await player.play(renumber(calls, time.time()), pause=PAUSE)
        settled = await _settled(health)
        status = _sum_up(player, calls, arrived, time.monotonic() - started, settled=settled)
        if not follow:
            return status
        arrived.clear()
        await asyncio.sleep(ROUND_SECONDS)


@contextlib.contextmanager
def _sidecar(directory: Path, health: str) -> Any:
    """Run ``serve`` as a process of its own; its log goes to a file, whose path is told when it fails."""
    data = directory / "data"
    data.mkdir(mode=0o700)
    log = directory / "sidecar.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [
                sys.executable, "-m", "kong_eventhooks_plugin", "serve",
                "--socket-path", str(directory / "plugin.sock"), "--data-dir", str(data),
                "--listen", health.removeprefix("http://"), "--infer-rate-limits-on", "route:hidden",
                "--log-format", "human",
            ],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    except Exception:  # not where a person ends it with Ctrl-C
        click.echo(log.read_text(errors="replace")[-4000:], err=True)
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


async def _ready(health: str, process: "subprocess.Popen[bytes]") -> None:
    async def ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the sidecar ended with status {process.returncode}")
        answer = await _ask(health)
        return answer is not None and answer["status"] != "unready"

    if not await _until(ready):
        raise RuntimeError("the sidecar was not ready in time")


async def _settled(health: str) -> bool:
    async def nothing_waits() -> bool:
        answer = await _ask(health)
        return answer is not None and not any(answer["queue"]["depth"].get(state) for state in ("pending", "leased"))

    return await _until(nothing_waits)


async def _until(ask: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if await ask():
            return True
        await asyncio.sleep(0.1)
    return False


async def _ask(health: str) -> dict[str, Any] | None:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            answer = await client.get(f"{health}/readyz", timeout=5)
        except httpx.HTTPError:
            return None
    body: dict[str, Any] = answer.json()
    return body


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- what a person reads ----


def _introduce(directory: Path, health: str, receiver: str) -> None:
    click.echo(
        f"""Event hooks for Kong: the main job on this machine.

  sidecar   {directory}/plugin.sock, {health}/readyz, {health}/metrics
  receiver  {receiver}, which checks every signature
  hooks     told    hears every broken rate limit, calls the receiver
            seldom  hears rate-limiting, calls the receiver once an hour (snooze: 3600)
            logged  hears response-ratelimiting, writes into Kong's error log

Playing the traffic of a real Kong 3.9.3 through the plugin socket:
"""
    )


def _reporter(arrived: list[Received]) -> Callable[[Received], None]:
    def report(got: Received) -> None:
        body = got.json
        if body.get("event") == "ping":
            click.echo(f"  ping      {got.path[1:]:<7} {_signature(got)}")
            return
        arrived.append(got)
        limit = f"limit {body['limit']} a {body['window']}" if body["limit"] else "limit not told (hidden headers)"
        who = body["consumer"].get("username") or body["ip"]
        where = f"{body['request']['method']} {body['request']['path']}"
        broke = f"{who} broke {limit}"
        click.echo(f"  delivery  {got.path[1:]:<7} {where:<13} {broke:<48} {_signature(got)}")

    return report


def _signature(got: Received) -> str:
    return "signatures right" if got.verified else "SIGNATURE WRONG"


def _report_line(level: str, text: str) -> None:
    """Show the beginning of what a log hook writes; the box is some thirty lines long."""
    if "log callback" not in text:
        return
    click.echo(f"  Kong's error log, [{level}]:")
    for line in text.splitlines()[1:LINES_SHOWN]:
        click.echo(f"            {line.rstrip(' |')}")
    click.echo("            ...")


def _sum_up(
    player: Player, calls: list[RecordedCall], arrived: list[Received], seconds: float, *, settled: bool
) -> int:
    counts = {name: sum(got.path == f"/{name}" for got in arrived) for name in EXPECTED}
    right = all(got.verified for got in arrived)
    good = settled and right and not player.played.lost and counts == EXPECTED
    click.echo(
        f"\n{len(calls)} calls played in {seconds:.1f} s, {len(player.played.lost)} lost; "
        f"{len(arrived)} deliveries arrived ({', '.join(f'{name}: {count}' for name, count in counts.items())}), "
        f"{'all signatures right' if right else 'WRONG SIGNATURES'}; "
        f"{'nothing waits' if settled else 'SOME STILL WAIT'}."
    )
    return 0 if good else 1


def _say_how_to_go_on() -> None:
    click.echo(
        """
To do this with your Kong (README.md, "With a real Kong", has every step):

  kong-event-hooks serve --kong-yml /etc/kong/kong.yml
  kong.conf:  plugins = bundled,event-hooks,event-hooks-crud
              pluginserver_names = event-hooks,event-hooks-crud
              pluginserver_event_hooks_socket = /run/kong-event-hooks/plugin.sock
              pluginserver_event_hooks_query_cmd = cat /run/kong-event-hooks/event-hooks.json
              (and the same two lines for event_hooks_crud)"""
    )
