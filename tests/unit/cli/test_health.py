"""``kong-event-hooks health``: what it asks, what it prints, and its exit status."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from kong_eventhooks_plugin.api import advice
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


def test_ready_says_what_is_wrong_and_what_to_do() -> None:
    found = {
        "status": "unready",
        "store": "database or disk is full",
        "delivering": False,
        "errors": ["kong.yml: cannot be read"],
        "events_lost": {"queue_full": 1234},
        "held": {
            "desk": 'unresolved: no value for url={vault://env/desk}',
            "off": "disabled",
            "pager": "endpoint_gone",
            "slack": "endpoint_gone",
            "...": "and 3 more",
        },
    }  # fmt: skip
    with answering(503, msgspec.json.encode(found)) as (port, asked):
        result = health("--ready", listen=f"127.0.0.1:{port}")
    assert (result.exit_code, result.stdout, asked) == (1, "", ["/readyz"])
    gone = advice.HELD["endpoint_gone"]
    assert result.stderr.splitlines() == [
        "unready",
        "  the store: database or disk is full",
        f"    -> {advice.STORE.action}",
        "  1,234 events lost since the start: queue_full",
        f"    -> {advice.LOSSES['queue_full'].action}",
        "  kong.yml: cannot be read",
        f"  {advice.NOT_DELIVERING.title}",
        f"    -> {advice.NOT_DELIVERING.action}",
        "  desk is held: unresolved: no value for url={vault://env/desk}",
        f"    -> {advice.HELD['unresolved'].action}",
        f"  pager is held: endpoint_gone: {gone.meaning}",
        f"  slack is held: endpoint_gone: {gone.meaning}",
        f"    -> {gone.action}",
        "  and 3 more are held",
    ]


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
    assert result.stderr == f"http://127.0.0.1:{unused_tcp_port}/healthz: Connection refused\n"


def test_a_proxy_of_the_environment_is_not_asked(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    with answering(200, b'{"status": "alive"}') as (port, _):
        assert health(listen=f"127.0.0.1:{port}").exit_code == 0


@pytest.mark.parametrize("command", [["health", "--ready"], ["doctor"]])
def test_a_token_that_no_request_can_have(command: list[str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    settings = {"KONG_EVENTHOOKS_LISTEN": "127.0.0.1:9", "KONG_EVENTHOOKS_API_TOKEN_FILE": str(token)}
    token.write_text("a token of\ntwo lines\n")
    ended = CliRunner().invoke(cli, command, env=settings)
    assert str(ended.exception) == "api_token_file: the token may hold only ASCII letters, digits and punctuation"
    token.unlink()
    ended = CliRunner().invoke(cli, command, env=settings)
    assert str(ended.exception) == f"api_token_file: {token}: cannot be read: No such file or directory"
