"""Secrets of every kind that a real Kong has: none of them leaves, on any way, nor is on disk."""

import json
import time
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization

from tests.integration.conftest import HttpServer, Kong, Sidecar
from tests.integration.test_crud_real_kong import RECONCILING, Change, ask, begin, routed, straight
from tests.support.certificates import key_pem, pem
from tests.support.hooks import plugin_config

__all__ = ["routed"]

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

HUSH = "hush3f1c"
HUSH_OF_A_HOOK = "hush7a09"
"""In a hook, which the sidecar has to keep as it is; it is not to leave either."""
ON_REQUESTS = {"headers": [f"Authorization:{HUSH}"], "querystring": [f"key:{HUSH}"], "body": [f"key:{HUSH}"]}
HOOK = {
    "name": "pager", "source": "custom", "handler": "webhook-custom",
    "config": {
        "method": "POST", "url": f"http://127.0.0.1:1/{HUSH_OF_A_HOOK}",
        "headers": {"x": HUSH_OF_A_HOOK, "content-type": "application/json"},
        "secret": HUSH_OF_A_HOOK * 4, "body": f'{{"routing_key": "{HUSH_OF_A_HOOK}"}}',
    },
}  # fmt: skip


CREDENTIAL = "5d2c7a51-0c2f-4b6e-9f0f-3c1f4f9c7d11"


def public_pem() -> str:
    public = serialization.load_pem_private_key(key_pem().encode(), None).public_key()
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip


def secrets() -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path and entity of each; its secrets hold ``HUSH``."""
    return [
        ("POST", "/consumers/c/key-auth", {"key": f"{HUSH}/+ ä"}),
        ("PUT", f"/consumers/c/key-auth/{HUSH}2", {"tags": []}),
        ("PATCH", f"/key-auths/{HUSH}2", {"tags": ["t"]}),
        ("PATCH", f"/consumers/c/key-auth/{HUSH}2", {"key": f"{HUSH}3"}),
        ("DELETE", f"/key-auths/{HUSH}3", {}),
        ("DELETE", f"/key-auths/{HUSH}-not-there", {}),
        ("POST", "/consumers/c/basic-auth", {"username": "u", "password": HUSH}),
        ("POST", "/consumers/c/jwt", {"key": "k", "secret": HUSH}),
        ("POST", "/consumers/c/hmac-auth", {"username": "u", "secret": HUSH}),
        ("PUT", f"/consumers/c/oauth2/{CREDENTIAL}", {"name": "o", "client_secret": HUSH, "redirect_uris": ["http://r"]}),
        ("POST", "/oauth2_tokens", {
            "access_token": HUSH, "refresh_token": f"{HUSH}r", "expires_in": 100, "credential": {"id": CREDENTIAL}}),
        ("PATCH", f"/oauth2_tokens/{HUSH}", {"scope": "s"}),
        ("POST", "/keys", {"name": "k", "kid": "1", "pem": {"private_key": key_pem(), "public_key": public_pem()}}),
        ("POST", "/certificates", {"cert": pem("a.example", time.time() + 90 * 86_400), "key": key_pem()}),
        ("POST", "/vaults", {"name": "env", "prefix": "mine", "config": {"prefix": HUSH}}),
        ("POST", "/plugins", {"name": "http-log", "config": {
            "http_endpoint": f"http://u:{HUSH}@127.0.0.1:1/", "headers": {"X-Token": HUSH}}}),
        ("POST", "/plugins", {"name": "request-transformer", "config": {"add": ON_REQUESTS}, "enabled": False}),
        ("POST", "/plugins", {"name": "rate-limiting", "enabled": False, "config": {
            "minute": 5, "policy": "redis", "redis": {"host": "h", "password": HUSH}}}),
        ("POST", "/plugins", {"name": "session", "enabled": False, "config": {"secret": HUSH}}),
        ("POST", "/plugins", {"name": "aws-lambda", "enabled": False, "config": {
            "aws_key": HUSH, "aws_secret": HUSH, "function_name": "f"}}),
        ("POST", "/plugins", {"name": "acme", "enabled": False, "config": {
            "account_email": f"{HUSH}@x.example", "storage": "redis", "eab_hmac_key": HUSH, "tos_accepted": True,
            "storage_config": {"redis": {"host": "h", "port": 1, "password": HUSH}}}}),
        ("POST", "/plugins", {"name": "event-hooks", "config": plugin_config(HOOK), "enabled": False}),
        ("POST", "/services", {"name": "s", "url": "http://127.0.0.1:1"}),
        ("POST", "/upstreams", {"name": "up", "healthchecks": {"active": {"headers": {"Authorization": [HUSH]}}}}),
    ]  # fmt: skip


@pytest.mark.parametrize("way", [ask, straight], ids=["by the route", "by a reconciliation"])
def test_no_secret_of_any_entity_leaves(routed: Kong, sidecar: Sidecar, receiver: HttpServer, way: Change) -> None:
    begin(sidecar, routed, receiver, **RECONCILING)
    assert way(routed, "PUT", "/consumers/c", {"tags": ["t"]})[0] == 200
    refused = [
        (method, path, answer)
        for method, path, entity in secrets()
        for status, answer, _ in [way(routed, method, quote(path), entity or None)]
        if status // 100 != 2
    ]
    assert refused == [], refused
    sidecar.reconciliations()
    way(routed, "DELETE", "/consumers/c")
    for plugin in routed.admin_get("/plugins?size=1000")["data"]:
        if "hush" in json.dumps(plugin):
            way(routed, "PATCH", f"/plugins/{plugin['id']}", {"tags": ["t"]})
    sidecar.reconciliations()

    reported = sidecar.events("dao:crud")
    assert {event["data"]["schema"] for event in reported} >= {
        "keyauth_credentials", "basicauth_credentials", "jwt_secrets", "hmacauth_credentials", "oauth2_credentials",
        "oauth2_tokens", "keys", "certificates", "vaults", "plugins", "upstreams", "services",
    }  # fmt: skip
    assert [event for event in reported if "***" not in json.dumps(event["data"]) and "hush" in json.dumps(event)] == []
    private = key_pem().splitlines()[1][:40]
    outside = {
        "events": json.dumps([reported, sidecar.events("crud")]).encode(),
        "deliveries": b"".join(got["body"] for got in list(receiver.requests)),
        "readyz": sidecar.get("/readyz")[1],
        "metrics": sidecar.get("/metrics")[1],
        "log": sidecar.log.read_bytes(),
    }
    sidecar.stop()
    kept = {path.name: path.read_bytes() for path in sidecar.data_dir.iterdir() if path.is_file()}
    for secret in (HUSH, private):
        assert [name for name, content in (outside | kept).items() if secret.encode() in content] == []
    mirror = {name: content for name, content in kept.items() if name.startswith("gateway.db")}
    assert mirror
    assert [name for name, content in (outside | mirror).items() if HUSH_OF_A_HOOK.encode() in content] == []
