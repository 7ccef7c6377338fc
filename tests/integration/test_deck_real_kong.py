"""decK on a real Kong with a database: one sync and it is done, whatever the hooks look like (docs/deck.md)."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import HttpServer, Kong, Sidecar, open_directory
from tests.support.hooks import plugin_config
from tests.support.kong_postgres import Postgres
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
KEY = "0f6b1de2c7a94b3e8d5f60718293a4b5"
ENVIRONMENT = {
    "DECK_KONG_ADMIN_KEY": KEY, "DECK_URL": "https://hooks.example.com/deck", "DESK_URL": "https://hooks.example.com/kong",
    "DECK_ANALYTICS": "off",
}  # fmt: skip
NOTHING_TO_DO = re.compile(r"Created: 0\s+Updated: 0\s+Deleted: 0")

PAYLOAD = {
    "text": "{{ limit }} per {{ window }}",
    "blocks": [{"type": "section", "size": 1.5, "deep": {"a": {"b": "c"}}}],
}
EXACT = json.dumps({"none": [], "large": 9007199254740993, "mixed": [True, None, 1, "b"], "object": {}})
HOOKS: list[dict[str, Any]] = [
    {"name": "plain", "source": "rate-limiting", "handler": "webhook", "config": {"url": "http://127.0.0.1:1/a"}},
    {
        "name": "all-of-webhook", "source": "rate-limiting-advanced", "event": "rate-limit-exceeded",
        "handler": "webhook",
        "on_change": True, "snooze": 60, "filter": "data.limit > 3", "tags": ["ops", "desk"], "enabled": False,
        "config": {
            "url": "{vault://env/desk-url}", "secret": "{vault://env/event-hooks-secret}", "ssl_verify": False,
            "headers": {"authorization": "{vault://env/desk/token}", "x-team": "gateway"},
            "previous_secret": "{vault://env/nope}",
        },
    },
    {"name": "own-rules", "source": "upstream", "handler": "webhook",
     "config": {
         "url": "https://h.example/", "timeout": 30, "concurrency": 2,
         "success": "status == 200 && !body.contains('error')",
         "retry": {"attempts": 4, "schedule": [10, 60, 600], "max_retry_after": 0, "final_statuses": [400, 422]},
         "secret": "{vault://env/event-hooks-secret}", "signature": {"header": "X-Hub-Signature-256", "form": "hex"},
         "client_cert_file": "/run/secrets/gateway.pem", "client_key_file": "/run/secrets/gateway.key",
         "ca_file": "/run/secrets/ca.pem",
     }},
    {"name": "preset", "source": "event-hooks", "event": "endpoint.disabled", "handler": "webhook",
     "config": {"url": "https://h.example/", "preset": "pagerduty", "preset_key": "{vault://env/event-hooks-secret}"}},
    {"name": "preset-and-rules", "source": "gateway", "handler": "webhook", "filter": "data.failures > 3",
     "config": {"url": "https://h.example/", "preset": "cloudevents-binary", "ordered": True, "headers": {"x-a": "b"},
                "secret_file": "/run/secrets/hook", "signature": {"header": "x-s"}, "success": "status in [200, 202]"}},
    {"name": "order-of-requests", "source": "event-hooks", "event": "queue.filling", "handler": "webhook-custom",
     "config": {
         "url": "https://h.example/", "method": "PUT", "ordered": True, "timeout": 1,
         "success": "status in [200, 409]", "retry": {"attempts": 100, "schedule": [86_400], "max_retry_after": 86_400},
         "secret": "{vault://env/event-hooks-secret}", "signature": {"header": "x-s", "form": "t,v1"},
         "client_cert_file": "/run/secrets/both.pem",
     }},
    {"name": "in-order", "source": "crud", "handler": "lambda",
     "config": {"functions": ["return print"], "ordered": True, "retry": {"schedule": [5]}}},
    {"name": "some-rules", "source": "upstream", "handler": "webhook-custom",
     "config": {"url": "https://h.example/", "method": "POST", "retry": {"attempts": 1}}},
    {"name": "by-file", "source": "auth", "handler": "webhook",
     "config": {"url": "https://h.example/", "secret_file": "/run/secrets/hook"}},
    {"name": "flat", "source": "upstream", "handler": "webhook-custom",
     "config": {"url": "https://h.example/", "method": "POST", "payload": {"text": "{{ service.name }}", "n": 5}}},
    {"name": "nested", "source": "crud", "event": "consumers", "handler": "webhook-custom",
     "config": {"url": "https://h.example/{{ schema }}", "method": "PUT", "url_format": True, "headers_format": True,
                "headers": {"content-type": "application/json", "x-a": "{{ operation }}"}, "payload": PAYLOAD}},
    {"name": "exact", "source": "balancer", "handler": "webhook-custom",
     "config": {"url": "https://h.example/", "method": "POST", "payload": EXACT, "template": "jinja2"}},
    {"name": "body", "source": "certificate", "handler": "webhook-custom",
     "config": {"url": "https://h.example/", "method": "POST", "body": '{"a": "{{ days }}"}', "payload_format": False}},
    {"name": "lua", "source": "dao:crud", "handler": "lambda",
     "config": {"functions": ["return function (data)\n  return data\nend\n", "return print"]}},
    {"name": "line", "source": "rate-limiting", "handler": "log", "on_change": True, "config": {"level": "warn"}},
]  # fmt: skip


@pytest.fixture(scope="session")
def deck_bin(request: pytest.FixtureRequest) -> str:
    path = request.config.getoption("--deck-bin")
    if not path:
        pytest.skip("no decK: name its executable with --deck-bin PATH or DECK_BIN")
    return str(path)


class Deck:
    """decK over one Kong's Admin API."""

    def __init__(self, binary: str, directory: Path, address: str, *words: str) -> None:
        self.binary = binary
        self.directory = directory
        self.at = ["--kong-addr", address, *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), **ENVIRONMENT}
        return subprocess.run(
            [self.binary, *words], env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def gateway(self, action: str, *words: str) -> str:
        done = self.run("gateway", action, *self.at, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def sync(self, *files: Path | str) -> None:
        """Synchronise, and see that nothing is left to do."""
        self.gateway("sync", *map(str, files))
        assert NOTHING_TO_DO.search(self.gateway("diff", *map(str, files))), self.gateway("diff", *map(str, files))

    def dump(self, name: str, *words: str) -> Path:
        file = self.directory / name
        self.gateway("dump", "--yes", "-o", str(file), *words)
        return file

    def written(self, name: str, document: dict[str, Any]) -> Path:
        file = self.directory / name
        file.write_text(yaml.safe_dump({"_format_version": "3.0"} | document, sort_keys=False))
        return file


@pytest.fixture
def database_kong(pg_kong: Kong, sidecar: Sidecar) -> Kong:
    """A Kong with a database, started."""
    pg_kong.environment |= ENVIRONMENT
    sidecar.watch(pg_kong, admin_poll_seconds=0.2, crud_reconcile_seconds=1, crud_grace_seconds=0.5)
    sidecar.start()
    pg_kong.start()
    return pg_kong


@pytest.fixture
def deck(deck_bin: str, database_kong: Kong, tmp_path: Path) -> Deck:
    return Deck(deck_bin, tmp_path, f"http://127.0.0.1:{database_kong.admin}")


@pytest.fixture
def elsewhere(database_kong: Kong, sidecar: Sidecar, postgres: Postgres, bootstrapped: str) -> Iterator[Kong]:
    """A second Kong over an empty database of its own, beside the same sidecar."""
    with open_directory() as directory, postgres.database(bootstrapped) as database:
        made = Kong(database_kong.binary, directory, sidecar.socket_path)
        made.extra_conf |= postgres.conf(database)
        made.start()
        try:
            yield made
        finally:
            made.stop()


def hooks_of(file: Path) -> list[dict[str, Any]]:
    plugins = yaml.safe_load(file.read_text())["plugins"]
    return [hook for plugin in plugins if plugin["name"] == "event-hooks" for hook in plugin["config"]["hooks"]]


@pytest.mark.parametrize("hooks", [HOOKS, []], ids=["many hooks", "no hooks"])
def test_a_sync_a_dump_and_a_sync_elsewhere_leave_nothing_to_do(
    deck: Deck, elsewhere: Kong, hooks: list[dict[str, Any]]
) -> None:
    file = deck.written("kong.yml", {"plugins": [{"name": "event-hooks", "config": plugin_config(*hooks)}]})
    deck.sync(file)
    dumped = deck.dump("dumped.yml")
    assert [hook["name"] for hook in hooks_of(dumped)] == [hook["name"] for hook in hooks]
    second = Deck(deck.binary, deck.directory, f"http://127.0.0.1:{elsewhere.admin}")
    second.sync(dumped)
    assert hooks_of(second.dump("again.yml")) == hooks_of(dumped)


def test_what_was_synchronised_is_in_force_as_it_was_written(deck: Deck, database_kong: Kong, sidecar: Sidecar) -> None:
    deck.sync(deck.written("kong.yml", {"plugins": [{"name": "event-hooks", "config": plugin_config(*HOOKS)}]}))
    wanted = {hook["name"]: hook for hook in HOOKS}

    def in_force() -> dict[str, Any] | None:
        found = {hook["name"]: hook for hook in json.loads(sidecar.get("/event-hooks?size=1000")[1])["data"]}
        return found if found.keys() == wanted.keys() else None

    found = until(in_force, "all hooks are in force")
    assert found["exact"]["config"]["payload"] == json.loads(EXACT)
    own = next(hook["config"] for hook in HOOKS if hook["name"] == "own-rules")
    assert found["own-rules"]["config"] == own | {
        "headers": {}, "ssl_verify": True, "previous_secret": None, "secret_file": None,
    }  # fmt: skip
    assert found["some-rules"]["config"]["retry"] == {"attempts": 1}, "what decK and Kong fill in with null is unset"
    assert found["in-order"]["config"] == wanted["in-order"]["config"]
    assert found["nested"]["config"]["payload"] == PAYLOAD
    assert found["lua"]["config"]["functions"] == wanted["lua"]["config"]["functions"]


def test_a_second_sync_starts_no_instance_anew_and_tells_no_change(
    deck: Deck, database_kong: Kong, sidecar: Sidecar
) -> None:
    hooks = [*HOOKS, {"name": "changes", "source": "crud", "event": "plugins", "handler": "log"}]
    file = deck.written("kong.yml", {"plugins": [{"name": "event-hooks", "config": plugin_config(*hooks)}]})
    deck.sync(file)
    sidecar.reconciliations(2)
    before = database_kong.admin_get("/plugins")["data"]
    seen = len(sidecar.events("crud"))
    deck.sync(file)
    sidecar.reconciliations(2)
    assert database_kong.admin_get("/plugins")["data"] == before, "not even updated_at"
    assert len(sidecar.events("crud")) == seen


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        ({"name": "a", "source": "rate-limiting", "handler": "carrier-pigeon"}, 'handler = "expected one of: webhook'),
        ({"name": "a", "source": "rate-limiting", "handler": "webhook"}, 'url = "required field missing"'),
        ({"name": "a", "source": "nowhere", "handler": "log"}, 'source = "expected one of: '),
        ({"name": "a", "source": "rate-limiting", "handler": "log", "snooze": -1}, 'snooze = "value should be between'),
        (
            {"name": "a", "source": "rate-limiting", "handler": "lambda", "config": {"functions": []}},
            'functions = "length must be at least 1"',
        ),
    ],
)
def test_a_bad_hook_is_refused_by_kong_at_its_own_field(deck: Deck, hook: dict[str, Any], says: str) -> None:
    file = deck.written("bad.yml", {"plugins": [{"name": "event-hooks", "config": plugin_config(hook)}]})
    for action in ("validate", "sync"):
        done = deck.run("gateway", action, *deck.at, str(file))
        assert done.returncode != 0
        # decK quotes Kong's answer in one place and not in the other.
        assert says in (done.stdout + done.stderr).replace('\\"', '"')


def test_through_the_route_with_a_key(deck: Deck, database_kong: Kong, sidecar: Sidecar, receiver: HttpServer) -> None:
    """kong.yml and kong-admin.yml as they are shipped, but for the ports of this test."""
    admin = (ROOT / "kong-admin.yml").read_text()
    admin = admin.replace("127.0.0.1:8001", f"127.0.0.1:{database_kong.admin}")
    admin = admin.replace("127.0.0.1:8010", f"127.0.0.1:{sidecar.port}")
    (deck.directory / "kong-admin.yml").write_text(admin)
    files = (ROOT / "kong.yml", deck.directory / "kong-admin.yml")
    deck.sync(*files)
    routed = Deck(
        deck.binary, deck.directory, f"http://127.0.0.1:{database_kong.proxy}/admin", "--headers", f"apikey:{KEY}"
    )
    until(lambda: database_kong.get("/admin/status", {"apikey": KEY})[0] == 200, "the route is there")
    hook = {"source": "crud", "handler": "webhook", "event": "consumers:create",
            "config": {"url": f"http://127.0.0.1:{receiver.port}/"}}  # fmt: skip
    sidecar.make_hooks({"name": "changes", **hook})
    more = deck.written("more.yml", {"consumers": [{"username": "by-deck"}]})
    routed.sync(*files, more)
    until(
        lambda: [body for body in receiver.bodies() if body.get("entity", {}).get("username") == "by-deck"],
        "the change is reported",
    )
    routed.sync(*files, more)


def test_select_tags_env_references_and_instance_names(deck: Deck, database_kong: Kong) -> None:
    hook = {"name": "a", "source": "rate-limiting", "handler": "webhook", "config": {"url": '${{ env "DECK_URL" }}'}}
    ours = {"name": "event-hooks", "instance_name": "team-hooks", "tags": ["team"], "config": plugin_config(hook)}
    others = {"name": "event-hooks", "service": "other", "config": plugin_config(HOOKS[-1])}
    deck.sync(deck.written("others.yml", {"services": [{"name": "other", "host": "h"}], "plugins": [others]}))
    team = {"_info": {"select_tags": ["team"]}, "plugins": [ours]}
    deck.sync(deck.written("team.yml", team))
    plugins = {plugin["instance_name"]: plugin for plugin in database_kong.admin_get("/plugins")["data"]}
    assert plugins.keys() == {None, "team-hooks"}, "what has other tags was left alone"
    assert plugins["team-hooks"]["config"]["hooks"][0]["handler_config"]["url"] == ENVIRONMENT["DECK_URL"]
    deck.sync(deck.written("none.yml", {"_info": {"select_tags": ["team"]}}))
    assert [plugin["instance_name"] for plugin in database_kong.admin_get("/plugins")["data"]] == [None]


def test_files_are_validated_rendered_and_merged_without_a_kong(deck_bin: str, tmp_path: Path) -> None:
    deck = Deck(deck_bin, tmp_path, "http://127.0.0.1:1")
    for words in (
        ("validate", str(ROOT / "kong.yml"), str(ROOT / "kong-admin.yml")),
        ("render", str(ROOT / "kong-admin.yml"), "--populate-env-vars", "-o", str(tmp_path / "rendered.yml")),
        ("merge", str(ROOT / "kong.yml"), str(tmp_path / "rendered.yml"), "-o", str(tmp_path / "merged.yml")),
    ):
        done = deck.run("file", *words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert KEY in (tmp_path / "merged.yml").read_text()
    checked = subprocess.run(
        [str(Path(sys.executable).with_name("kong-event-hooks")), "check", str(tmp_path / "merged.yml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
