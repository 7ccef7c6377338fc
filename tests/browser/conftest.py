"""A sidecar of its own, an endpoint that can be broken, and Chromium.

The browser is Debian's (`apt-get install chromium`); ``CHROMIUM`` names another.
"""

import json
import os
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_processes import Processes, World

TOKEN = "an-admin-token-for-a-browser"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).parent / "axe" / "axe.min.js"


class Endpoint:
    """Answers as it is told: with ``status``."""

    def __init__(self) -> None:
        endpoint = self
        self.status = 200
        self.bodies: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                endpoint.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                body = b'{"ok": true}' if endpoint.status == 200 else b'{"error": "<script>alert(1)</script>"}'
                self.send_response(endpoint.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/deploys"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Sidecar:
    """A running sidecar's console, and its API."""

    def __init__(self, base: str) -> None:
        self.base = base

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"kong-admin-token": TOKEN, "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def publish(self, event: str = "deploy", **data: Any) -> str:
        found: str = self.call("POST", "/events", {"event": event, "data": data})["id"]
        return found


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    one = Endpoint()
    yield one
    one.stop()


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with Processes() as processes:
        running = World(tmp_path, data, processes).sidecar("--api-token-file", str(token))
        yield Sidecar(f"http://127.0.0.1:{running.wait_for('api_listening')['port']}")


@pytest.fixture
def chromium() -> Iterator[Any]:
    """Anew for each test: playwright's loop would run on under the asynchronous tests that come after it."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without its own sandbox, which root has not: it opens nothing but our pages.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
