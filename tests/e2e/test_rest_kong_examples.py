"""The examples of Kong's event-hook documentation: the same command lines, the same answers.

Host and port are exchanged. One documented line mixes curl's -d and -F, which curl refuses: it is sent with -F
throughout. HTTPie's requests are recorded ones.
"""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import CAPTURES, Api, running

CURL = shutil.which("curl")
LAMBDA = """return function (data, event, source, pid)
  local user = data.entity.username
  error("Event hook on consumer " .. user .. "")
end
"""
INLINE = (
    "return function (data, event, source, pid) local user = data.entity.username "
    'error("Event hook on consumer " .. user .. "")end'
)
TEXT = "Admin account `{{ entity.username }}` {{ operation}}d; email address set to `{{ entity.email }}`"

CUSTOM = {
    "source": "crud", "event": "admins", "handler": "webhook-custom", "on_change": None, "snooze": None,
    "config": {
        "body": None, "body_format": True, "headers": {"content-type": "application/json"}, "headers_format": False,
        "method": "POST", "payload": {"text": TEXT}, "payload_format": True, "secret": None,
        "url": "https://hooks.slack.com/services/foo/bar/baz",
    },
}  # fmt: skip
WEBHOOK = {
    "source": "crud", "event": "consumers", "handler": "webhook", "on_change": None, "snooze": None,
    "config": {"secret": None, "url": "https://webhook.site/a1b2c3"},
}  # fmt: skip
LOG = {"source": "crud", "event": "consumers", "handler": "log", "on_change": None, "snooze": None, "config": {}}
ON_CONSUMERS = {"source": "crud", "event": "consumers", "handler": "lambda", "on_change": None, "snooze": None}

pytestmark = pytest.mark.skipif(CURL is None, reason="needs curl")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as opened, opened.served():
        yield opened


async def shell(api: Api, folder: Path, line: str) -> tuple[int, Any]:
    """Run a documented line in a shell; return the status and the body of the answer."""
    line = line.replace("http://HOST:8001", api.base)
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", line, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    head, _, body = printed.decode().partition("\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body else None


def shown(hook: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """What of a hook Kong documents."""
    documented = {name: hook[name] for name in expected}
    documented["config"] = {name: hook["config"][name] for name in expected["config"]}
    return documented


MADE = {
    "webhook": (
        ("curl -i -X POST http://HOST:8001/event-hooks -d source=crud -d event=consumers -d handler=webhook "
        "-d config.url=https://webhook.site/a1b2c3"),
        WEBHOOK,
    ),
    "webhook-custom": (
        ("curl -i -X POST http://HOST:8001/event-hooks -d source=crud -d event=admins -d handler=webhook-custom "
        "-d config.method=POST -d config.url=https://hooks.slack.com/services/foo/bar/baz "
        '-d config.headers.content-type="application/json" -d config.payload.text="Admin account '
        '\\`{{ entity.username }}\\` {{ operation}}d; email address set to \\`{{ entity.email }}\\`"'),
        CUSTOM,
    ),
    "log": (
        "curl -i -X POST http://HOST:8001/event-hooks -d source=crud -d event=consumers -d handler=log",
        LOG,
    ),
    "lambda": (
        ("curl -i -X POST http://HOST:8001/event-hooks -F source=crud -F event=consumers -F handler=lambda "
        f"-F config.functions='{INLINE}'"),
        {**ON_CONSUMERS, "config": {"functions": [INLINE]}},
    ),
    "lambda of a file": (
        ("curl -i -X POST http://HOST:8001/event-hooks -F source=crud -F event=consumers -F handler=lambda "
        "-F 'config.functions[]=@lambda.lua'"),
        {**ON_CONSUMERS, "config": {"functions": [LAMBDA]}},
    ),
    "slack and rate limits": (
        ("curl -i -X POST http://HOST:8001/event-hooks --data source=rate-limiting-advanced "
        "--data event=rate-limit-exceeded --data handler=webhook-custom --data config.method=POST "
        "--data config.headers.content-type=application/json "
        """--data "config.payload.text=Rate limit exceeded by '{{ consumer.username }}' on '{{ service.name }}'" """
        "--data config.url=https://hooks.slack.com/services/foo/bar/baz"),
        {
            "source": "rate-limiting-advanced", "event": "rate-limit-exceeded", "handler": "webhook-custom",
            "config": {"payload": {"text": "Rate limit exceeded by '{{ consumer.username }}' on '{{ service.name }}'"},
                       "headers": {"content-type": "application/json"}, "method": "POST"},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
async def test_curl_makes_the_hook(api: Api, tmp_path: Path, name: str) -> None:
    line, expected = MADE[name]
    (tmp_path / "lambda.lua").write_text(LAMBDA)
    status, hook = await shell(api, tmp_path, line)
    assert (status, shown(hook, expected)) == (201, expected)
    assert re.fullmatch(r"[0-9a-f-]{36}", hook["id"])
    assert isinstance(hook["created_at"], int)
    assert (await api.queue.definitions())[0].id == hook["id"]


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        ("webhook", WEBHOOK),
        ("custom", CUSTOM),
        ("log", LOG),
        ("lambda", {**ON_CONSUMERS, "config": {"functions": [LAMBDA]}}),
        ("multipart", {**ON_CONSUMERS, "config": {"functions": [LAMBDA]}}),
        ("json", {**LOG, "snooze": 60, "tags": ["a"]}),
    ],
)
async def test_httpie_makes_the_hook(api: Api, recording: str, expected: dict[str, Any]) -> None:
    request = (CAPTURES / f"httpie-{recording}.http").read_bytes().replace(b"keep-alive", b"close", 1)
    host, port = api.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    hook = json.loads(body)
    assert (head.split()[1], shown(hook, expected)) == (b"201", expected)


async def test_what_is_looked_up(api: Api, tmp_path: Path) -> None:
    for name in ("webhook", "log"):
        await shell(api, tmp_path, MADE[name][0])
    status, listed = await shell(api, tmp_path, "curl -i http://HOST:8001/event-hooks")
    assert (status, listed["next"]) == (200, None)
    assert {hook["handler"] for hook in listed["data"]} == {"webhook", "log"}
    hook = next(one for one in listed["data"] if one["handler"] == "webhook")
    assert await shell(api, tmp_path, f"curl -i http://HOST:8001/event-hooks/{hook['id']}") == (200, hook)
    status, sources = await shell(api, tmp_path, "curl -i http://HOST:8001/event-hooks/sources/")
    about = sources["data"]["rate-limiting-advanced"]["rate-limit-exceeded"]
    assert about["fields"][:6] == ["consumer", "ip", "service", "rate", "limit", "window"]
    assert about["unique"] == ["consumer", "ip", "service"]
    line = "curl -i http://HOST:8001/event-hooks/sources/rate-limiting-advanced/"
    assert (await shell(api, tmp_path, line))[1] == {"data": sources["data"]["rate-limiting-advanced"]}
    status, _ = await shell(api, tmp_path, "curl -i http://HOST:8001/event-hooks/sources/nope")
    assert status == 404


async def test_ping_and_test(api: Api, tmp_path: Path) -> None:
    _, hook = await shell(api, tmp_path, MADE["webhook"][0])
    status, ping = await shell(api, tmp_path, f"curl -i http://HOST:8001/event-hooks/{hook['id']}/ping")
    assert (status, ping["source"], ping["event"]) == (200, "kong:event_hooks", "ping")
    assert {
        name: ping["event_hooks"][name] for name in ("id", "source", "event", "handler", "created_at", "snooze")
    } == {name: hook[name] for name in ("id", "source", "event", "handler", "created_at", "snooze")}
    posted = {"consumer": {"username": "Jane Austen"}, "event": "consumers", "source": "crud"}
    line = (f"curl -i -X POST http://HOST:8001/event-hooks/{hook['id']}/test -H 'content-type: application/json' "
            f"-d '{json.dumps(posted)}'")  # fmt: skip
    status, tested = await shell(api, tmp_path, line)
    assert (status, tested["data"], tested["result"].keys()) == (200, posted, {"body", "headers", "status"})
    _, log = await shell(api, tmp_path, MADE["log"][0])
    status, refused = await shell(api, tmp_path, f"curl -i http://HOST:8001/event-hooks/{log['id']}/ping")
    assert (status, refused) == (400, {"message": "handler 'log' does not support 'ping'"})


async def test_a_field_that_is_missing(api: Api, tmp_path: Path) -> None:
    status, refused = await shell(api, tmp_path, "curl -i -X POST http://HOST:8001/event-hooks -d source=crud")
    assert (status, refused) == (400, {
        "code": 2, "name": "schema violation", "message": "schema violation (handler: required field missing)",
        "fields": {"handler": "required field missing"},
    })  # fmt: skip
