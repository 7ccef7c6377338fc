"""The main job against a real Kong: what only Kong itself can prove."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from standardwebhooks import Webhook

from tests.integration.conftest import (
    SECRET,
    HttpServer,
    Kong,
    Sidecar,
    have_it_started,
    hooks_document,
    traffic,
    webhook,
)
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]


def exhaust(kong: Kong) -> None:
    """Use the two requests that the limit allows and break it once: Kong counts a request a moment after it."""
    for _ in range(50):
        if kong.get("/demo/a?apikey=hidden")[0] == 429:
            return
    raise AssertionError("the limit does not break")


def test_kong_starts_with_both_plugins_and_a_429_becomes_a_signed_webhook(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    sidecar.start()
    log_hook = {"name": "logged", "source": "rate-limiting-advanced", "handler": "log"}
    kong.declare(hooks_document(upstream, [webhook(receiver), log_hook]))
    kong.start()
    exhaust(kong)

    def of_event() -> list[dict[str, object]]:
        return [got for got in receiver.requests if json.loads(got["body"])["event"] == "rate-limit-exceeded"]

    got = until(of_event, "the webhook arrives")[0]
    reported = Webhook(SECRET).verify(got["body"], got["headers"])
    assert reported["source"] == "rate-limiting"
    assert (reported["limit"], reported["rate"], reported["window"]) == (2, 3, "hour")
    assert reported["consumer"] == {}
    assert reported["service"]["name"] == "demo"
    assert reported["request"]["path"] == "/demo/a"
    assert b"hidden" not in got["body"]

    kong.get("/demo/again")  # the next log phase takes waiting lines along
    boxed = re.compile(
        r'\[notice\] .*event_hooks\.lua:\?:452.*\n.*\[notice\] .*\|"log callback: " \{ "rate-limit-exceeded"'
    )
    until(lambda: boxed.search(kong.error_log()), "the box in Kong's error log, at notice")
    assert {"event-hooks", "event-hooks-crud"} <= set(kong.admin_get("/")["plugins"]["available_on_server"])


def test_kong_refuses_a_global_crud_plugin_and_bad_hooks(kong: Kong, sidecar: Sidecar, upstream: HttpServer) -> None:
    sidecar.start()
    for plugins, says in (
        ([{"name": "event-hooks-crud"}], "route"),
        (
            [{"name": "event-hooks", "config": {"hooks": [{"name": "x", "source": "rate-limiting"}]}}],
            "in 'handler': field required",
        ),
        (
            [
                {
                    "name": "event-hooks",
                    "config": {"hooks": [{"name": "x", "source": "rate-limiting", "handler": "carrier-pigeon"}]},
                }
            ],
            "handler",
        ),
    ):
        kong.declare({"plugins": plugins})
        assert says in kong.refusal()


def test_the_example_kong_yml_is_one_that_kong_takes(kong: Kong, sidecar: Sidecar) -> None:
    sidecar.start()
    kong.declarative = ROOT / "kong.yml"
    kong.start()
    assert kong.admin_get("/plugins")["data"]


ODD_PAYLOAD = """\
_format_version: "3.0"
plugins:
- name: event-hooks
  config:
    hooks:
    - name: odd
      source: rate-limiting
      handler: webhook-custom
      handler_config:
        url: http://127.0.0.1:9/
        method: POST
        payload:
          numbers: [9007199254740993, 18446744073709551615, 0.30000000000000004, -0, 1e20, 12:30, 0x1.8, _1, 017]
          texts: [1_0:30, 0X1F, 0b1, y, 2026-11-21, 1e]
          places: {1: a, 3: {2: b}}
          keys: {0: a, -1: b, 1.5: c, 9007199254740993: d, 1e16: e}
          mixed: {1: a, 12:30: b, x: c}
          empty: [{}, [], [[]]]
          nulls: {a: ~, b: [~, [~]]}
"""


def test_a_payload_in_a_file_is_the_one_that_kong_hands_over(kong: Kong, sidecar: Sidecar) -> None:
    """One kong.yml means one thing: before Kong's first request, and after it."""

    def odd() -> tuple[str, str]:
        hook: dict[str, Any] = json.loads(sidecar.get("/event-hooks/odd")[1])
        return hook["declared_in"], json.dumps(hook["config"]["payload"], sort_keys=True)

    kong.declarative.write_text(ODD_PAYLOAD)
    sidecar.options = ["--kong-yml", str(kong.declarative)]
    sidecar.start()
    until(lambda: sidecar.get("/event-hooks/odd")[0] == 200, "the file is read")
    place, read = odd()
    assert place.startswith(str(kong.declarative))
    kong.start()
    until(lambda: kong.get("/nowhere")[0] and odd()[0].startswith("plugin "), "Kong has handed it over")
    assert odd()[1] == read


def refused(receiver: HttpServer) -> int:
    """Return how many requests' events have arrived."""
    return len({body["request"]["id"] for body in receiver.bodies() if body["event"] != "ping"})


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_killed_or_stopped_under_load_loses_nothing(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer, ends: signal.Signals
) -> None:
    sidecar.options = ["--watchdog-seconds", "1"]
    sidecar.start()
    kong.declare(hooks_document(upstream, [webhook(receiver)]))
    kong.start()
    with traffic(kong, "/demo/load") as seen:
        for _ in range(2):
            enough = sum(seen.values()) + 200
            until(lambda target=enough: sum(seen.values()) >= target, "200 more requests")
            os.kill(sidecar.worker_pid(), ends)
            until(sidecar.ready, "the worker is back")
        enough = sum(seen.values()) + 100
        until(lambda: sum(seen.values()) >= enough, "100 more requests")
    assert set(seen) == {200, 429}

    try:
        until(lambda: refused(receiver) == seen[429], f"each of {seen[429]} broken limits is reported", seconds=60)
    finally:
        print(f"{refused(receiver)} of {seen}, {len(receiver.requests)} requests", sidecar.get("/readyz"))


def pre_stop() -> list[str]:
    """What deploy/kubernetes has Kong's container call before it ends, without the wait for the endpoint's removal."""
    documents = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "kong.yaml").read_text())
    (pod,) = (each["spec"]["template"]["spec"] for each in documents if each["kind"] == "StatefulSet")
    (container,) = pod["containers"]
    _, _, command = container["lifecycle"]["preStop"]["exec"]["command"][-1].partition("&& kong ")
    return list(command.split())


def test_a_pod_that_ends_under_load_loses_nothing(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    """Kong quits first, then its sidecar stops; the pod that follows has the volume of the queue."""
    sidecar.start()
    kong.declare(hooks_document(upstream, [webhook(receiver)]))
    kong.start()
    with traffic(kong, "/demo/rolling", per_second=400) as seen:
        until(lambda: seen.get(429, 0) >= 200, "200 requests over the limit")
        done = kong.run(*pre_stop(), "-p", str(kong.prefix))
        assert done.returncode == 0, done.stdout + done.stderr
    assert sidecar.stop() == 0
    sidecar.start()
    until(lambda: refused(receiver) >= seen[429], f"each of {seen[429]} refusals is delivered", seconds=60)


def test_a_sidecar_restarted_goes_on(kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer) -> None:
    sidecar.start()
    kong.declare(hooks_document(upstream, [webhook(receiver)]))
    kong.start()
    exhaust(kong)
    receiver.wait_for(1)
    assert sidecar.stop() == 0
    assert not sidecar.socket_path.exists()
    assert kong.get("/demo/unheard")[0] == 429  # lost, as promised nowhere; the client is not hurt
    sidecar.start()
    assert kong.get("/demo/received")[0] == 429
    until(lambda: any(b"/demo/received" in got["body"] for got in receiver.requests), "the event after the restart")
    assert not any(b"/demo/unheard" in got["body"] for got in receiver.requests)


def test_kong_reload_and_new_configuration(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    sidecar.start()
    kong.declare(hooks_document(upstream, [webhook(receiver)]))
    kong.start()
    exhaust(kong)
    receiver.wait_for(1)
    other = HttpServer()
    try:
        kong.declare(hooks_document(upstream, [webhook(other)]))
        assert kong.post_config() == 201
        for path in ("/demo/new", "/demo/reloaded"):
            until(
                lambda path=path: (
                    kong.get(path)[0] in {200, 429}
                    and any(path.encode() in got["body"] for got in list(other.requests))
                ),
                f"the new URL learns of {path}",
                pace=0.2,
            )
            kong.reload()
    finally:
        other.close()


def test_kong_starts_the_sidecar_itself_with_an_empty_environment(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    have_it_started(kong, sidecar, *sidecar.arguments())
    kong.declare(hooks_document(upstream, [webhook(receiver)]))
    kong.start()
    until(sidecar.ready, "the sidecar that Kong started is ready", seconds=30)
    exhaust(kong)
    got = receiver.wait_for(1)[0]
    Webhook(SECRET).verify(got["body"], got["headers"])
    for round_ in range(2):
        kong.reload()
        path = f"/demo/reload{round_}"
        until(
            lambda path=path: (
                kong.get(path)[0] in {200, 429} and any(path.encode() in got["body"] for got in receiver.requests)
            ),
            "events after the reload",
            seconds=40,
            pace=0.2,
        )
    kong.stop()
    until(lambda: not sidecar.ready(), "the sidecar leaves with its Kong", seconds=30)


def test_the_plugin_is_taken_out_again(kong: Kong, sidecar: Sidecar, upstream: HttpServer) -> None:
    """Without a database: plugins out of kong.yml and kong.conf, then Kong starts without us."""
    kong.declare(hooks_document(upstream, []) | {"plugins": []})
    kong.extra_conf |= {"plugins": "bundled", "pluginserver_names": ""}
    for name in ("event_hooks", "event_hooks_crud"):
        kong.extra_conf |= {f"pluginserver_{name}_socket": "", f"pluginserver_{name}_query_cmd": ""}
    kong.start()
    assert kong.get("/demo/x")[0] == 200


def test_the_api_is_reached_through_a_kong_route(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    sidecar.start()
    document = hooks_document(upstream, [])
    document["services"].append(
        {
            "name": "event-hooks-api",
            "url": f"http://127.0.0.1:{sidecar.port}/event-hooks",
            "routes": [{"name": "event-hooks-api", "paths": ["/admin/event-hooks"]}],
        }
    )
    kong.declare(document)
    kong.start()
    hook = {"source": "rate-limiting", "handler": "webhook", "config": {"url": f"http://127.0.0.1:{receiver.port}/"}}
    status, made = kong.call("POST", "/admin/event-hooks", hook)
    assert status == 201, made
    until(lambda: any(b'"ping"' in got["body"] for got in list(receiver.requests)), "the ping of the new hook")
    until(
        lambda: kong.get("/demo/api")[0] == 429 and any(b"/demo/api" in got["body"] for got in list(receiver.requests)),
        "the hook made through Kong fires",
        pace=0.2,
    )
    assert kong.call("GET", f"/admin/event-hooks/{made['id']}")[1]["handler"] == "webhook"
    assert kong.call("DELETE", f"/admin/event-hooks/{made['id']}")[0] == 204
    assert kong.call("GET", f"/admin/event-hooks/{made['id']}") == (404, {"message": "Not found"})
