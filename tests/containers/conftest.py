"""docker/compose.yml as it is, a project of the test's own: the recorded Kong or, by --kong-image, a real one."""

import json
import os
import re
import secrets
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import SECONDS, until

DOCKER = Path(__file__).parents[2] / "docker"
RECORDED = Path(__file__).parent / "recorded-kong.yml"
ARRIVED = re.compile(r"POST /hooks  (.*)")
REQUEST = re.compile(r'"request": \{[^}]*"id": "([0-9a-f]+)"')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Compose:
    """One Compose project."""

    def __init__(self, docker: str, secrets_folder: Path, kong_image: str | None, profile: str) -> None:
        self._docker = docker
        self.real = kong_image is not None
        ports = {name: free_port() for name in ("PROXY_PORT", "PROXY_PORT_2", "API_PORT", "API_PORT_2")}
        self._proxy_ports = (ports["PROXY_PORT"], ports["PROXY_PORT_2"])
        self._files = ["--file", str(DOCKER / "compose.yml")]
        if not self.real:
            self._files += ["--file", str(RECORDED)]
        self._environment = os.environ | {
            "COMPOSE_PROJECT_NAME": f"event-hooks-test-{secrets.token_hex(4)}",
            "COMPOSE_PROFILES": profile,
            "SECRETS": str(secrets_folder),
            "POSTGRES_PASSWORD": "password-of-the-superuser",
            **{name: str(port) for name, port in ports.items()},
            **({"KONG_IMAGE": kong_image} if kong_image else {}),
        }

    def run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [self._docker, "compose", *self._files, *arguments],
            cwd=DOCKER, env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        container = self.run("ps", "--all", "--quiet", service).strip()
        done = subprocess.run([self._docker, "inspect", container], capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)[0]
        return found

    def sidecar(self, *arguments: str, service: str = "event-hooks") -> str:
        """Run a command in the sidecar's container."""
        return self.run("exec", "--no-TTY", service, *arguments)

    def arrived(self) -> Sequence[str]:
        """What the receiver says of each signature, pings included."""
        return ARRIVED.findall(self._receiver_log())

    def requests(self) -> Sequence[str]:
        """The id of the request that each event is about, as they arrived."""
        return REQUEST.findall(self._receiver_log())

    def _receiver_log(self) -> str:
        return self.run("logs", "--no-log-prefix", "receiver")

    def exceed(self) -> None:
        """With a real Kong, exceed the limit of kong.yml; the recorded one does so all the time."""
        if not self.real:
            return
        for port in self._proxy_ports:
            for _ in range(4):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/demo", timeout=SECONDS).close()
                except urllib.error.HTTPError as error:
                    error.close()
                except OSError:
                    break  # it does not run, or is still starting; whoever waits asks again

    def more_arrive(self) -> None:
        """Wait until events have arrived that had not when this was called."""
        before = len(self.requests())

        def more() -> bool:
            self.exceed()
            return len(self.requests()) > before

        until(more, "an event arrives")


@pytest.fixture(scope="module")
def compose(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    yield from started(request, tmp_path_factory, "dbless", "kong")


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    yield from started(request, tmp_path_factory, "cluster", "kong-1")


def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, profile: str, kong: str
) -> Iterator[Compose]:
    docker = request.config.getoption("--docker")
    if docker is None:
        pytest.skip("no Docker engine: name its client with --docker PATH")
    folder = tmp_path_factory.mktemp("secrets")
    values = {
        "api_token": "token-of-the-test",
        "hook_secret": "whsec_" + "c2VjcmV0" * 4,
        "store_password": "password-of-the-role",
        "store_url": "postgresql://event_hooks:password-of-the-role@store:5432/event_hooks",
    }
    for name, value in values.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o644)
    project = Compose(docker, folder, request.config.getoption("--kong-image"), profile)
    try:
        if project.real:
            project.run("build", kong)
        project.run("up", "--detach", "--wait", "--no-build")
        yield project
    finally:
        project.run("down", "--volumes", "--timeout", "5", check=False)
