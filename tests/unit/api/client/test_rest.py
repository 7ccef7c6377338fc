"""What the client sends, and what it says of an answer that is not a sidecar's."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from kong_eventhooks_plugin.api.client.rest import ApiTarget, RestClient
from kong_eventhooks_plugin.cli import cli
from kong_eventhooks_plugin.cli.api_calls import parse_fields
from kong_eventhooks_plugin.cli.events import event_lines, tail_events
from kong_eventhooks_plugin.errors import RemoteError
from tests.support.http_receiver import HttpReceiver, answer

KONGS = answer(404, b'{"message":"Not found"}', {"content-type": "application/json"})


@pytest.mark.parametrize(
    "arguments",
    [
        ["sources"],
        ["hooks", "create", "name=a"],
        ["events", "tail"],
        ["events", "tail", "--recent", "0"],
        ["hooks", "list"],
    ],
)
async def test_where_nothing_was_named_a_404_is_somebody_elses(arguments: list[str]) -> None:
    async with HttpReceiver(KONGS) as kong:
        target = ApiTarget(f"http://127.0.0.1:{kong.port}")
        ended = await asyncio.to_thread(CliRunner().invoke, cli, [*arguments, "--url", target.url])
    assert isinstance(ended.exception, RemoteError)
    assert str(ended.exception) == (
        f"{target.url} does not answer as a sidecar does (Not found); is --url right? It is the address of the setting "
        "'listen'"
    )


async def test_tail_of_a_hook_that_is_not_there() -> None:
    async with HttpReceiver(KONGS) as sidecar:
        target = ApiTarget(f"http://127.0.0.1:{sidecar.port}")
        with pytest.raises(RemoteError, match=r"^there is no hook 'nobody'; 'kong-event-hooks hooks list' lists them"):
            await asyncio.to_thread(tail_events, target, print, print, wanted={"hook": "nobody"})


async def test_a_token_may_hold_any_letter() -> None:
    async with HttpReceiver(answer(200, b"{}")) as sidecar:

        def call() -> None:
            with RestClient(ApiTarget(f"http://127.0.0.1:{sidecar.port}", "tököen")) as client:
                client.call("GET", "x")

        await asyncio.to_thread(call)
        sent = sidecar.requests[0].headers["authorization"]
    assert sent.encode("latin-1").decode() == "Bearer tököen"


@pytest.mark.parametrize(("content", "value"), [("s3cret\n", "s3cret"), ("s\n\n", "s\n"), ("s", "s"), ("\n", "")])
def test_a_files_last_line_end_is_not_its_value(tmp_path: Path, content: str, value: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    assert parse_fields([f"config.secret=@{file}"]) == [("config.secret", value)]


def test_an_event_cannot_steer_the_terminal() -> None:
    received = {"time": 1.0, "source": "custom", "event": "x\x1b[2J", "data": {"a": "\x9b"}, "held_back": [],
            "fired": [{"event_hook": {"name": "h", "id": "i"}, "delivery": "d"}]}  # fmt: skip
    assert event_lines(received) == ('1970-01-01T00:00:01.000Z  custom/x\ufffd[2J  {"a":"\ufffd"}\n    -> h  d')
