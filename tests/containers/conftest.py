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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Compose:
    """One Compose project."""

    def __init__(self, docker: str, secrets_folder: Path, kong_image: str | None) -> None:
        self._docker = docker
        self.real = kong_image is not None
        self.proxy_port, self.api_port = free_port(), free_port()
        self._files = ["--file", str(DOCKER / "compose.yml")]
        if not self.real:
            self._files += ["--file", str(RECORDED)]
        self._environment = os.environ | {
            "COMPOSE_PROJECT_NAME": f"event-hooks-test-{secrets.token_hex(4)}",
            "COMPOSE_PROFILES": "dbless",
            "SECRETS": str(secrets_folder),
            "PROXY_PORT": str(self.proxy_port),
            "API_PORT": str(self.api_port),
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

    def sidecar(self, *arguments: str) -> str:
        """Run a command in the sidecar's container."""
        return self.run("exec", "--no-TTY", "event-hooks", *arguments)

    def arrived(self) -> Sequence[str]:
        """What the receiver says of each signature, pings included."""
        return ARRIVED.findall(self.run("logs", "--no-log-prefix", "receiver"))

    def exceed(self) -> None:
        """With a real Kong, exceed the limit of kong.yml; the recorded one does so all the time."""
        if not self.real:
            return
        for _ in range(4):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.proxy_port}/demo", timeout=SECONDS).close()
            except urllib.error.HTTPError as error:
                error.close()
            except OSError:
                return  # it is still starting; whoever waits asks again

    def more_arrive(self) -> None:
        """Wait until deliveries have arrived that had not when this was called."""
        before = len(self.arrived())

        def more() -> bool:
            self.exceed()
            return len(self.arrived()) > before

        until(more, "a delivery arrives")


@pytest.fixture(scope="module")
def compose(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    docker = request.config.getoption("--docker")
    if docker is None:
        pytest.skip("no Docker engine: name its client with --docker PATH")
    folder = tmp_path_factory.mktemp("secrets")
    for name, value in {"api_token": "token-of-the-test", "hook_secret": "whsec_" + "c2VjcmV0" * 4}.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o644)
    project = Compose(docker, folder, request.config.getoption("--kong-image"))
    try:
        if project.real:
            project.run("build", "kong")
        project.run("up", "--detach", "--wait", "--no-build")
        yield project
    finally:
        project.run("down", "--volumes", "--timeout", "5", check=False)
