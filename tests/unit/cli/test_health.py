"""``kong-event-hooks health``: what it asks, what it prints, and its exit status."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kong_eventhooks_plugin.cli import cli


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[int, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(" ".join(filter(None, (self.path, self.headers.get("authorization")))))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def health(*arguments: str, listen: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, ["health", *arguments], env={"KONG_EVENTHOOKS_LISTEN": listen, **environment})


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", ""])  # noqa: S104 - what the sidecar's setting may be
def test_alive(host: str) -> None:
    with answering(200, b'{"status": "alive"}') as (port, asked):
        result = health(listen=f"{host}:{port}")
    assert (result.exit_code, result.stdout, asked) == (0, "alive\n", ["/healthz"])


def test_ready_says_what_is_wrong() -> None:
    with answering(503, b'{"status": "unready", "errors": ["the disk is full"], "store": "closed"}') as (port, asked):
        result = health("--ready", listen=f"127.0.0.1:{port}")
    assert (result.exit_code, result.stdout, asked) == (1, "", ["/readyz"])
    assert result.stderr == "unready\n  the disk is full\n"


def test_the_token_goes_to_readyz_alone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-token-of-some-length")
    with answering(200, b'{"status": "ready"}') as (port, asked):
        for arguments in ((), ("--ready",)):
            assert (
                health(*arguments, listen=f"127.0.0.1:{port}", KONG_EVENTHOOKS_API_TOKEN_FILE=str(file)).exit_code == 0
            )
    assert asked == ["/healthz", "/readyz Bearer a-token-of-some-length"]


def test_somebody_else_answers() -> None:
    with answering(404, b"<html>") as (port, _):
        result = health(listen=f"127.0.0.1:{port}")
    assert (result.exit_code, result.stderr) == (1, "the answer is not the sidecar's\n")


def test_nobody_answers(unused_tcp_port: int) -> None:
    result = health(listen=f"127.0.0.1:{unused_tcp_port}")
    assert result.exit_code == 1
    assert result.stderr == f"http://127.0.0.1:{unused_tcp_port}/healthz: [Errno 111] Connection refused\n"


def test_a_proxy_of_the_environment_is_not_asked(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    with answering(200, b'{"status": "alive"}') as (port, _):
        assert health(listen=f"127.0.0.1:{port}").exit_code == 0
