"""Settings as the limits and rules that the parts take. Raises ``SettingsError`` for what only a part can refuse.

The parts' own defaults are ``settings.DEFAULTS``, so that each is written once; a test checks.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.descriptors import DescriptorShares, descriptor_shares
from kong_eventhooks_plugin.errors import MissingExtra, SettingsError
from kong_eventhooks_plugin.files import is_below
from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.forward_proxy import ForwardProxy
from kong_eventhooks_plugin.handlers.http_client import ClientLimits
from kong_eventhooks_plugin.hooks.reference_values import TlsPaths
from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.sandbox.isolation import FEATURES
from kong_eventhooks_plugin.sandbox.tasks import LuaRules, SandboxLimits
from kong_eventhooks_plugin.settings import Settings, read_token
from kong_eventhooks_plugin.sources.balancer.catalogue import BALANCER
from kong_eventhooks_plugin.sources.balancer.poller import BalancerSettings
from kong_eventhooks_plugin.sources.certificates.catalogue import CERTIFICATE
from kong_eventhooks_plugin.sources.certificates.poller import CertificateSettings
from kong_eventhooks_plugin.sources.changes.mirror.mirror import REMEMBER_MARGIN
from kong_eventhooks_plugin.sources.changes.reconciler import ReconcilerSettings
from kong_eventhooks_plugin.sources.poller_group import PollerGroupSettings
from kong_eventhooks_plugin.sources.reachability.catalogue import GATEWAY
from kong_eventhooks_plugin.sources.reachability.poller import ReachabilitySettings
from kong_eventhooks_plugin.sources.requests.infer import InferRule, parse_infer_rule

SPARE_CONNECTIONS = 64
"""HTTP connections beyond those of deliveries in flight: pings never wait for one."""

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)")
_FIELD = re.compile(r"[a-z][a-z0-9_]*(\.[^.\s]+)+")


def otlp_headers(settings: Settings) -> dict[str, str]:
    """Return the collector's headers. An error names no line: it may hold a token."""
    text = read_token(settings.otlp_headers_file, "otlp_headers_file") or ""
    found = [_HEADER.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    if None in found:
        raise SettingsError(f"otlp_headers_file: {settings.otlp_headers_file}: a line is not of the form name: value")
    return {header[1]: header[2] for header in found if header is not None}


def store_url(settings: Settings) -> str | None:
    """Return the URL of the store that nodes share, None without one. No error quotes it: it may hold a password.

    Raises ``SettingsError``, ``MissingExtra``.
    """
    if settings.store is not None and settings.store_url_file is not None:
        raise SettingsError("store_url_file: `store` is set as well; set one of the two")
    name = "store" if settings.store_url_file is None else f"store_url_file: {settings.store_url_file}"
    url = settings.store or read_token(settings.store_url_file, "store_url_file")
    if url is None:
        return None
    try:
        from kong_eventhooks_plugin.queue.postgresql.connection import Address
    except ModuleNotFoundError as error:
        raise MissingExtra("store", "postgresql") from error
    try:
        Address(url)
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from None
    return url


def shares(settings: Settings, limit: int) -> DescriptorShares:
    """Return how many connections each part may have, where the process may have ``limit`` descriptors."""
    deliveries = settings.total_concurrency + SPARE_CONNECTIONS
    return descriptor_shares(limit, deliveries, grpc=settings.grpc_listen is not None)


def client_limits(settings: Settings, connections: int) -> ClientLimits:
    return ClientLimits(
        connect_seconds=settings.connect_timeout_seconds,
        total_seconds=settings.timeout_seconds,
        connections=connections,
    )


def endpoint_proxy(settings: Settings) -> ForwardProxy | None:
    credentials = read_token(settings.endpoint_proxy_credentials_file, "endpoint_proxy_credentials_file")
    if settings.endpoint_proxy is None:
        if credentials is not None or settings.endpoint_proxy_exceptions:
            raise SettingsError("endpoint_proxy: is not set; its credentials and exceptions need it")
        return None
    return ForwardProxy(settings.endpoint_proxy, credentials, settings.endpoint_proxy_exceptions)


def endpoint_tls(settings: Settings) -> TlsPaths:
    """Return the TLS of hooks without their own. Its files are read later, by the rules of secret files."""
    named = {name: getattr(settings, name) for name in ("endpoint_client_cert", "endpoint_client_key", "endpoint_ca")}
    for name, path in named.items():
        if path is not None and not is_below(path, settings.secret_file_directories):
            raise SettingsError(f"{name}: {path}: is in no directory of secret_file_directories")
    if settings.endpoint_client_key is not None and settings.endpoint_client_cert is None:
        raise SettingsError("endpoint_client_key: needs endpoint_client_cert beside it")
    return TlsPaths(*named.values())


def infer_rules(settings: Settings) -> list[InferRule]:
    try:
        return [parse_infer_rule(text) for text in settings.infer_rate_limits_on]
    except SettingsError as error:
        raise SettingsError(f"infer_rate_limits_on: {error}") from error


def address_rules(settings: Settings) -> AddressRules:
    return AddressRules(allow=settings.allow_cidrs, deny=settings.deny_cidrs, private=settings.allow_private_addresses)


def queue_limits(settings: Settings) -> QueueLimits:
    return QueueLimits(
        deliveries=settings.queue_deliveries,
        bytes=settings.queue_bytes,
        deliveries_per_hook=settings.queue_deliveries_per_hook,
        settled_seconds=settings.keep_settled_seconds,
        settled_count=settings.keep_settled_count,
        answer_bytes=settings.keep_answer_bytes,
    )


def sandbox_limits(settings: Settings) -> SandboxLimits:
    return SandboxLimits(
        wall_seconds=settings.sandbox_wall_seconds,
        cpu_seconds=settings.sandbox_cpu_seconds,
        memory_bytes=settings.sandbox_memory_bytes,
        output_bytes=settings.sandbox_output_bytes,
        workers=settings.sandbox_workers,
    )


def lua_rules(settings: Settings) -> LuaRules:
    return LuaRules(
        untrusted_lua=settings.untrusted_lua,
        requires=settings.untrusted_lua_sandbox_requires,
        environment=settings.untrusted_lua_sandbox_environment,
    )


def sandbox_features(settings: Settings, missing: Mapping[str, str]) -> dict[str, str]:
    """Return for each feature of the kernel whether the sandbox uses it: ``ok``, or why not."""
    if settings.untrusted_lua == "on":
        missing = dict.fromkeys(FEATURES, "untrusted_lua is on")
    for feature in settings.sandbox_kernel_features:
        if feature in missing:
            raise SettingsError(f"sandbox_kernel_features: {feature} cannot be used: {missing[feature]}")
    return {feature: missing.get(feature, "ok") for feature in FEATURES}


def poller_group_settings(settings: Settings, admin_url: str) -> PollerGroupSettings:
    wrong = next((path for path in settings.crud_reveal if not _FIELD.fullmatch(path)), None)
    if wrong is not None:
        raise SettingsError(f"crud_reveal: {wrong!r} names no field of an entity: write keyauth_credentials.key")
    return PollerGroupSettings(
        data_dir=Path(settings.data_dir),
        remember=settings.keep_settled_seconds + REMEMBER_MARGIN,
        reconciler=ReconcilerSettings(
            admin_url=admin_url,
            interval=settings.crud_reconcile_seconds,
            page_size=settings.admin_page_size,
            pause_factor=settings.admin_pause_factor,
            grace=settings.crud_grace_seconds,
        ),
        pollers={
            BALANCER: BalancerSettings(
                poll_seconds=settings.balancer_poll_seconds,
                unhealthy_poll_seconds=settings.balancer_unhealthy_poll_seconds,
                per_second=settings.balancer_requests_per_second,
            ),
            CERTIFICATE: CertificateSettings(
                poll_seconds=settings.certificate_poll_seconds, days=settings.certificate_days
            ),
            GATEWAY: ReachabilitySettings(
                poll_seconds=settings.gateway_poll_seconds, failures=settings.gateway_failures, admin_url=admin_url
            ),
        },
        reveal=settings.crud_reveal,
    )


def delivery_limits(settings: Settings) -> DeliveryLimits:
    return DeliveryLimits(
        per_hook=settings.hook_concurrency, total=settings.total_concurrency, attempt=settings.timeout_seconds
    )
