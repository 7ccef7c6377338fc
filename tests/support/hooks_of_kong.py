"""Records what a real Kong answers to hook definitions, good and bad, for tests/captures/schema-answers.jsonl.

The Kong must have been started with the schema of ``tests.support.hooks.KNOWN``: print it with

    python -m tests.support.hooks_of_kong schema SOCKET_PATH > plugin-info.json

let ``pluginserver_event_hooks_query_cmd`` be ``cat plugin-info.json``, then run

    python -m tests.support.hooks_of_kong record http://127.0.0.1:8001 > tests/captures/schema-answers.jsonl
"""

import json
import random
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.schema import DECLARED_CONFIG
from tests.support.hooks import KNOWN, log_hook, plugin_config, webhook

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 1.5, 60.0, -1, 10**10, "", "x", "{vault://env/x}", "{vault://", "http://a.b", "http://",
    "HTTPS://a", "http://ho st", "ftp://a", "http://Üni.code/ä?b#c", "/x", "relative", [], {}, ["a"], {"a": "b"},
    ["a", "a"], {"Host": "x"}, {"x-a": "{vault://env/y}"}, {"x-a": ""}, {"x-a": 1}, {"x-a": "a\nb"}, {"x-a": "a\tb"},
    {"Webhook-Id": "1"}, {"x y": "z"}, {"te": "x"}, {"tea": "x"}, "log", "webhook", "webhook-custom", "lambda", "GET",
    "get", "rate-limit-exceeded", "rate-limiting", "crud", "a/b", "a\nb", ["a/b"], ["a", "b,c"], [None], [1, None, "b"],
    {"a": {"b": [1, 2]}}, "-a", "a~b.c_d-e", [[]], 31_622_400, 31_622_401, "http://h/{{ a }}", "http://{{ a }}/",
    "resty", "jinja2", "warn", "data.limit > 3", "slack", "cloudevents",
    "http://h:99999/", "http://h:65535", "http://h:65536", "http://h:0/x", "http://h:abc", "http://u:p@h:8080/",
    "http://u:99999@h/", "http://u@", "http://u:p@/x", "http://:80/", "http://127.1", "http://u@127.1:80/", "http://0x7f.1/",
    "http://127.0.0.1/", "http://1.2.3.4.example/", "http://169.254.169.254/latest", "http://169.254.169.254.nip.io",
    "http://u@169.254.1.1:80", "http://224.0.0.1", "http://[::1]:8080/", "http://[fe80::abcd]/", "http://[::1]:99999/",
    "http://a..b/", "http://-/", "http://u:p@a-:80", "http://a.b\\c/", "http://a]", "http://Metadata.Google.Internal./x",
    "http://metadata:p@h/", "http://[fd00:a9fe:a9fe::1]/", "http://u@[FD00:C1::A9FE:A9FE]:80", "http://[::1%25lo]/",
    "http://127.0.0.1.", "http://127.0.0.256", "http://my_service:80/a..b", "http://:token@h/", "CONNECT", "TRACE",
    "whsec_", "whsec_=", "whsec_a b", "whsec_MDEyMzQ1", "whsec_MDEy\n",
)  # fmt: skip
LONG: tuple[tuple[str, Any], ...] = (
    ("name", "x" * 128), ("name", "x" * 129), ("name", "é" * 64), ("event", "x" * 257),
    ("tags", ["x" * 128]), ("tags", ["x" * 129]), ("tags", ["é" * 65]),
    ("tags", [str(n) for n in range(64)]), ("tags", [str(n) for n in range(65)]),
    ("filter", "x" * 4_096), ("filter", "x" * 4_097),
)  # fmt: skip
LONG_CONFIG: tuple[tuple[str, Any], ...] = (
    ("url", "http://h/" + "a" * 8_183), ("url", "http://h/" + "a" * 8_184), ("method", "X" * 33),
    ("url", f"http://u:p@{'a' * 63}.b:80/"), ("url", f"http://u:p@{'a' * 64}.b:80/"), ("url", f"http://{'é' * 32}"),
    ("url", f"http://{'a.' * 126}a.?"), ("url", f"http://{'a.' * 126}aa?"), ("url", f"http://{'a.' * 126}aa:p@h/"),
    ("secret", "x" * 4_096), ("secret", "x" * 4_097), ("secret_file", "/" + "x" * 4_096),
    ("headers", {f"x-{n}": "a" for n in range(101)}), ("headers", {"x" * 257: "a"}), ("headers", {"x": "a" * 8_193}),
    ("functions", ["x"] * 33), ("functions", ["x" * 65_537]),
    ("timeout", 120), ("timeout", 121), ("concurrency", 1_024), ("concurrency", 1_025),
    ("success", "x" * 4_096), ("success", "x" * 4_097),
    *(
        ("signature", signature)
        for signature in (
            {"header": "X-Hub-Signature-256"}, {"header": "Host"}, {"header": "WEBHOOK-id"},
            {"header": "x-Kong-signature"}, {"header": "content-type"}, {"header": "x y"}, {"header": ""},
            {"header": "x" * 257}, {"form": "hex"},
            {"header": "x-sign", "form": "t,v1"}, {"header": "x-sign", "form": "md5"}, {"header": 1, "form": None},
        )
    ),
    *(
        ("retry", retry)
        for retry in (
            {"attempts": 1}, {"attempts": 0}, {"attempts": 100}, {"attempts": 101}, {"attempts": None},
            {"attempts": "3"}, {"schedule": [1, 86_400]}, {"schedule": []}, {"schedule": [0]}, {"schedule": [86_401]},
            {"schedule": [1.5, "x"]}, {"schedule": [5] * 99}, {"schedule": [5] * 100}, {"schedule": {"a": 1}},
            {"schedule": [60.0]}, {"max_retry_after": 0}, {"max_retry_after": 86_401}, {"final_statuses": [200, 599]},
            {"final_statuses": []}, {"final_statuses": [199]}, {"final_statuses": [600, "404"]},
            {"final_statuses": [404] * 101},
            {"attempts": 3, "schedule": [1, 2], "max_retry_after": 60, "final_statuses": [400], "bogus": 1},
        )
    ),
)  # fmt: skip
HOOK_FIELDS = (
    "name", "source", "event", "handler", "on_change", "snooze", "filter", "enabled", "tags", "config",
    "handler_config", "bogus",
)  # fmt: skip
CONFIG_FIELDS = (
    "url", "method", "headers", "ssl_verify", "secret", "previous_secret", "secret_file", "payload", "payload_format",
    "body", "body_format", "headers_format", "url_format", "template", "functions", "level", "retry",
    "timeout", "concurrency", "ordered", "success", "signature",
    "client_cert_file", "client_key_file", "ca_file", "bogus",
)  # fmt: skip
TOGETHER: tuple[dict[str, Any], ...] = tuple(
    {"handler": handler, DECLARED_CONFIG: config}
    for handler in ("webhook", "webhook-custom", "log", "lambda")
    for config in (
        {}, {"method": "GET"}, {"url": "http://h/", "method": "POST"}, {"url": "http://h/", "method": "post"},
        {"url": "{vault://env/x}", "method": "POST"}, {"functions": []}, {"functions": ["return 1"]},
        {"functions": [""]},
        *(
            {"url": url, "method": "POST", "url_format": flag}
            for url in ("http://h/{{ a }}", "http://h/a b", "http:// h/", "ftp://a b", "{vault://env/a b}", "http://h/{{a}}")
            for flag in (None, False, True, "yes")
        ),
    )
)  # fmt: skip
"""What one field says of another."""


def configs(seed: int = 20_261_121, count: int = 250) -> Iterator[dict[str, Any]]:
    """Every value in every field, then fields at random together."""
    good = log_hook("first")
    post = webhook("b", method="POST") | {"handler": "webhook-custom"}
    of_handler = [
        log_hook("b"),
        webhook("b"),
        post,
        log_hook("b", handler="lambda", config={"functions": ["return 1"]}),
    ]
    bases = {each["handler"]: each for each in plugin_config(*of_handler)["hooks"]}
    [web] = plugin_config(webhook("b"))["hooks"]
    for field in HOOK_FIELDS:
        yield {"hooks": [good, {key: value for key, value in web.items() if key != field}]}
        yield from ({"hooks": [{**web, field: value}]} for value in VALUES)
    for handler in bases:
        own = [field for field in CONFIG_FIELDS if handler in schema.HANDLERS_OF.get(field, (handler,))]
        yield from (_with_field(bases[handler], field, value) for field in own for value in VALUES)
        yield from (_with_field(bases[handler], field, value) for field, value in LONG_CONFIG if field in own)
        others = [field for field in CONFIG_FIELDS if field not in own]
        yield from (_with_field(bases[handler], field, value) for field in others for value in VALUES[:12])
    yield from ({"hooks": [{**log_hook("b"), field: value}]} for field, value in LONG)
    yield from ({"hooks": [{**log_hook("b"), **fields}]} for fields in TOGETHER)
    yield from ({"hooks": value} for value in VALUES)
    yield from ({}, {"bogus": 1}, {"hooks": [], "bogus": 1})
    chance = random.Random(seed)
    for _ in range(count):
        hook = {**log_hook("b"), chance.choice(HOOK_FIELDS): chance.choice(VALUES)}
        needed = {chance.choice(CONFIG_FIELDS): chance.choice(VALUES) for _ in range(3)}
        yield {"hooks": [good, {DECLARED_CONFIG: needed, **hook}]}


def _with_field(hook: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    return {"hooks": [{**hook, DECLARED_CONFIG: {**hook.get(DECLARED_CONFIG, {}), field: value}}]}


def ask(admin_url: str, config: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"{admin_url}/schemas/plugins/validate",
        data=json.dumps({"name": "event-hooks", "config": config}).encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def main() -> None:
    action, argument = sys.argv[1:]
    if action == "schema":
        about = {"Name": "event-hooks", "Phases": ["log"], "Version": "0.1.0", "Priority": 1}
        about["Schema"] = {"name": "event-hooks", "fields": schema.plugin_fields(schema.plugin_config(KNOWN))}
        json.dump({"Protocol": "ProtoBuf:1", "SocketPath": argument, "Plugins": [about]}, sys.stdout)
        return
    for config in configs():
        status, answer = ask(argument, config)
        fields = answer.get("fields", {}).get("config", {})
        sys.stdout.write(json.dumps({"config": config, "fields": fields, "status": status}, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
