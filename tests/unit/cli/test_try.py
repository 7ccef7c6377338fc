"""``try``: a file's hooks on events, without a sidecar."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from kong_eventhooks_plugin.cli import cli

FILE = """
_format_version: "3.0"
plugins:
- name: event-hooks
  config:
    hooks:
    - name: chat
      source: rate-limiting
      handler: webhook-custom
      filter: data.limit > 4
      handler_config:
        method: POST
        url: http://chat.example/
        headers: {content-type: application/json, x-api-key: "{vault://env/nobody}"}
        payload: {text: "{{ limit }} per {{ window }}"}
    - name: broken
      source: custom
      handler: lambda
      handler_config:
        functions: ["return function() kong.log.warn('so far') error('no more') end"]
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "kong.yml"
    path.write_text(FILE)
    return str(path)


def tried(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["try", *arguments])
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_every_hook_of_a_file(file: str) -> None:
    code, text = tried(file)
    chat, broken = text.split("\n\nhook ")
    assert code == 1, "a lambda fails"
    for line in (
        "verdict     does not fire: filter",
        "event       rate-limiting/rate-limit-exceeded",
        '            ip           "127.0.0.1"',
        "    data.limit > 4  false",
        "      data.limit    2",
        "request     POST http://chat.example/",
        "            x-api-key: {vault://env/nobody}",
        '              "text": "2 per minute"',
    ):
        assert f"\n{line}\n" in chat
    assert "so far" in broken
    assert "\nerror       [string " in broken
    assert re.search(r"no more\nlimits      sandbox_wall_seconds: [\d.]+ of 2,000 ms\n", broken)
    assert re.search(r"            sandbox_output_bytes: \d+ of 1,048,576$", chat)


def test_an_event_from_a_file(file: str, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"event": "rate-limit-exceeded", "data": {"limit": 9, "window": "hour"}}')
    code, text = tried(file, "chat", "--event", str(event), "--output", "json")
    found = json.loads(text)
    assert (code, found["fires"], found["request"]["body"]) == (0, True, '{"text":"9 per hour"}')
    event.write_text('{"limit": 7, "window": "day"}')
    assert json.loads(tried(file, "chat", "--event", str(event), "--output", "json")[1])["event"]["data"]["limit"] == 7


def test_an_event_on_the_command_line(file: str) -> None:
    found = json.loads(tried(file, "chat", "--event", '{"limit": 8, "window": "day"}', "--output", "json")[1])
    assert (found["request"]["body"], found["event"]["data"]["limit"]) == ('{"text":"8 per day"}', 8)
    result = CliRunner().invoke(cli, ["try", file, "chat", "--event", '{"limit": }'])
    assert str(result.exception).startswith("--event: is not JSON: ")


def test_what_cannot_be_tried(file: str) -> None:
    for arguments, text in (
        ((file, "chta"), "has no valid hook 'chta'; did you mean chat?"),
        ((file, "chat", "--event", "limit-exceeded"), "source 'rate-limiting' has no event 'limit-exceeded'"),
    ):
        result = CliRunner().invoke(cli, ["try", *arguments])
        assert text in str(result.exception)
